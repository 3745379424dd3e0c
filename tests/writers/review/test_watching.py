"""Playing, stepping, seeking, what is shown."""

import csv
import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from tests.helpers.review_runs import CONCEPTS, SIZE
from tests.helpers.seeing import frame_shown, media_s, until
from tests.helpers.streams import serving_whole_files
from vidconcept.writers import tables
from vidconcept.writers.review.page import write_review

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser


def shift_times(run_dir: Path, first_frame: int, by_s: float) -> None:
    """As if years had passed before a frame, which the film leaves out."""
    columns = {"frames.csv": {"time_s": "frame_index"}, "events.csv": {"start_s": "start_frame", "end_s": "end_frame"}}
    for name, times in columns.items():
        rows = list(csv.DictReader((run_dir / name).open(newline="")))
        for row in rows:
            row |= {
                time: f"{float(row[time]) + by_s * (int(row[at]) >= first_frame):.6f}" for time, at in times.items()
            }
        with (run_dir / name).open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
    manifest = json.loads((run_dir / "run.json").read_text())
    frames = [*dict.fromkeys(row.frame_index for row in tables.read_frames(run_dir / "frames.csv"))]
    (run_dir / "run.json").write_text(json.dumps(manifest | {"film_skips": [[frames.index(first_frame), by_s]]}))
    write_review(run_dir)


class TestVideo:
    def test_it_plays_to_its_end_beside_the_page(self, page: "playwright.Page", run_dir: Path) -> None:
        *_, last = tables.read_frames(run_dir / "frames.csv")
        page.evaluate("document.getElementById('video').playbackRate = 4")
        page.keyboard.press(" ")
        until(page, "document.getElementById('video').ended")
        film = page.evaluate("(v => [v.videoWidth, v.videoHeight, v.duration])(document.getElementById('video'))")
        assert tuple(film[:2]) == SIZE
        assert film[2] == pytest.approx(last.time_s, abs=0.1)
        assert frame_shown(page) == last.frame_index

    def test_stepping_shows_every_frame_of_a_variable_rate(self, page: "playwright.Page", run_dir: Path) -> None:
        times = {r.frame_index: r.time_s for r in tables.read_frames(run_dir / "frames.csv")}
        for frame in range(1, 16):
            page.keyboard.press(".")
            assert frame_shown(page) == frame
            assert media_s(page) == pytest.approx(times[frame], abs=1e-3)
        page.keyboard.press(",")
        assert frame_shown(page) == 14
        assert media_s(page) == pytest.approx(times[14], abs=1e-3)

    def test_it_shows_where_the_video_is_that_a_server_does_not_let_jump(
        self, browser: "playwright.Browser", run_dir: Path
    ) -> None:
        page = browser.new_page()
        with serving_whole_files(run_dir) as address:
            page.goto(f"{address}/review.html")
            until(page, "document.getElementById('video').readyState >= 2")
            assert not page.is_visible("#notice")
            page.keyboard.press(".")
            until(page, "!document.getElementById('notice').hidden")
            assert page.inner_text("#notice").startswith("The video cannot jump: this server sends files only whole.")
            assert frame_shown(page) == 0
            page.keyboard.press(" ")
            until(page, "document.getElementById('video').currentTime > 0.1")
            assert frame_shown(page) > 0
        page.close()

    def test_what_begins_again_after_its_end_has_not_failed_to_jump(self, page: "playwright.Page") -> None:
        page.keyboard.press("p")
        page.evaluate("document.getElementById('video').playbackRate = 4")
        page.keyboard.press(" ")
        until(page, "document.getElementById('video').ended")
        page.keyboard.press(" ")
        until(page, "!document.getElementById('video').paused && !document.getElementById('video').seeking")
        assert not page.is_visible("#notice")

    def test_space_plays_and_pauses(self, page: "playwright.Page") -> None:
        page.keyboard.press(" ")
        until(page, "!document.getElementById('video').paused")
        assert page.get_attribute("#play", "aria-label") == "Pause"
        page.keyboard.press(" ")
        until(page, "document.getElementById('video').paused")

    def test_the_policy_lets_nothing_else_run(self, browser: "playwright.Browser", run_dir: Path) -> None:
        context = browser.new_context()
        page = context.new_page()
        page.goto((run_dir / "review.html").as_uri())
        blocked = page.evaluate(
            """() => new Promise((done) => {
                document.addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective));
                const script = document.createElement("script");
                script.textContent = "window.ran = 1";
                document.body.append(script);
            })"""
        )
        assert blocked.startswith("script-src")
        assert page.evaluate("window.ran") is None
        assert page.evaluate("fetch('https://example.org').then(() => 'sent', () => 'blocked')") == "blocked"
        context.close()


