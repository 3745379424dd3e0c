"""What a test sees of the review page."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import playwright.sync_api as playwright


def until(page: playwright.Page, truth: str, timeout_s: float = 30) -> None:
    """Waits from outside: the page's policy forbids the evaluation that Playwright's own waiting needs."""
    deadline = time.monotonic() + timeout_s
    while not page.evaluate(truth):
        assert time.monotonic() < deadline, f"still not {truth}"
        page.wait_for_timeout(20)


def frame_shown(page: playwright.Page) -> int:
    """The frame that the page says it shows."""
    return int(re.search(r"frame (\d+)", page.inner_text("#clock"))[1])  # pyright: ignore


def media_s(page: playwright.Page) -> float:
    """Time of the picture that the browser really shows, once it stands still."""
    return page.evaluate(
        """async () => {
            const video = document.getElementById("video");
            if (video.seeking) await new Promise((done) => video.addEventListener("seeked", done, { once: true }));
            const shown = new Promise((done) => video.requestVideoFrameCallback((_, data) => done(data.mediaTime)));
            video.currentTime += 1e-5;
            return await shown;
        }"""
    )
