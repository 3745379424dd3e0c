"""A video from a prompt, and where its concepts are: denoising with maps gathered, then findings as of any film."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vidconcept.attention.maps import arrange_tokens
from vidconcept.errors import OutputError, UsageError
from vidconcept.models.adapter import choose_adapter, read_layout
from vidconcept.models.folder import find_folder
from vidconcept.models.generation import Generation, check_generates, film_step, generate
from vidconcept.models.learnt import check_learnt
from vidconcept.ownership import check_ours
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import plan_source
from vidconcept.pipelines.settle import Settled, settle
from vidconcept.pipelines.track import Run, carry_out, list_versions
from vidconcept.runs import open_run
from vidconcept.setting_layers import CALLER_LAYERS, format_value
from vidconcept.settings import TrackSettings
from vidconcept.temporal.windows import Window
from vidconcept.types import ConceptMaps, VideoInfo
from vidconcept.video.problems import Finding
from vidconcept.video.writer import open_writer
from vidconcept.written import check_replaceable, compute_digest, record

# What these settings say of a film does not hold for one that is made here: it is read once, while it is made, whole,
# and at the noise levels of its making.
FIXED: dict[str, Any] = {
    "rarity": "off",
    "keep_recurring": (),
    "tile": (1, 1),
    "stride": 1,
    "looks": None,
    "overlap_frames": 1,
    "roi": None,
    "start_s": None,
    "end_s": None,
    "fps": None,
    "bits": None,
    "stream": None,
    "deinterlace": False,
    "tone_map": False,
    "timestep": TrackSettings.model_fields["timestep"].default,
    "timesteps": (),
    "noise_samples": 1,
    "coarse_scale": 0.0,
    "token_support": 0.0,
}
TEXTURES = (
    "the embedded model learnt textures of line footage, at a small size: what it generates is texture, no scene. For "
    "pictures take `model=cogvideox-2b` (very slow without a GPU)"
)


@dataclass(frozen=True)
class Wish:
    """What to generate beside the prompt. frames: None for the model's window. read_steps: None for all steps."""

    frames: int | None = None
    steps: int = 50
    guidance: float = 6.0
    negative: str = ""
    read_steps: tuple[int, ...] | None = None
    rate_fps: float = 8.0


