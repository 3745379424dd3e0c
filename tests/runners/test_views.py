"""A list of cameras that names a file more than once: each camera and stream has a run of its own."""

from pathlib import Path

import pytest

from tests.helpers.archives import tables_of
from tests.helpers.desk_pool import DeskPool
from tests.helpers.small_runs import SMALL, small_clip, small_run
from vidconcept.errors import UsageError
from vidconcept.fleet.footage import Film
from vidconcept.fleet.intake import Listed
from vidconcept.fleet.shards import Shard
from vidconcept.fleet.summarising import summary_rows
from vidconcept.runners.batch import Batch
from vidconcept.runners.call import Asked


@pytest.fixture
def listed(tmp_path):
    """What the lines of a list give for a folder of two files."""
    for name in "ab":
        (tmp_path / f"{name}.mp4").touch()

    def films(*lines: str, also: tuple[str, ...] = (), shard: Shard | None = None) -> list[Film]:
        table = tmp_path / "cameras.csv"
        table.write_text("\n".join(["camera;video;concepts;stream", *lines]))
        asked = Asked(tmp_path / "runs", {"concepts": ("dent",)}, shard=shard)
        return asked.films([*also, str(table)])

    return films


def test_each_camera_and_stream_of_a_file_is_a_film(listed):
    left, right, deep = listed("left;a.mp4;scratch;0", "right;a.mp4;scratch,dent;1", "right;a.mp4;;2")
    assert [film.title.partition(", ")[2] for film in (left, right, deep)] == ["", "right, stream 1", "right, stream 2"]
    assert [film.settings["concepts"] for film in (left, right, deep)] == [("scratch",), ("scratch", "dent"), ("dent",)]
    assert len({film.run_name for film in (left, right, deep)}) == 3
    # The first has the folder of a file that is named once.
    assert left.run_name == Film(left.source).run_name


def test_a_line_without_a_camera_is_a_film_beside_the_others(listed):
    named, unnamed = listed("left;a.mp4;;", ";a.mp4;;")
    assert named.run_name != unnamed.run_name


def test_a_line_that_says_the_same_again_is_no_other_film(listed):
    assert len(listed("left;*.mp4;;", "left;a.mp4;;")) == 2


def test_two_lines_that_disagree_are_refused(listed):
    with pytest.raises(UsageError, match=r"different settings for .*a\.mp4 \(left, stream 1\)\. Next: take one out"):
        listed("left;*.mp4;;1", "left;a.mp4;scratch;1")


def test_the_list_goes_before_other_arguments_that_find_the_file(listed, tmp_path):
    films = listed("left;a.mp4;scratch;", also=(str(tmp_path / "*.mp4"),))
    assert [(film.source.name, film.camera, film.settings["concepts"]) for film in films] == [
        ("a.mp4", "left", ("scratch",)),
        ("b.mp4", "", ("dent",)),
    ]


def test_each_view_is_in_one_shard(listed):
    lines = [f"cam{number};a.mp4;;" for number in range(8)]
    shards = [listed(*lines, shard=Shard(index, 3)) for index in range(3)]
    assert sorted(film.camera for shard in shards for film in shard) == [f"cam{number}" for number in range(8)]


def test_a_folder_whose_name_ends_as_a_list_is_a_folder(tmp_path):
    folder = tmp_path / "line.csv"
    folder.mkdir()
    (folder / "a.mp4").touch()
    assert [film.source for film in Asked(tmp_path / "runs").films([str(folder)])] == [folder / "a.mp4"]


def test_each_view_has_the_run_of_track(tmp_path, tiny_model):
    clip: Path = small_clip(tmp_path / "a.mp4", 9)
    table, runs = tmp_path / "cameras.csv", tmp_path / "runs"
    table.write_text("camera,video,threshold\nleft,a.mp4,0.01\nright,a.mp4,0.02\n")
    films = Asked(runs, {"concepts": ("scratch", "dent"), "model": str(tiny_model), **SMALL}).films([str(table)])
    board = Batch(runs, Listed(films), DeskPool()).run()
    assert (board.films, board.done, board.failed) == (2, 2, [])
    for film, threshold in zip(films, (0.01, 0.02), strict=True):
        alone = small_run(clip, tiny_model, tmp_path / film.camera, threshold=threshold)
        assert tables_of(runs / film.run_name) == tables_of(alone.path)
    assert sorted(row.camera for row in summary_rows(runs)) == ["left", "right"]
    # The next call knows both by their records.
    assert Batch(runs, Listed(films), DeskPool()).run().skipped == 2
