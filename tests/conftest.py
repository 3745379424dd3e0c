import os
from pathlib import Path

import pytest


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