def generate_run(
    prompt: str,
    settings: Mapping[str, Any],
    wish: Wish,
    video: Path,
    out: Path,
    existing: Literal["error", "overwrite"],
    monitor: Monitor,
    config: Path | None = None,
) -> Run:
    """Generate a film into `video`, and a run folder `out` as `track` writes one, with maps of the generation itself.

    Raises UsageError, ModelError and OutputError; a film that is there is replaced only with `existing` "overwrite".
    """
    if settings.get("prompt") is not None:
        raise UsageError(
            f"`prompt={settings['prompt']}`: the film has a prompt already, {prompt!r}. Next: leave it out"
        )
    settled = settle({**settings, "prompt": prompt}, config)
    _refuse_fixed(settled, monitor)
    settled = _overrule(settled, FIXED)
    folder = find_folder(settled.preset)
    check_generates(folder.path, folder.preset.name)
    layout = read_layout(folder.path)
    asked = _check_wish(wish, settled, film_step(folder.path, layout.step))
    _check_free(video, out, existing)
    for term in settled.lexicon.learnt:
        check_learnt(Path(term[1:]), layout.fingerprint)
    if settled.preset.source == "embedded":
        monitor.warn(TEXTURES)
    monitor.progress("loading the model", 0, None)
    with monitor.time_stage("load"):
        adapter = choose_adapter(folder.path)
        model = adapter.load(folder.path, settled.settings, settled.lexicon.words, monitor.note_fallback)
    with monitor.time_stage("model"):
        frames, scores = generate(
            model, folder.path, settled.lexicon, asked, lambda done, total: monitor.check("denoising", done, total)
        )
    _write_film(video, frames, wish.rate_fps)
    plan = plan_source(_overrule(settled, {"window_frames": asked.frames}), video)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    facts = plan.facts() | {
        "created": started,
        "versions": list_versions(),
        "generated": _facts_of(prompt, asked, model),
    }
    if settled.preset.source == "embedded":
        facts["remarks"] = [*facts["remarks"], asdict(Finding("remark", "textures", TEXTURES))]
    # Reading the film again would give other maps than those of its making.
    facts["maps_from"] = {**facts["maps_from"], "generated": facts["generated"]}
    run, _ = open_run(out, facts, existing, plan.read_paths)
    with run:
        window = Window(0, 0, layout.step, asked.frames, frames)
        grid = (len(window.positions), asked.height // layout.pitch_px, asked.width // layout.pitch_px)
        maps = arrange_tokens(scores[: len(plan.settings.concepts)], grid)
        run.save_maps(ConceptMaps(0, window.positions, layout.step, asked.frames, maps.astype(np.float32)), 0)
        run.save(windows=1, maps_done=True)
        carry_out(plan, run, monitor)
    return Run(run.path, run.manifest)


def _refuse_fixed(asked: Settled, monitor: Monitor) -> None:
    """Raises UsageError for a setting of the call that a generated film cannot be read with; weaker layers are told."""
    for key, value in FIXED.items():
        given, source = getattr(asked.settings, key), asked.sources[key]
        if given == value or source == "default" or source.startswith("preset"):
            continue
        said = f"`{key}={format_value(given)}` does not go with a film that is read once, while it is made"
        if source in CALLER_LAYERS:
            raise UsageError(f"{said}. Next: leave it out, or track the film that comes of it")
        monitor.warn(f"{source}: {said}, and is left out")


def _overrule(settled: Settled, values: Mapping[str, Any]) -> Settled:
    """With settings that generation has its own values for, whatever any layer says."""
    sources = {**settled.sources, **dict.fromkeys(values, "generate")}
    return replace(settled, settings=settled.settings.model_copy(update=values), sources=sources)


def _facts_of(prompt: str, asked: Generation, model: Any) -> dict[str, Any]:
    return {"prompt": prompt, **asdict(asked), "read_steps": sorted(asked.read_steps), "seed": model.settings.seed}


def _check_wish(wish: Wish, settled: Settled, step: int) -> Generation:
    settings = settled.settings
    if wish.frames is not None and settled.sources["window_frames"] in CALLER_LAYERS:
        raise UsageError(
            f"`window_frames={settings.window_frames}` and `frames={wish.frames}` both say how long the film is. "
            "Next: leave one of them out"
        )
    frames = 1 + (settings.window_frames - 1) // step * step if wish.frames is None else wish.frames
    # Tracking needs more than the first latent step.
    if frames % step != 1 % step or frames == 1 < step:
        near = 1 + max(1, round((frames - 1) / step)) * step
        raise UsageError(f"`frames={frames}`: this model makes 1 + n x {step} frames. Next: e.g. `frames={near}`")
    if settings.method != "concept-attention":
        raise UsageError(f"`method={settings.method}`: maps are gathered by concept-attention. Next: leave it out")
    chosen = tuple(range(1, wish.steps + 1)) if wish.read_steps is None else wish.read_steps
    if not chosen or min(chosen) < 1 or max(chosen) > wish.steps:
        raise UsageError(
            f"`read_steps={','.join(map(str, chosen))}`: steps are counted from 1 to {wish.steps}. "
            "Next: give some of these"
        )
    if settings.height % 16 or settings.width % 16:
        height, width = (max(16, round(side / 16) * 16) for side in (settings.height, settings.width))
        raise UsageError(
            f"`height={settings.height}`, `width={settings.width}`: both must be multiples of 16. "
            f"Next: e.g. `height={height}`, `width={width}`"
        )
    return Generation(
        frames, settings.height, settings.width, wish.steps, wish.guidance, frozenset(chosen), wish.negative
    )


def _check_free(video: Path, out: Path, existing: str) -> None:
    """Before anything is computed: raises OutputError where results are in the way, or files of somebody else's."""
    if video.exists() and (existing == "error" or not video.is_file()):
        raise OutputError(f"{video} is there already. Next: `existing=overwrite`, or another `out`")
    check_replaceable(video)
    if check_ours(out) and existing == "error":
        raise OutputError(f"{out} already holds a run. Next: `existing=overwrite`, or another `out`")


def _write_film(path: Path, frames: np.ndarray, rate_fps: float) -> None:
    rate = Fraction(rate_fps).limit_denominator(1000)
    count, height, width, _ = frames.shape
    info = VideoInfo(path, width, height, "", "rgb24", 1 / rate, float(rate), count, float(count / rate))
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_writer(path, info) as film:
        for number, frame in enumerate(frames):
            film.write(np.ascontiguousarray(frame), number)
    record(path, compute_digest(path))
