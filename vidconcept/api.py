"""`vidconcept.evaluate` and `vidconcept.calibrate`: paths and settings in, results out, as the commands do it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vidconcept.errors import UsageError
from vidconcept.files import take_path
from vidconcept.pipelines.calibrate import Calibration, calibrate_good
from vidconcept.pipelines.evaluate import Evaluation
from vidconcept.pipelines.evaluate import evaluate as evaluate_clips
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.out import choose_out
from vidconcept.pipelines.workspace import Workspace, open_dataset
from vidconcept.words import split_words

log = logging.getLogger(__name__)


def evaluate(
    dataset: str | Path,
    concepts: str | Sequence[str] = (),
    *,
    out: str | Path | None = None,
    format: str | None = None,
    split: str | None = None,
    config: str | Path | None = None,
    monitor: Monitor | None = None,
    **settings: Any,
) -> Evaluation:
    """Measure what `track` finds in a labelled data set; what the command `vidconcept evaluate` does.

    dataset: a folder or JSON file. out: folder of the maps, which a second call uses again; default
    `<dataset>.evaluation/` beside it. settings: any key of `TrackSettings`.
    Raises a `VidconceptError` subclass.
    """
    monitor = monitor or Monitor(warn=log.warning)
    given = {"concepts": split_words(concepts), **settings}
    source, own_config = take_path(dataset, "dataset"), take_path(config, "config") if config else None
    folder = take_path(out, "out") if out else choose_out(source, "evaluation")
    data = open_dataset(source, format, split, None, given, own_config)
    return evaluate_clips(data, given, Workspace(folder, monitor, own_config))


def calibrate(
    footage: str | Path | Sequence[str | Path],
    concepts: str | Sequence[str] = (),
    *,
    false_alarms_per_hour: float = 1.0,
    adapt: bool = True,
    work: str | Path | None = None,
    config: str | Path | None = None,
    monitor: Monitor | None = None,
    **settings: Any,
) -> Calibration:
    """Learn thresholds from good footage, videos without a defect; what the command `vidconcept calibrate` does.

    adapt: with the embedded model, learn the line's surface too, by defects painted on the good frames.
    work: folder of the maps, which a second call uses again; default `<video stem>.calibration.maps/` beside the first
    video. config: a TOML of settings; of an earlier calibration, what it learnt does not count. `save` of the result
    writes the file for `track(config=...)`, and beside it the memory of good parts and what was learnt of the surface,
    which the promised rate of false alarms rests on.
    Raises a `VidconceptError` subclass.
    """
    monitor = monitor or Monitor(warn=log.warning)
    several = footage if isinstance(footage, Iterable) and not isinstance(footage, str) else [footage]
    videos = [take_path(video, "footage") for video in several]
    if not videos:
        raise UsageError("no footage to learn from. Next: give a video in which nothing is wrong")
    given = {"concepts": split_words(concepts), **settings}
    folder = take_path(work, "work") if work else choose_out(videos[0], "calibration.maps")
    workspace = Workspace(folder, monitor, take_path(config, "config") if config else None)
    return calibrate_good(videos, given, false_alarms_per_hour, workspace, adapt=adapt)
