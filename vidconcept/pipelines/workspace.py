"""What the pipelines over many videos share: where maps stay, who is told of progress, and the model that is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidconcept.errors import InputError
from vidconcept.evaluation.datasets.dataset import Clip, Dataset
from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.files import MAX_MEGAPIXELS
from vidconcept.models.adapter import Model
from vidconcept.pipelines.maps import ModelShelf, compute_maps
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan, plan_source
from vidconcept.pipelines.settle import settle
from vidconcept.runs import RunFolder, compute_digest, open_run
from vidconcept.setting_layers import collect_layers, resolve


@dataclass(frozen=True)
class Workspace:
    """One call of a pipeline over many videos.

    work: the folder of maps, so that a second call goes on there. config: a TOML of settings, below those given.
    shelf: the weights that all videos share. calibrating: what an earlier calibration learnt does not count.
    """

    work: Path
    monitor: Monitor = field(default_factory=Monitor)
    config: Path | None = None
    shelf: ModelShelf = field(default_factory=ModelShelf, repr=False)
    calibrating: bool = False

    def plan(self, video: Path, settings: Mapping[str, Any]) -> Plan:
        """The plan of a video of which no film is drawn. Raises as `make_plan`."""
        return plan_source(settle(settings, self.config, calibrating=self.calibrating), video, film=False)

    def plan_clip(self, clip: Clip, settings: Mapping[str, Any]) -> Plan:
        """The plan of a clip; its own frame rate is taken where nobody gives one.

        Raises InputError where it has truth of a frame after its last one.
        """
        is_sequence = clip.source.is_dir()
        if is_sequence and clip.fps is not None and resolve(collect_layers(settings, self.config))[0].fps is None:
            settings = {**settings, "fps": clip.fps}
        plan = self.plan(clip.source, settings)
        frames, last = plan.info.declared_frames, clip.last_annotated
        if frames is not None and last is not None and last >= frames:
            raise InputError(
                f"{clip.source} has {frames} frames, and truth of frame {last}; the first is frame 0. "
                "Next: number the pictures of truth anew, or remove those that are too many"
            )
        return plan

    def open_run(self, plan: Plan, name: str) -> RunFolder:
        """The folder of a video's maps under `work`; one for each way of reading them."""
        facts = plan.facts()
        run, _ = open_run(self.work / f"{name}-{compute_digest(facts)}", facts, "resume", plan.read_paths)
        return run

    def open_clip(self, plan: Plan, clip: Clip) -> RunFolder:
        return self.open_run(plan, f"maps/{clip.name.replace('/', '_')}")

    def compute_maps(self, plan: Plan, run: RunFolder) -> None:
        compute_maps(plan, run, self.monitor, self.shelf)

    def load(self, plan: Plan) -> Model:
        """The plan's model; loaded only where the one before is another."""
        return self.shelf(plan, self.monitor)


def open_dataset(
    path: Path,
    format: str | None,
    split: str | None,
    rename: Mapping[str, str] | None,
    settings: Mapping[str, Any],
    config: Path | None,
) -> Dataset:
    """A data set, its truth read under the same limit as the footage. Raises as `read_dataset` and `make_plan`."""
    limit = resolve(collect_layers(settings, config))[0].max_megapixels
    return read_dataset(path, format, split, rename, limit or MAX_MEGAPIXELS)
