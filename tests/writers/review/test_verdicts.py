"""Verdicts: back into the run that they were given for, and into no other."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.review_runs import RUN_ID, make_run
from vidconcept.errors import InputError, UsageError
from vidconcept.manifest import read_run
from vidconcept.types import Event, Recurring
from vidconcept.writers import tables
from vidconcept.writers.exchange.export import export
from vidconcept.writers.review.data import _make_series, collect_review_data
from vidconcept.writers.review.index import review
from vidconcept.writers.review.page import escape_json, fill_template, write_recurring_html


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    make_run(tmp_path / "run", frames=12, video=False)
    return tmp_path / "run"


def verdicts_csv(
    path: Path, events: list[Event], verdicts: list[str], run_id: str = RUN_ID, before: list[str] | None = None
) -> Path:
    """As the page downloads it; before=None: as pages did that did not say what stood there before."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        columns = ["run_id", "event_id", "tracker_id", "concept", "start_frame", "start_s", "end_s", "verdict"]
        writer.writerow([*columns, *(["verdict_before"] if before else [])])
        for n, (e, verdict) in enumerate(zip(events, verdicts, strict=True)):
            name = f"'{e.concept}" if e.concept.startswith("=") else e.concept
            head = [run_id, e.event_id, e.tracker_id, name, e.start_frame]
            writer.writerow([*head, f"{e.start_s:.6f}", f"{e.end_s:.6f}", verdict, *([before[n]] if before else [])])
    return path


def test_the_page_draws_each_concept_s_own_threshold(run_dir: Path) -> None:
    path = run_dir / "run.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    first, second, third = manifest["concepts"]
    settings = {"threshold": 0.7, "thresholds": {second: 0.4}}
    for more, share in (({}, 1.0), ({"hysteresis": 0.5}, 0.5)):
        path.write_text(json.dumps(manifest | {"settings": settings | more}), encoding="utf-8")
        levels_of = {c["name"]: c["levels"] for c in collect_review_data(run_dir, read_run(run_dir))["concepts"]}
        assert {name: levels[0] for name, levels in levels_of.items()} == {first: 0.7, second: 0.4, third: 0.7}
        assert levels_of[second] == ([0.4] if share == 1.0 else [0.4, pytest.approx(0.4 * share)])


def test_they_are_written_into_the_events_and_every_later_export(run_dir: Path, tmp_path: Path) -> None:
    events = tables.read_events(run_dir / "events.csv")
    assert len(events) == 2
    page, summary = review(run_dir, verdicts_csv(tmp_path / "v.csv", events, ["reject", "accept"]))
    assert summary.startswith("1 accepted, 1 rejected, 0 unsure, 0 open")
    assert [e.verdict for e in tables.read_events(run_dir / "events.csv")] == ["reject", "accept"]
    assert '"verdict":"reject"' in page.read_text(encoding="utf-8")
    export(run_dir, "csv", tmp_path / "accepted.csv", verdict=["accept"])
    assert {t.tracker_id for t in tables.read_tracks(tmp_path / "accepted.csv")} == {2}


def test_a_selection_does_not_replace_the_whole_and_one_of_nothing_says_so(run_dir: Path) -> None:
    export(run_dir, "coco")
    (whole,) = (run_dir / "exports").glob("*.coco.json")
    before = whole.read_bytes()
    told = export(run_dir, "coco", verdict=["unsure"])
    assert whole.read_bytes() == before
    assert len(list((run_dir / "exports").glob("*.coco.json"))) == 2
    assert told.startswith("0 tracks as coco")
    assert "2 open" in told


def test_a_span_beyond_the_film_is_told_when_its_frames_are(run_dir: Path) -> None:
    last_s = list(tables.read_frames(run_dir / "frames.csv"))[-1].time_s
    assert export(run_dir, "csv", start_s=20).endswith(f"has 2 open, frames from 0.000 s to {last_s:.3f} s")


def test_nothing_else_changes(run_dir: Path, tmp_path: Path) -> None:
    events = tables.read_events(run_dir / "events.csv")
    before = (run_dir / "events.csv").read_text(encoding="utf-8")
    review(run_dir, verdicts_csv(tmp_path / "v.csv", events, ["unsure", ""]))
    review(run_dir, verdicts_csv(tmp_path / "v.csv", events, ["", ""]))
    assert (run_dir / "events.csv").read_text(encoding="utf-8") == before


def test_columns_that_somebody_added_stay(run_dir: Path, tmp_path: Path) -> None:
    path = run_dir / "events.csv"
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    own = ["'=HYPERLINK(1)", '"rework, then pack"']
    path.write_text("\n".join([f"{head},comment", *map(",".join, zip(rows, own, strict=True))]), encoding="utf-8")
    review(run_dir, verdicts_csv(tmp_path / "v.csv", tables.read_events(path), ["reject", "accept"]))
    with open(path, encoding="utf-8", newline="") as file:
        read_back = [(row["verdict"], row["comment"]) for row in csv.DictReader(file)]
    assert read_back == [("reject", "'=HYPERLINK(1)"), ("accept", "rework, then pack")]


