"""A run whose tracks overlap and have gaps, and its masks, to compare each export with."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.comparing import FRAMES, Exporter, Masks
from tests.helpers.review_runs import SIZE, make_run
from vidconcept.tracks import rle
from vidconcept.types import TrackMask
from vidconcept.writers import tables
from vidconcept.writers.exchange.export import export


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exchange") / "run"
    make_run(folder, frames=FRAMES, video=False)
    events = tables.read_events(folder / "events.csv")
    verdicts = ("accept", "reject", "", "unsure")
    judged = [replace(event, verdict=verdict) for event, verdict in zip(events, verdicts, strict=True)]
    tables.write_events(folder / "events.csv", judged)
    return folder


@pytest.fixture(scope="module")
def rows(run_dir: Path) -> dict[tuple[int, int], TrackMask]:
    return {(r.frame_index, r.tracker_id): r for r in tables.read_tracks(run_dir / "tracks.csv")}


@pytest.fixture(scope="module")
def masks(rows: dict[tuple[int, int], TrackMask]) -> Masks:
    return {key: rle.decode(row.rle, SIZE) for key, row in rows.items()}


@pytest.fixture
def exported(run_dir: Path, tmp_path: Path) -> Exporter:
    def write(to: str, **options: Any) -> Path:
        path = tmp_path / f"out-{to}"
        summary = export(run_dir, to, path, **options)
        assert str(path) in summary
        return path

    return write
