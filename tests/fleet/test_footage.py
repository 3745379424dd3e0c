"""What counts as a film, what it is called, and in which shard it is."""

import errno
import os
import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidconcept.errors import InputError, UsageError
from vidconcept.fleet.footage import Film, find_films
from vidconcept.fleet.shards import Shard


@pytest.fixture
def archive(tmp_path) -> Path:
    """Two cameras; beside their films what is none: notes, a hidden file, pictures, a run with its own video."""
    for name in ("cam1/a.mp4", "cam1/b.MKV", "cam2/a.mp4", "cam1/notes.txt", "cam2/.hidden.mp4", "stills/1.png"):
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    run = tmp_path / "archive" / "cam1" / "a.vidconcept"
    run.mkdir()
    (run / "run.json").touch()
    (run / "annotated.mp4").touch()
    return tmp_path / "archive"


def found(archive: Path, *arguments, **options) -> list[str]:
    options.setdefault("out", archive / "runs")
    return [str(path.relative_to(archive)) for path in find_films(arguments, **options)]


def test_a_folder_is_searched_at_any_depth(archive):
    (archive / "runs").mkdir()
    (archive / "runs" / "x.mp4").touch()
    (archive / "cam2" / "back").symlink_to(archive)
    assert found(archive, str(archive)) == ["cam1/a.mp4", "cam1/b.MKV", "cam2/a.mp4"]


def test_a_film_that_is_still_being_written_is_taken_only_where_it_is_asked_for(archive):
    partial = archive / "cam1" / "20261129T081500Z.1a2b3c4d.partial.mp4"
    partial.touch()
    whole = ["cam1/a.mp4", "cam1/b.MKV", "cam2/a.mp4"]
    assert found(archive, str(archive)) == whole
    assert found(archive, str(archive / "*" / "*")) == whole
    assert found(archive, str(archive / "**" / "*.mp4")) == ["cam1/a.mp4", "cam2/a.mp4"]
    for asked in (partial, archive / "cam1" / "*.partial.mp4"):
        assert found(archive, str(asked)) == [f"cam1/{partial.name}"]


def test_folders_of_pictures_count_where_their_rate_is_known(archive):
    assert "stills" in found(archive, str(archive), pictures=True)


def test_a_film_is_called_the_same_however_it_is_given(archive, monkeypatch):
    monkeypatch.chdir(archive)
    ways = {
        "folder": ["."],
        "quoted": ["cam*/*"],
        "any depth": ["**/*.mp4", str(archive / "*" / "b*")],
        "by the shell": ["cam2/a.mp4", "./cam1/b.MKV", "cam1/../cam1/a.mp4"],
        "list": ["-"],
    }
    names = set()
    for arguments in ways.values():
        sources = find_films(arguments, out=archive / "runs", listed=["cam1/a.mp4\n", "\n", "cam1/b.MKV\r\n", "cam2"])
        names.add(frozenset(Film(source).run_name for source in sources))
    assert len(names) == 1
    assert len(next(iter(names))) == 3


def test_each_film_once(archive):
    assert found(archive, str(archive / "cam1"), str(archive / "cam1" / "a.mp4")) == ["cam1/a.mp4", "cam1/b.MKV"]


@pytest.mark.parametrize("argument", ["stills", "cam?/*.avi", "-"])
def test_nothing_found_is_an_error(archive, argument, monkeypatch):
    monkeypatch.chdir(archive)
    with pytest.raises(InputError, match="no film"):
        found(archive, argument)


def test_a_path_that_is_not_there(archive, monkeypatch):
    monkeypatch.chdir(archive)
    with pytest.raises(InputError, match=r"cam3 does not exist"):
        found(archive, "cam3")
    # One of many in a list costs itself, later.
    assert found(archive, "-", listed=["gone.mp4", "cam1/a.mp4"]) == ["gone.mp4", "cam1/a.mp4"]


