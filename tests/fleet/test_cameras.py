"""The list of cameras: its cells become settings, and what does not fit is told with its line."""

import pytest

from vidconcept.errors import InputError, UsageError
from vidconcept.fleet.cameras import read_cameras


def write(path, text):
    path.write_text(text)
    return path


def test_a_camera_has_settings_of_its_own(tmp_path):
    (tmp_path / "line.toml").write_text("threshold = 0.4\n")
    header = "camera,video,concepts,roi,config,stream"
    table = header + '\nnorth,cam1/*.mp4,"scratch, dent","1,2,30,40",line.toml,1\n,b.mp4,,,,\n'
    north, other = read_cameras(write(tmp_path / "cameras.csv", table))
    assert north.name == "north"
    assert north.footage == str(tmp_path / "cam1/*.mp4")
    assert north.config == tmp_path / "line.toml"
    assert north.settings == {"concepts": ("scratch", "dent"), "roi": ("1", "2", "30", "40"), "stream": "1"}
    assert (other.name, other.settings, other.config) == ("", {}, None)


def test_what_a_spreadsheet_saves(tmp_path):
    (camera,) = read_cameras(write(tmp_path / "cameras.csv", "video;concepts\na.mp4;scratch,dent\n"))
    assert camera.settings == {"concepts": ("scratch", "dent")}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("film\na.mp4\n", "no column video. Next: check that it is a list of cameras"),
        ("video,concepts\na.mp4,scratch,dent\n", "line 2: more cells than columns"),
        ("video,threshold\na.mp4,0.4\nb.mp4,4\n", "line 3: threshold = '4'"),
        ("video,camera\n,north\n", "line 2: no video given"),
        ("video,config\na.mp4,gone.toml\n", "line 2: config .*gone.toml does not exist"),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(tmp_path, table, said):
    with pytest.raises(InputError, match=said):
        list(read_cameras(write(tmp_path / "cameras.csv", table)))


def test_an_unknown_column_names_the_nearest(tmp_path):
    with pytest.raises(UsageError, match=r"unknown column 'tresholt' \(did you mean 'threshold'"):
        list(read_cameras(write(tmp_path / "cameras.csv", "video,tresholt\na.mp4,0.4\n")))
