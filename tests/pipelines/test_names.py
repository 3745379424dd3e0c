"""Names of pictures, and which frames a model saw, live on in tables and exports."""

import csv
import json
import shutil
from xml.etree import ElementTree

import av
import cv2
import pytest
from PIL import Image

from tests.helpers.clips import NTSC, paint, tone, write_clip
from vidconcept.pipelines.track import Run, track
from vidconcept.writers.exchange.export import export
from vidconcept.writers.tables import read_frames, read_tracks

NOISY = {"threshold": 0.02, "floor": 0.01, "hysteresis": 1.0, "min_area_px": 1, "min_duration_s": 0.0}


@pytest.fixture(scope="module")
def small(tiny_model):
    return {"concepts": ("dent",), "model": str(tiny_model), "window_frames": 13, "overlap_frames": 5, **NOISY}


@pytest.fixture(scope="module")
def lots(tmp_path_factory):
    """Two folders whose names differ behind a dot only."""
    folder = tmp_path_factory.mktemp("lots")
    for lot in ("lot.1", "lot.2"):
        (folder / lot).mkdir()
        for number in range(6):
            cv2.imwrite(str(folder / lot / f"part-{number + 1}.png"), paint(number)[:, :, ::-1])
    return folder


@pytest.fixture(scope="module")
def run(lots, small):
    return track(lots / "lot.1", fps=10, start_s=0.1, stride=2, **small)


def exported(run, to, tmp_path, name="out"):
    export(run.path, to, tmp_path / name)
    return tmp_path / name


class TestNames:
    def test_tables_name_the_picture_of_each_row(self, run):
        names = {row.frame_index: row.source_frame for row in run.frames()}
        assert names == {index: f"part-{index + 1}.png" for index in range(1, 6)}
        assert all(row.source_frame == names[row.frame_index] for row in run.tracks())
        with (run.path / "tracks.csv").open() as file:
            assert next(csv.reader(file))[19] == "source_frame"

    def test_coco_has_the_original_file_names(self, run, tmp_path):
        images = json.loads(exported(run, "coco", tmp_path).read_text())["images"]
        assert [image["file_name"] for image in images] == [f"part-{n}.png" for n in range(2, 7)]

    def test_coco_keeps_a_number_sign_in_names_and_tells_pages(self, small, tmp_path):
        pages = [Image.fromarray(paint(number)) for number in range(3)]
        (tmp_path / "lot").mkdir()
        for number in range(2):
            cv2.imwrite(str(tmp_path / "lot" / f"cam#{number}.png"), paint(number))
        pages[0].save(tmp_path / "lot" / "st#2.tif", save_all=True, append_images=pages[1:])
        images = json.loads(exported(track(tmp_path / "lot", fps=10, **small), "coco", tmp_path).read_text())["images"]
        told = [(image["file_name"], image.get("page")) for image in images]
        assert told == [("cam#0.png", None), ("cam#1.png", None), *(("st#2.tif", page) for page in (1, 2, 3))]

    def test_a_folder_keeps_what_follows_its_dot(self, run, tmp_path):
        export(run.path, "davis", tmp_path / "davis")
        assert (tmp_path / "davis" / "Annotations" / "lot.1").is_dir()
        export(run.path, "coco")
        assert (run.path / "exports" / "lot.1.coco.json").is_file()

    def test_tables_of_earlier_versions_are_read(self, run, tmp_path):
        for name, read in (("frames.csv", read_frames), ("tracks.csv", read_tracks)):
            with (run.path / name).open() as old, (tmp_path / name).open("w") as new:
                table = list(csv.reader(old))
                width = table[0].index("source_frame")
                csv.writer(new).writerows(row[:width] for row in table)
            rows = list(read(tmp_path / name))
            assert rows
            assert {row.source_frame for row in rows} == {""}