class TestUnread:
    """What cannot be looked into is told, and the rest is found."""

    @pytest.fixture
    def told(self) -> dict[Path, str]:
        return {}

    @pytest.fixture
    def search(self, archive, told):
        def search(*arguments: str) -> list[str]:
            def searched(place: Path, reason: str) -> None:
                told[place] = reason

            return found(archive, *arguments, searched=searched)

        return search

    @pytest.fixture
    def broken(self, archive, monkeypatch) -> Path:
        """A folder of a disk that does not answer."""
        folder, scandir = archive / "cam2", os.scandir

        def fail(place=".", **options):
            if Path(os.fsdecode(place)) == folder:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return scandir(place, **options)

        monkeypatch.setattr("os.scandir", fail)
        return folder

    @pytest.mark.parametrize("pattern", ["", "*/*.mp4", "**/*.mp4", "**/a.mp4", "cam*"])
    def test_a_folder(self, archive, broken, search, told, pattern):
        assert "cam1/a.mp4" in search(str(archive / pattern))
        assert "Input/output error. Next: " in told.pop(broken)
        assert set(told.values()) == {""}

    @pytest.mark.parametrize("name", ["cam3", "2026.11.30", "cam1/x.mp4"])
    def test_a_link_behind_which_films_may_be(self, archive, search, told, name):
        link = archive / name
        link.symlink_to(archive / "nowhere")
        (archive / "cam1" / "notes-of-others.txt").symlink_to(archive / "nowhere")
        assert search(str(archive)) == ["cam1/a.mp4", "cam1/b.MKV", "cam2/a.mp4"]
        assert [place for place, reason in told.items() if reason] == [link]
        assert told[link] == (
            f"{link} is a link that cannot be followed: No such file or directory. "
            "Next: mount its disk, or remove the link"
        )
        told.clear()
        search(str(link.parent / "*"))
        assert told[link]

    def test_a_link_in_a_circle_hides_no_film_beside_it(self, archive, search, told):
        (archive / "cam1" / "circle").symlink_to(archive / "cam1" / "circle")
        (archive / "cam1" / "circle.txt").symlink_to(archive / "cam1" / "circle.txt")
        assert "cam1/a.mp4" in search(str(archive))
        assert [place.name for place, reason in told.items() if reason] == ["circle"]

    def test_nothing_but_that_is_no_error(self, archive, broken, search, told):
        assert search(str(broken)) == []
        assert told[broken]


class TestInvalidNames:
    """Names that no table can hold: told with their folder, and the rest is found."""

    BAD = os.fsdecode(b"b\xff.mp4")

    @pytest.mark.parametrize("argument", ["", "cam1/*", "**/*.mp4", "-"])
    def test_one_among_others_is_told(self, archive, argument):
        bad, told = archive / "cam1" / self.BAD, {}
        bad.touch()
        given = argument if argument == "-" else str(archive / argument)
        listed = [str(archive / "cam1" / "a.mp4"), str(bad)]
        assert "cam1/a.mp4" in found(archive, given, searched=told.__setitem__, listed=listed)
        assert told[bad.parent] == f"the name {os.fsencode(bad)!r} is not UTF-8. Next: rename it"

    def test_of_several_their_common_folder_is_told_once(self, archive):
        bad, told = archive / os.fsdecode(b"f\xfcr"), {}
        bad.mkdir()
        (bad / "a.mp4").touch()
        (bad / "b.mp4").touch()
        assert found(archive, str(archive), searched=told.__setitem__)[-1] == "cam2/a.mp4"
        assert told[archive].endswith("/f\\xfcr/a.mp4' is not UTF-8. Next: rename it, and 1 more")

    def test_on_the_command_line_it_is_an_error(self, archive):
        (archive / self.BAD).touch()
        with pytest.raises(InputError, match=r"is not UTF-8\. Next: rename it"):
            found(archive, str(archive / self.BAD))


def test_ten_thousand_films_are_found_quickly_in_flat_memory(tmp_path):
    for number in range(10_000):
        if number % 100 == 0:
            (tmp_path / f"cam{number // 100}").mkdir()
        (tmp_path / f"cam{number // 100}" / f"{number:05d}.mp4").touch()
    tracemalloc.start()
    began_s = time.perf_counter()
    count = sum(1 for _ in find_films([str(tmp_path)], out=tmp_path / "runs"))
    took_s = time.perf_counter() - began_s
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 10_000
    assert took_s < 10
    assert peak < 2_000_000


class TestShards:
    @given(names=st.sets(st.text("abc/", min_size=1, max_size=8), min_size=1), count=st.integers(1, 20))
    def test_each_film_is_in_one_shard(self, names, count):
        films = [Film(Path(f"/x/{name}.mp4")) for name in names]
        shards = [Shard(index, count) for index in range(count)]
        assert all(sum(shard.holds(film) for shard in shards) == 1 for film in films)

    def test_other_films_and_their_order_move_none(self):
        films = [Film(Path(f"/archive/{number:04d}.mp4")) for number in range(200)]
        shard = Shard.parse("2/5")
        mine = {film.key for film in films[:100] if shard.holds(film)}
        assert {film.key for film in reversed(films) if shard.holds(film)} & {f.key for f in films[:100]} == mine

    def test_the_parts_are_of_like_size(self):
        films = [Film(Path(f"/archive/{number:04d}.mp4")) for number in range(4000)]
        sizes = [sum(Shard(index, 8).holds(film) for film in films) for index in range(8)]
        # Four standard deviations of a fair draw.
        assert all(abs(size - 500) < 4 * (4000 * 1 / 8 * 7 / 8) ** 0.5 for size in sizes)

    @pytest.mark.parametrize("text", ["8/8", "-1/8", "1", "a/b", "1/0", ""])
    def test_what_is_no_shard(self, text):
        with pytest.raises(UsageError, match="not I/N"):
            Shard.parse(text)
