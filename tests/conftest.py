import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import playwright.sync_api as playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session", autouse=True)
def _same_priority():
    """No test leaves the process with a real-time priority: what is begun later would stop the machine."""
    get_policy = getattr(os, "sched_getscheduler", lambda _: None)
    before = get_policy(0)
    yield
    assert get_policy(0) == before


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Text embeddings of the tests stay out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A CogVideoX-2B folder with random weights: what it finds means nothing, everything else is real."""
    # Here, as it loads torch: most tests do without.
    from tests.helpers.model_folders import write_folder

    return write_folder(tmp_path_factory.mktemp("models") / "tiny", "2b", shards=False)


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as session:
        opened = session.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()