class TestInspected:
    """The model saw frames 1, 3 and 5; 2 and 4 are interpolated; 0 lies before the range."""

    def test_coco(self, run, tmp_path):
        content = json.loads(exported(run, "coco", tmp_path).read_text())
        assert {image["frame_index"]: image["interpolated"] for image in content["images"]} == {
            1: False,
            2: True,
            3: False,
            4: True,
            5: False,
        }
        marked = {a["image_id"] - 1: a["attributes"]["interpolated"] for a in content["annotations"]}
        assert marked.items() <= {1: False, 2: True, 3: False, 4: True, 5: False}.items()
        assert True in marked.values()

    def test_youtube_vis(self, run, tmp_path):
        (video,) = json.loads(exported(run, "youtube-vis", tmp_path).read_text())["videos"]
        assert [video["file_names"][entry] for entry in video["interpolated"]] == ["part-3.png", "part-5.png"]

    @pytest.mark.parametrize(("to", "first"), [("mot", 1), ("mots", 1), ("davis", 0)])
    def test_formats_that_cannot_say_it_have_a_table_beside(self, run, to, first, tmp_path):
        with (exported(run, to, tmp_path) / "inspected.csv").open() as file:
            rows = [(int(row["frame"]) - first, row["inspected"]) for row in csv.DictReader(file)]
        assert rows == [(1, "1"), (2, "0"), (3, "1"), (4, "0"), (5, "1")]

    def test_cvat(self, run, tmp_path):
        tree = ElementTree.parse(exported(run, "cvat", tmp_path))
        marked = {
            int(shape.get("frame")): shape.find("attribute[@name='interpolated']").text
            for shape in tree.iter("mask")
            if shape.get("outside") == "0"
        }
        assert marked.items() <= {1: "false", 2: "true", 3: "false", 4: "true", 5: "false"}.items()

    def test_label_studio(self, run, tmp_path):
        (task,) = json.loads(exported(run, "label-studio", tmp_path, "a.json").read_text())
        assert task["data"]["inspected"] == {"first": 2, "last": 6, "every": 2}
        frames = {frame for result in task["predictions"][0]["result"] for frame in result["meta"]["interpolated"]}
        assert frames <= {3, 5}

    def test_supervision(self, run, tmp_path):
        with exported(run, "supervision", tmp_path).open() as file:
            marked = {int(row["frame_index"]): row["interpolated"] for row in csv.DictReader(file)}
        assert marked.items() <= {1: "0", 2: "1", 3: "0", 4: "1", 5: "0"}.items()


def test_boxes_in_label_studio_count_from_the_zero_of_the_file(small, tmp_path):
    """Sound first, pictures from 1.0 s on: what plays the file shows the first picture at frame 26."""
    silent = write_clip(tmp_path / "silent.mp4", count=10, options={"bf": "0"}).path
    with av.open(str(silent)) as source, av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        sound = out.add_stream("aac", rate=48_000, layout="mono")
        out.mux(tone(sound, 1.4))
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts += round(1 / packet.time_base)
                packet.dts = packet.pts
                packet.stream = stream
                out.mux(packet)
    run = track(tmp_path / "a.mp4", **small)
    assert run.manifest["video"]["starts_at_s"] == pytest.approx(1.0, abs=0.001)
    assert next(run.frames()).time_s == 0
    (task,) = json.loads(exported(run, "label-studio", tmp_path, "a.json").read_text())
    firsts = [result["value"]["sequence"][0]["frame"] for result in task["predictions"][0]["result"]]
    assert min(firsts) == 26


def test_the_rate_that_was_measured_goes_into_exports(small, tmp_path):
    with av.open(str(tmp_path / "a.avi"), "w") as out:
        stream = out.add_stream("mjpeg", rate=50)
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuvj420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(paint(number)).reformat(format="yuvj420p")
            frame.pts = 2 * number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    run = track(tmp_path / "a.avi", **small)
    export(run.path, "mot", tmp_path / "mot")
    assert "frameRate=25\n" in (tmp_path / "mot" / "seqinfo.ini").read_text()
    export(run.path, "label-studio", tmp_path / "a.json")
    assert 'framerate="25"' in (tmp_path / "a.config.xml").read_text()


def test_label_studio_counts_by_the_rate_that_its_setup_names(small, tmp_path):
    run = track(write_clip(tmp_path / "a.mp4", rate=NTSC).path, **small)
    export(run.path, "label-studio", tmp_path / "a.json")
    setup = (tmp_path / "a.config.xml").read_text()
    assert float(setup.split('framerate="')[1].split('"')[0]) == pytest.approx(30000 / 1001, rel=1e-8)


def test_remarks_are_on_the_review_page(run, small, lots, tmp_path):
    shutil.copytree(lots / "lot.2", tmp_path / "lot")
    (tmp_path / "lot" / "part-3.png").unlink()
    finished = track(tmp_path / "lot", fps=10, **small)
    remark = "1 number is missing among the names (3)"
    assert remark in (finished.path / "review.html").read_text()
    assert remark not in (run.path / "review.html").read_text()
    assert Run.open(finished.path).manifest["remarks"][0]["about"] == "missing images"