class TestEvents:
    def test_n_and_p_seek_to_the_start_of_an_event(self, page: "playwright.Page", run_dir: Path) -> None:
        events = tables.read_events(run_dir / "events.csv")
        for event in events:
            page.keyboard.press("n")
            assert frame_shown(page) == event.start_frame
            assert media_s(page) == pytest.approx(event.start_s, abs=1e-3)
            assert page.inner_text("tr[aria-selected=true] td:nth-child(2)") == str(event.event_id)
        page.keyboard.press("p")
        assert frame_shown(page) == events[-2].start_frame

    def test_years_that_the_film_leaves_out_are_in_the_times_alone(
        self, browser: "playwright.Browser", run_dir: Path, tmp_path: Path
    ) -> None:
        folder = shutil.copytree(run_dir, tmp_path / "run")
        last, years_s = tables.read_events(folder / "events.csv")[-1], 3 * 365 * 86_400.0
        shift_times(folder, last.start_frame, years_s)
        context = browser.new_context()
        page = context.new_page()
        page.goto((folder / "review.html").as_uri())
        until(page, "document.getElementById('video').readyState >= 2")
        page.keyboard.press("p")
        assert frame_shown(page) == last.start_frame
        assert media_s(page) == pytest.approx(last.start_s, abs=1e-3)
        assert page.inner_text("#clock").startswith(f"{int(years_s // 3600)}:00:0")
        page.keyboard.press(",")
        assert frame_shown(page) == last.start_frame - 1
        assert page.inner_text("#clock").startswith("0:0")
        context.close()

    def test_a_click_on_a_row_seeks(self, page: "playwright.Page", run_dir: Path) -> None:
        events = tables.read_events(run_dir / "events.csv")
        page.click(f"#rows tr:nth-child({len(events)}) td:nth-child(4)")
        assert frame_shown(page) == events[-1].start_frame

    def test_a_click_on_a_strip_seeks_and_selects(self, page: "playwright.Page", run_dir: Path) -> None:
        event = tables.read_events(run_dir / "events.csv")[-1]
        strip = CONCEPTS.index(event.concept)
        box = page.locator(".plot .u-over").nth(strip).bounding_box()
        assert box is not None
        last_s = max(row.time_s for row in tables.read_frames(run_dir / "frames.csv"))
        middle_s = (event.start_s + event.end_s) / 2
        page.mouse.click(box["x"] + box["width"] * middle_s / last_s, box["y"] + box["height"] - 4)
        assert page.inner_text("tr[aria-selected=true] td:nth-child(2)") == str(event.event_id)
        assert media_s(page) == pytest.approx(middle_s, abs=0.1)

    def test_a_click_on_a_strip_that_trembles_or_hits_its_edge_seeks(
        self, page: "playwright.Page", run_dir: Path
    ) -> None:
        *_, last = tables.read_frames(run_dir / "frames.csv")
        box = page.locator(".plot .u-over").first.bounding_box()
        assert box is not None
        y = box["y"] + 5
        page.mouse.click(box["x"] + box["width"] - 0.5, y)
        assert frame_shown(page) >= last.frame_index - 1
        page.mouse.move(box["x"] + 100, y)
        page.mouse.down()
        page.mouse.move(box["x"] + 103, y)
        page.mouse.up()
        assert 0 < frame_shown(page) < last.frame_index

    def test_dragging_over_a_strip_zooms_and_does_not_seek(self, page: "playwright.Page") -> None:
        box = page.locator(".plot .u-over").first.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 100, box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + 200, box["y"] + 5, steps=4)
        page.mouse.up()
        assert frame_shown(page) == 0
        page.mouse.click(box["x"] + 2, box["y"] + 5)
        assert frame_shown(page) > 5

    def test_the_table_sorts(self, page: "playwright.Page", run_dir: Path) -> None:
        page.click("th button:has-text('Area')")
        areas = [int(t.replace(",", "")) for t in page.locator("#rows td:nth-child(7)").all_inner_texts()]
        assert areas == sorted(areas)
        page.click("th button:has-text('Area')")
        assert page.get_attribute("th:has-text('Area')", "aria-sort") == "descending"
        areas = [int(t.replace(",", "")) for t in page.locator("#rows td:nth-child(7)").all_inner_texts()]
        assert areas == sorted(areas, reverse=True)

    def test_thumbnails_are_there(self, page: "playwright.Page", run_dir: Path) -> None:
        until(page, "[...document.querySelectorAll('#rows img')].every((i) => i.complete && i.naturalWidth)")
        assert page.locator("#rows img").count() == len(tables.read_events(run_dir / "events.csv"))

    def test_l_loops_the_event(self, page: "playwright.Page", run_dir: Path) -> None:
        event = tables.read_events(run_dir / "events.csv")[0]
        page.keyboard.press("n")
        page.evaluate("document.getElementById('video').playbackRate = 4")
        page.keyboard.press("l")
        seen = []
        for _ in range(30):
            page.wait_for_timeout(50)
            seen.append(frame_shown(page))
        assert any(later < earlier for earlier, later in pairwise(seen))
        assert max(seen) <= event.end_frame + 4  # a browser may show a frame or two before it jumps
        assert page.get_attribute("#loop", "aria-pressed") == "true"


class TestConcepts:
    def test_names_are_text(self, page: "playwright.Page") -> None:
        assert page.locator(".strip .name").all_inner_texts() == list(CONCEPTS)
        assert set(page.locator("#rows .name").all_inner_texts()) == set(CONCEPTS)
        assert page.evaluate("document.querySelectorAll('img[src=x]').length") == 0

    def test_digits_toggle_them(self, page: "playwright.Page") -> None:
        before = page.locator("#rows tr").count()
        page.keyboard.press("1")
        assert page.get_attribute(".strip button >> nth=0", "aria-pressed") == "false"
        assert page.locator("#rows tr").count() < before
        assert CONCEPTS[0] not in page.locator("#rows .name").all_inner_texts()
        page.keyboard.press("1")
        assert page.locator("#rows tr").count() == before