def test_columns_that_somebody_added_keep_their_decimal_commas(run_dir: Path, tmp_path: Path) -> None:
    path = run_dir / "events.csv"
    head, *rows = path.read_text(encoding="utf-8").splitlines()
    as_saved = [head.replace(",", ";") + ";depth", *(row.replace(",", ";").replace(".", ",") + ";3,5" for row in rows)]
    path.write_text("\n".join(as_saved), encoding="utf-8")
    review(run_dir, verdicts_csv(tmp_path / "v.csv", tables.read_events(path), ["reject", "accept"]))
    assert [cells["depth"] for cells in tables.read_own_columns(path).values()] == ["3,5", "3,5"]


def test_an_event_that_is_judged_twice_is_refused_where_the_verdicts_differ(run_dir: Path, tmp_path: Path) -> None:
    first, second = tables.read_events(run_dir / "events.csv")
    path, before = tmp_path / "v.csv", (run_dir / "events.csv").read_bytes()
    verdicts_csv(path, [first, second, first], ["accept", "", "reject"], before=["", "", ""])
    with pytest.raises(UsageError, match="judges event 1 twice: accept, and reject"):
        review(run_dir, path)
    assert (run_dir / "events.csv").read_bytes() == before
    # Two downloads in one file: the second reviewer left the event alone.
    verdicts_csv(path, [first, second, first, second], ["accept", "", "", "reject"], before=["", "", "", ""])
    review(run_dir, path)
    assert [e.verdict for e in tables.read_events(run_dir / "events.csv")] == ["accept", "reject"]


