from pathlib import Path

import pytest

from tests.helpers.family_folders import write_family


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Each folder is written once, when it is first asked for."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = write_family(tmp_path_factory.mktemp("families") / name, name)
        return made[name]

    return folder
