"""What is settled before the first frame comes, for footage that is not a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidconcept.errors import UsageError
from vidconcept.models.adapter import Model, choose_adapter, read_layout
from vidconcept.models.folder import find_folder
from vidconcept.models.line_head_file import check_line_head
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan, lay_out
from vidconcept.pipelines.settle import Settled, check_reading, settle
from vidconcept.rarity.good_parts import check_good_parts
from vidconcept.settings import RARITY_WORDS
from vidconcept.types import VideoInfo
from vidconcept.video.identity import SourceIdentity

# Of recordings: a stream has no start, no end, and its own rate.
OF_RECORDINGS = ("start_s", "end_s", "fps", "keep_recurring")
# Of encoded video: pushed pictures are what they are.
OF_VIDEO = ("bits", "stream", "deinterlace", "tone_map", "max_megapixels")
# Times of live footage are counted in this unit, the clock of MPEG-TS.
TIME_BASE = Fraction(1, 90_000)


def settle_live(overrides: Mapping[str, Any], config: Path | None, refused: tuple[str, ...] = OF_RECORDINGS) -> Settled:
    """The settings, and the model's own checks of them. Raises UsageError, InputError or ModelError."""
    settled = settle(overrides, config)
    for key in refused:
        if getattr(settled.settings, key) not in (None, False, ()):
            raise UsageError(
                f"`{key}` ({settled.sources[key]}) is for recordings, and this footage is live. Next: leave it out"
            )
    looks, given_by = settled.settings.looks, settled.sources["looks"]
    if looks is not None and settled.settings.stride == "auto" and not given_by.startswith("preset"):
        raise UsageError(
            f"`looks={looks}` ({given_by}) says how often `stride=auto` reads a place, and of live footage every "
            "window is read. Next: leave it out"
        )
    # Windows are chosen by motion that is yet to come, which live footage cannot wait for.
    read_whole = settled.settings.model_copy(update={"stride": settled.settings.frame_stride})
    settled = replace(settled, settings=read_whole)
    layout = read_layout(find_folder(settled.preset).path)
    check_reading(settled.settings, settled.sources, layout)
    if settled.settings.rarity not in RARITY_WORDS:
        check_good_parts(Path(settled.settings.rarity), layout.fingerprint)
    if settled.settings.line_head:
        check_line_head(Path(settled.settings.line_head), layout.fingerprint)
    return settled


def load_settled(settled: Settled, monitor: Monitor) -> Model:
    """The model, before any picture is there."""
    path = find_folder(settled.preset).path
    with monitor.time_stage("load"):
        return choose_adapter(path).load(path, settled.settings, settled.words, monitor.note_fallback)


def plan_live(settled: Settled, width_px: int, height_px: int, name: str = "live") -> Plan:
    """The plan for pictures of this size. Raises UsageError for a `roi` that does not fit."""
    info = VideoInfo(
        path=Path(name),
        width_px=width_px,
        height_px=height_px,
        codec="",
        pix_fmt="rgb24",
        time_base=TIME_BASE,
        declared_fps=None,
        declared_frames=None,
        duration_s=None,
        container="live",
    )
    return lay_out(settled, Path(name), SourceIdentity(Path(name), (), ()), info)