def test_rows_that_nobody_judged_leave_alone_what_others_decided(run_dir: Path, tmp_path: Path) -> None:
    events = tables.read_events(run_dir / "events.csv")
    open_rows = ["", ""]
    alice = verdicts_csv(tmp_path / "alice.csv", events, ["accept", ""], before=open_rows)
    bob = verdicts_csv(tmp_path / "bob.csv", events, ["", "reject"], before=open_rows)
    assert review(run_dir, alice)[1].endswith("; 1 new verdict, 0 replaced, 0 removed")
    _, summary = review(run_dir, bob)
    assert summary.startswith("1 accepted, 1 rejected, 0 unsure, 0 open")
    assert summary.endswith("; 1 new verdict, 0 replaced, 0 removed")
    carol = verdicts_csv(tmp_path / "carol.csv", events, ["", "accept"], before=["accept", "reject"])
    assert review(run_dir, carol)[1].endswith("; 0 new verdicts, 1 replaced, 1 removed")
    assert [e.verdict for e in tables.read_events(run_dir / "events.csv")] == ["", "accept"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"run_id": "another"}, "holds verdicts of run another"),
        ({"start_frame": 3}, "was tracked again since"),
        ({"event_id": 9}, "which .* does not have"),
    ],
)
def test_verdicts_of_another_run_are_refused(
    run_dir: Path, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    events = tables.read_events(run_dir / "events.csv")
    path = verdicts_csv(tmp_path / "v.csv", events, ["accept", "accept"])
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows([rows[0], rows[1] | change])
    before = (run_dir / "events.csv").read_bytes()
    with pytest.raises(UsageError, match=message):
        review(run_dir, path)
    assert (run_dir / "events.csv").read_bytes() == before


def test_a_word_that_is_no_verdict_is_named(run_dir: Path, tmp_path: Path) -> None:
    events = tables.read_events(run_dir / "events.csv")
    with pytest.raises(InputError, match="line 2: no verdict 'good'"):
        review(run_dir, verdicts_csv(tmp_path / "v.csv", events, ["good", ""]))
    with pytest.raises(InputError, match="line 3: no verdict 'old'"):
        review(run_dir, verdicts_csv(tmp_path / "v.csv", events, ["", ""], before=["", "old"]))


class TestIndex:
    def test_the_worst_run_comes_first(self, tmp_path: Path) -> None:
        make_run(tmp_path / "few", frames=12, video=False)
        make_run(tmp_path / "many", frames=70, video=False, run_id="1" * 32)
        page, summary = review(tmp_path)
        text = page.read_text(encoding="utf-8")
        assert summary == "2 runs"
        assert text.index("many/review.html") < text.index("few/review.html")
        assert (tmp_path / "few" / "review.html").is_file()
        assert "<img src=x" not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text

    def test_maps_that_a_calibration_keeps_are_no_runs(self, tmp_path: Path) -> None:
        make_run(tmp_path / "few", frames=12, video=False)
        (tmp_path / "good.calibration.maps" / "a").mkdir(parents=True)
        (tmp_path / "good.calibration.maps" / "a" / "run.json").write_text("{}")
        assert review(tmp_path)[1] == "1 run"

    def test_rejected_events_do_not_make_a_run_worse(self, tmp_path: Path) -> None:
        make_run(tmp_path / "few", frames=12, video=False)
        make_run(tmp_path / "many", frames=70, video=False, run_id="1" * 32)
        events = tables.read_events(tmp_path / "many" / "events.csv")
        path = verdicts_csv(tmp_path / "v.csv", events, ["reject"] * len(events), run_id="1" * 32)
        review(tmp_path / "many", path)
        text = review(tmp_path)[0].read_text(encoding="utf-8")
        assert text.index("few/review.html") < text.index("many/review.html")

    def test_events_are_counted_as_in_the_tables_and_rejected_ones_named(self, tmp_path: Path) -> None:
        make_run(tmp_path / "run", frames=12, video=False)
        first, second = tables.read_events(tmp_path / "run" / "events.csv")
        review(tmp_path / "run", verdicts_csv(tmp_path / "v.csv", [first, second], ["reject", ""]))
        text = review(tmp_path)[0].read_text(encoding="utf-8")
        assert "1 run · 2 events, 1 rejected" in text
        numbers = re.findall(r'<td class="number[^"]*">([^<]*)</td>', text)
        assert numbers == ["1", "1", "0", "2", f"{second.peak_score:.2f}"]

    def test_verdicts_for_a_folder_of_runs_are_refused(self, tmp_path: Path) -> None:
        make_run(tmp_path / "runs" / "a", frames=12, video=False)
        with pytest.raises(UsageError, match="verdicts belong to one"):
            review(tmp_path / "runs", tmp_path / "v.csv")

    def test_an_empty_folder_has_no_runs(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="holds no run"):
            review(tmp_path)
        with pytest.raises(InputError, match="nowhere does not exist"):
            review(tmp_path / "nowhere")

    @pytest.mark.parametrize("left", ["20261129T081500Z.partial", "20261129T081500Z.1a2b3c4d.partial.mp4"])
    def test_a_folder_whose_first_recording_is_under_way_says_so(self, tmp_path: Path, left: str) -> None:
        (tmp_path / left).touch()
        with pytest.raises(InputError, match=r"the recording 20261129T081500Z is not finished\. Next: wait until"):
            review(tmp_path)


class TestRecurring:
    def groups(self, *kept: bool, concept: str = "dent") -> list[Recurring]:
        return [Recurring(n, concept, n, 0.0, 1.0, 3, 0.5, (0, 0, 9, 9), k) for n, k in enumerate(kept, start=1)]

    @pytest.mark.parametrize(
        ("kept", "asked"), [((False, False), "1"), ((True, False), "1,2"), ((False, True, False), "1,2")]
    )
    def test_the_command_keeps_one_group_more(self, kept: tuple[bool, ...], asked: str) -> None:
        assert f"--keep-recurring {asked}<" in write_recurring_html(self.groups(*kept))

    def test_none_is_proposed_where_all_are_kept(self) -> None:
        page = write_recurring_html(self.groups(True, True))
        assert "--keep-recurring" not in page
        assert "2 recurring groups, 2 kept as findings" in page
        assert "dent, 1 time, " in page

    @pytest.mark.parametrize(("kept", "words"), [((True, False), "1 recurring group ·"), ((True,), None)])
    def test_the_summary_counts_those_that_are_no_findings(
        self, run_dir: Path, kept: tuple[bool, ...], words: str | None
    ) -> None:
        run = read_run(run_dir)
        tables.write_recurring(run_dir / "recurring.csv", self.groups(*kept, concept=run.concepts[0]))
        summary = collect_review_data(run_dir, run)["summary"]
        assert words in summary if words else "recurring" not in summary


class TestTemplate:
    def test_what_a_part_contains_is_no_placeholder(self) -> None:
        assert fill_template("<{{a}}|{{b}}>", {"a": "{{b}}", "b": "x"}) == "<{{b}}|x>"

    def test_data_cannot_end_its_script_element(self) -> None:
        assert "<" not in escape_json({"name": "</script><script>alert(1)</script><!--"})


def test_the_length_ends_when_the_last_frame_has_been_shown(tmp_path: Path) -> None:
    make_run(tmp_path, frames=8, video=False)
    times_s = sorted({row.time_s for row in tables.read_frames(tmp_path / "frames.csv")})
    length_s = times_s[-1] + float(np.median(np.diff(times_s)))
    assert f" · 8 frames · {length_s:.1f} s · " in collect_review_data(tmp_path, read_run(tmp_path))["summary"]


@pytest.mark.parametrize("frames", [1, 1999, 2000, 5003])
def test_the_strip_ends_where_the_video_does_and_keeps_every_peak(frames):
    scores = np.random.default_rng(0).random((2, frames)).astype(np.float32)
    series = _make_series(np.arange(frames) / 25, scores)
    assert series["time_s"][-1] == pytest.approx((frames - 1) / 25)
    assert [max(line) for line in series["scores"]] == pytest.approx(scores.max(1), abs=1e-3)
    assert len(series["time_s"]) <= 2001


@pytest.mark.parametrize("frames", [50, 5003])
def test_the_strip_is_empty_in_a_hole_in_time(frames):
    """Twice as many seconds of nothing after the first half."""
    half = frames // 2
    times = np.concatenate([np.arange(half) / 25, 3 * half / 25 + np.arange(frames - half) / 25])
    series = _make_series(times, np.full((2, frames), 0.9, np.float32))
    assert series["time_s"] == sorted(set(series["time_s"]))
    for line in series["scores"]:
        (at,) = [k for k, score in enumerate(line) if score is None]
        assert series["time_s"][at] == pytest.approx(half / 25, abs=0.001)
        assert series["time_s"][at + 1] == pytest.approx(3 * half / 25, abs=0.001)


class TestSpreadsheets:
    """What Excel and others leave of the verdicts when somebody opens and saves them."""

    def judged(self, run_dir: Path, path: Path) -> str:
        review(run_dir, path)
        return ",".join(event.verdict for event in tables.read_events(run_dir / "events.csv"))

    def saved(self, run_dir: Path, path: Path, change, **how) -> Path:
        events = tables.read_events(run_dir / "events.csv")
        text = verdicts_csv(path, events, ["reject", "accept"]).read_text(encoding="utf-8")
        path.write_bytes(change(text).encode(how.get("encoding", "utf-8")))
        return path

    @pytest.mark.parametrize("separator", [";", "\t"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
    def test_other_separators_and_encodings_are_read(self, separator, encoding, run_dir, tmp_path):
        def change(text):
            rows = [line.split(",") for line in text.splitlines()]
            return "\r\n".join(separator.join(cell.replace(".", ",") for cell in row) for row in rows) + "\r\n"

        path = self.saved(run_dir, tmp_path / "v.csv", change, encoding=encoding)
        assert self.judged(run_dir, path) == "reject,accept"

    def test_the_line_that_names_the_separator_is_no_header(self, run_dir, tmp_path):
        path = self.saved(run_dir, tmp_path / "v.csv", lambda text: "sep=;\n" + text.replace(",", ";"))
        assert self.judged(run_dir, path) == "reject,accept"

    def test_a_code_page_is_named_as_the_trouble(self, run_dir, tmp_path):
        path = self.saved(run_dir, tmp_path / "v.csv", lambda text: text.replace("傷", "ö"), encoding="cp1252")
        with pytest.raises(InputError, match='save it as "CSV UTF-8"'):
            review(run_dir, path)


class TestExcel:
    def exported(self, run_dir: Path, path: Path, **how) -> str:
        export(run_dir, "csv", path, excel=True, **how)
        return path.read_bytes().decode("utf-8")

    @pytest.mark.parametrize("locale", [None, "de", "fr_FR.UTF-8", "pt-BR"])
    def test_commas_in_numbers_and_semicolons_between_cells(self, locale, run_dir, tmp_path):
        text = self.exported(run_dir, tmp_path / "a.csv", locale=locale)
        assert text[0] == "\ufeff"
        row = next(csv.DictReader(text[1:].splitlines(), delimiter=";"))
        assert "," in row["time_s"]
        assert "." not in row["confidence"] + row["score_mean"] + row["score_max"]
        plain = next(tables.read_tracks(run_dir / "tracks.csv"))
        assert next(tables.read_tracks(tmp_path / "a.csv")) == plain

    @pytest.mark.parametrize(("locale", "between"), [("en", ","), ("en-GB", ","), ("ja", ","), ("de-CH", ";")])
    def test_points_where_a_country_writes_so(self, locale, between, run_dir, tmp_path):
        lines = self.exported(run_dir, tmp_path / "a.csv", locale=locale)[1:].splitlines()
        assert "." in next(csv.DictReader(lines, delimiter=between))["time_s"]

    def test_options_that_would_do_nothing(self, run_dir, tmp_path):
        with pytest.raises(UsageError, match=r"'tlh'.* is not known"):
            export(run_dir, "csv", tmp_path / "a.csv", excel=True, locale="tlh")
        with pytest.raises(UsageError, match="`excel` is for csv"):
            export(run_dir, "coco", tmp_path / "a.json", excel=True)
        with pytest.raises(UsageError, match="give `excel` too"):
            export(run_dir, "csv", tmp_path / "a.csv", locale="de")
