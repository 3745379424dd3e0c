"""Where the keys go, what keeps its place, and screens of other sizes and colours."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.helpers.review_runs import CONCEPTS, make_run
from tests.helpers.seeing import until
from vidconcept.writers import tables
from vidconcept.writers.review.index import review
from vidconcept.writers.review.page import write_review

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.browser

PLAYING = "!document.getElementById('video').paused"
FOCUSED = "(e => e.getAttribute('aria-label') || e.id || e.tagName)(document.activeElement)"
SELECTED = "document.querySelector('#rows [aria-selected=true] td:nth-child(2)')?.textContent"


def choose_by_pointer(page: "playwright.Page", select: str, key: str) -> None:
    """Opens the list with a click and takes the option that the key leads to."""
    before = page.input_value(select)
    page.click(select)
    page.keyboard.press(key)
    page.keyboard.press("Enter")
    until(page, f"document.querySelector('{select}').value !== '{before}'")


class TestPlace:
    def test_a_verdict_changes_its_own_row_alone(self, page: "playwright.Page") -> None:
        page.evaluate(
            """() => {
                window.changes = [];
                new MutationObserver((seen) => window.changes.push(...seen.map((change) =>
                    change.type === "childList" ? "rows" : change.target.closest("tr").children[1].textContent)))
                    .observe(document.getElementById("rows"), { childList: true, attributes: true, subtree: true });
            }"""
        )
        page.keyboard.press("n")
        page.keyboard.press("a")
        assert page.evaluate("[...new Set(window.changes)]") == ["1"]

    def test_the_table_stays_where_it_is_scrolled_to(self, page: "playwright.Page") -> None:
        page.set_viewport_size({"width": 1280, "height": 300})
        page.evaluate("document.getElementById('scroll').scrollTop = 1000")
        scrolled = page.evaluate("document.getElementById('scroll').scrollTop")
        assert scrolled > 0
        page.click("[aria-label='Reject event 4']")
        assert page.evaluate("document.getElementById('scroll').scrollTop") == scrolled

    def test_the_focus_stays_on_the_button(self, page: "playwright.Page") -> None:
        page.focus("[aria-label='Reject event 2']")
        page.keyboard.press("Enter")
        assert page.evaluate(FOCUSED) == "Reject event 2"
        page.keyboard.press("1")
        page.keyboard.press("1")
        assert page.evaluate(FOCUSED) == "Reject event 2"

    def test_a_row_that_goes_hands_the_focus_to_its_neighbour(self, page: "playwright.Page") -> None:
        page.select_option("#filter", "open")
        page.focus("[aria-label='Accept event 3']")
        for after in ("Accept event 4", "Accept event 2", "Accept event 1", "filter"):
            page.keyboard.press("Enter")
            assert page.evaluate(FOCUSED) == after
        assert page.inner_text("#empty") == "No event matches."

    def test_after_a_click_the_space_bar_plays(self, page: "playwright.Page") -> None:
        page.click("[aria-label='Accept event 2']")
        page.keyboard.press(" ")
        until(page, PLAYING)
        assert page.get_attribute("[aria-label='Accept event 2']", "aria-pressed") == "true"

    def test_a_verdict_does_not_move_rows_that_are_sorted_by_it(self, page: "playwright.Page") -> None:
        page.click("th button:has-text('Verdict')")
        page.click("[aria-label='Accept event 1']")
        numbers = page.locator("#rows td:nth-child(2)")
        assert numbers.all_inner_texts() == ["1", "2", "3", "4"]
        page.click("th button:has-text('Verdict')")
        page.click("th button:has-text('Verdict')")
        assert numbers.all_inner_texts() == ["2", "3", "4", "1"]


class TestKeys:
    def test_after_a_choice_by_pointer_they_belong_to_the_page(self, page: "playwright.Page") -> None:
        page.keyboard.press("n")
        choose_by_pointer(page, "#filter", "ArrowDown")
        page.keyboard.press("r")
        assert page.input_value("#filter") == "open"
        assert page.inner_text("#progress") == "1 of 4 judged"
        choose_by_pointer(page, "#speed", "ArrowUp")
        page.keyboard.press(" ")
        until(page, PLAYING)
        assert page.input_value("#speed") == "0.5"

    def test_a_list_that_was_opened_and_left_gives_them_back_too(self, page: "playwright.Page") -> None:
        page.keyboard.press("n")
        page.click("#filter")
        page.keyboard.press("Escape")
        page.keyboard.press("r")
        assert page.input_value("#filter") == "all"
        assert page.inner_text("#progress") == "1 of 4 judged"

    def test_a_list_that_was_reached_by_tab_keeps_them(self, page: "playwright.Page") -> None:
        page.keyboard.press("n")
        while page.evaluate(FOCUSED) != "filter":
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        assert page.input_value("#filter") == "open"
        page.keyboard.press("r")
        assert page.input_value("#filter") == "reject"
        assert page.evaluate(FOCUSED) == "filter"
        assert page.inner_text("#progress") == "0 of 4 judged"

    @pytest.mark.parametrize("key", ["A", "Shift+A"])
    def test_capitals_do_the_same(self, page: "playwright.Page", key: str) -> None:
        page.keyboard.press("n")
        page.keyboard.press(key)
        assert page.inner_text("#progress") == "1 of 4 judged"

    def test_space_opens_what_folds_out(self, page: "playwright.Page") -> None:
        page.evaluate("document.getElementById('remarks').hidden = false")
        page.focus("#remarks summary")
        page.keyboard.press(" ")
        assert page.evaluate("document.getElementById('remarks').open")
        assert not page.evaluate(PLAYING)

    def test_an_event_of_a_hidden_concept_is_not_judged(self, page: "playwright.Page") -> None:
        page.keyboard.press("n")
        page.keyboard.press("1")
        page.keyboard.press("r")
        assert page.inner_text("#spoken") == f"Event 1 is hidden: show {CONCEPTS[0]} to judge it"
        assert page.inner_text("#progress") == "0 of 4 judged"


class TestStrips:
    def test_a_click_selects_the_bar_under_the_pointer(self, browser: "playwright.Browser", tmp_path: Path) -> None:
        """Three at the same time lie under each other."""
        first, *_ = make_run(tmp_path, frames=12)
        events = [replace(first, event_id=n, tracker_id=n, end_s=0.2 + n / 50) for n in (1, 2, 3)]
        tables.write_events(tmp_path / "events.csv", events)
        write_review(tmp_path)
        page = browser.new_page()
        page.goto((tmp_path / "review.html").as_uri())
        box = page.locator(".plot .u-over").nth(0).bounding_box()
        assert box is not None
        for event, above_px in ((events[1], 6), (events[2], 2), (events[0], 10)):
            page.mouse.click(box["x"] + 12, box["y"] + box["height"] - above_px)
            assert page.evaluate(SELECTED) == str(event.event_id)
        page.close()


class TestScreens:
    @pytest.mark.parametrize("size", [(390, 844), (768, 1024), (1024, 600), (1280, 720)])
    def test_the_picture_is_seen_where_an_event_is_gone_to(
        self, browser: "playwright.Browser", run_dir: Path, size: tuple[int, int]
    ) -> None:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        page.goto((run_dir / "review.html").as_uri())
        page.click("[aria-label^='Go to event 4,']")
        place = "(id => (b => [b.top, b.bottom, innerHeight])(document.querySelector(id).getBoundingClientRect()))"
        top, bottom, height = page.evaluate(f"{place}('#video')")
        assert top >= 0
        assert bottom <= height
        row_top, _, _ = page.evaluate(f"{place}('#rows [aria-selected=true]')")
        assert row_top < height
        assert size[0] > 1040 or row_top >= bottom
        page.close()

    def test_every_row_is_gone_to_by_keyboard_on_a_phone(self, browser: "playwright.Browser", run_dir: Path) -> None:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto((run_dir / "review.html").as_uri())
        for number in (4, 1):
            page.focus(f"[aria-label^='Go to event {number},']")
            page.keyboard.press("Enter")
            assert page.evaluate(SELECTED) == str(number)
        assert page.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.documentElement)")
        page.close()

    @pytest.mark.parametrize("width", [390, 1280])
    def test_names_of_runs_stay_words_in_the_index(
        self, browser: "playwright.Browser", tmp_path: Path, width: int
    ) -> None:
        make_run(tmp_path / "run", frames=12, concepts=[f"defect number {n}" for n in range(12)], video=False)
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto(review(tmp_path)[0].as_uri())
        assert page.evaluate("document.querySelector('tbody a').offsetWidth") > 60
        assert page.evaluate("document.querySelector('tbody a').getClientRects().length") == 1
        assert page.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.documentElement)")
        page.close()

    def test_a_screen_reader_is_not_told_each_frame(self, page: "playwright.Page") -> None:
        assert page.get_attribute("#clock", "aria-live") == "off"

    def test_colours_that_the_reader_forces_leave_states_apart(
        self, browser: "playwright.Browser", run_dir: Path
    ) -> None:
        page = browser.new_page(forced_colors="active")
        page.goto((run_dir / "review.html").as_uri())
        page.keyboard.press("n")
        page.keyboard.press("a")
        page.keyboard.press("l")
        style = "((css, name) => getComputedStyle(document.querySelector(css))[name])"
        page.mouse.move(0, 0)

        def get_style(css: str, name: str) -> str:
            return page.evaluate(f"{style}({css!r}, {name!r})")

        plain = get_style("[aria-label='Reject event 1']", "backgroundColor")
        assert get_style("[aria-label='Accept event 1']", "backgroundColor") != plain
        assert get_style("#loop", "backgroundColor") != get_style("#play", "backgroundColor")
        assert get_style("#rows [aria-selected=true]", "outlineStyle") == "solid"
        assert get_style("#rows [aria-selected=false]", "outlineStyle") == "none"
        colours = page.evaluate(
            "[...document.querySelectorAll('.strip .swatch')].map(e => getComputedStyle(e).backgroundColor)"
        )
        assert len(set(colours)) == len(CONCEPTS)
        assert get_style(".playhead", "backgroundColor") != get_style(".plot", "backgroundColor")
        page.close()
