"""A model of the hub at one commit, in the hub's own cache on the disk: found by it and compared with it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.helpers.clips import write_clip
from vidconcept.errors import ModelError, UsageError
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.pinned import verify_snapshot
from vidconcept.pipelines.plan import make_plan

OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


@pytest.fixture
def cache(tmp_path, tiny_model, monkeypatch) -> Path:
    """Two commits of one model, laid out as the hub's library does; `main` is the newer."""
    repository = tmp_path / "hub" / "models--me--tiny"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(NEW)
    for commit in (OLD, NEW):
        for file in sorted(path for path in tiny_model.rglob("*") if path.is_file()):
            content = file.read_bytes()
            if commit == NEW and file.name == "scheduler_config.json":
                content += b"\n"
            digest = (
                hashlib.sha256(content)
                if file.suffix == ".safetensors"
                else hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False)
            )
            (repository / "blobs" / digest.hexdigest()).write_bytes(content)
            link = repository / "snapshots" / commit / file.relative_to(tiny_model)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(repository / "blobs" / digest.hexdigest())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return repository


def test_the_commit_that_is_asked_for_is_found_and_told(cache, tmp_path):
    assert find_folder(find_preset("me/tiny")).revision == NEW
    pinned = find_folder(find_preset(f"me/tiny@{OLD}"))
    assert pinned.path == cache / "snapshots" / OLD
    clip = write_clip(tmp_path / "a.mp4", count=2).path
    settings = {"concepts": ("dent",), "height": 32, "width": 48}
    facts = [make_plan(clip, {**settings, "model": name}).facts() for name in ("me/tiny", f"me/tiny@{OLD}")]
    assert [fact["model"]["revision"] for fact in facts] == [NEW, OLD]
    assert facts[0]["maps_from"]["weights"] != facts[1]["maps_from"]["weights"]


@pytest.mark.usefixtures("cache")
def test_another_commit_is_not_taken_in_its_place():
    other = "f" * 40
    with pytest.raises(ModelError, match=f"Next: vidconcept models fetch me/tiny@{other}"):
        find_folder(find_preset(f"me/tiny@{other}"))
    with pytest.raises(UsageError, match=r"'main' is not a commit of me/tiny\. Next: give all 40 digits"):
        find_preset("me/tiny@main")
    with pytest.raises(UsageError, match="linecam comes with the package"):
        find_preset(f"linecam@{OLD}")


@pytest.mark.parametrize("pattern", ["transformer/*.safetensors", "scheduler/*.json"])
def test_a_file_that_is_not_what_the_hub_has_is_found(cache, pattern):
    snapshot = cache / "snapshots" / OLD
    digests = verify_snapshot(snapshot)
    assert set(digests) == {str(file.relative_to(snapshot)) for file in snapshot.rglob("*") if file.is_file()}
    assert digests["model_index.json"].startswith("sha1:")
    file = next(snapshot.glob(pattern))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.resolve().write_bytes(content)
    with pytest.raises(ModelError, match=f"{file} is damaged: .* Next: remove {file.resolve()}"):
        verify_snapshot(snapshot)
