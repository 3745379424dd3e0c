"""The review page in a real browser, opened from disk as a reviewer opens it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.review_runs import make_run
from tests.helpers.seeing import until

if TYPE_CHECKING:
    import playwright.sync_api as playwright


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("review page #1") / "run"  # a blank and a # in the path, as people have them
    make_run(folder)
    return folder


@pytest.fixture
def page(browser: "playwright.Browser", run_dir: Path) -> Iterator["playwright.Page"]:
    """The page in a fresh profile; whatever it says in the console or throws fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, accept_downloads=True)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("dialog", lambda dialog: (said.append(f"dialog {dialog.message}"), dialog.dismiss()))
    local = ("file:", "data:", "blob:")
    opened.on("request", lambda request: None if request.url.startswith(local) else said.append(request.url))
    opened.goto((run_dir / "review.html").as_uri())
    until(opened, "document.getElementById('video').readyState >= 2")
    yield opened
    context.close()
    assert said == []
