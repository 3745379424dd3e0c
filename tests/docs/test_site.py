"""The site as `make docs` builds it, read from disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import playwright.sync_api as playwright

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.slice, pytest.mark.browser]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install 'vidconcept[docs]'")
    folder = tmp_path_factory.mktemp("the site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    return folder


def test_links_and_search_lead_to_pages_without_a_server(site: Path, browser: playwright.Browser):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((site / "index.html").as_uri())
    page.click("nav.md-tabs >> text=How-to")
    assert page.title() == "Track a plant's archive - vidconcept"
    page.keyboard.press("/")
    page.keyboard.type("sinks stop words")
    page.click(".md-search-result__link >> text=Stop words that take up attention")
    page.wait_for_selector("h1:has-text('Choose words')")
    assert said == []
    page.close()
