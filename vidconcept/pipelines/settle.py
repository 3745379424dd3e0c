"""Settings settled for a model, before any picture is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidconcept.attention.lexicon import Lexicon
from vidconcept.attention.method_names import why_missing
from vidconcept.errors import UsageError
from vidconcept.models.folder import find_preset
from vidconcept.models.layout import ModelLayout
from vidconcept.models.presets import Preset
from vidconcept.pipelines.vocabulary import compile_words, find_preset_thresholds, pick_asked
from vidconcept.setting_layers import Layer, collect_layers, describe_given, format_value, resolve
from vidconcept.settings import PRESETS, TrackSettings
from vidconcept.video.reading import Reading

# Settings that are handed to whoever reads the source.
READING_KEYS = ("bits", "stream", "max_megapixels", "deinterlace", "tone_map")


@dataclass(frozen=True)
class Settled:
    """Settings of all layers, before any picture is known.

    words, lexicon: as in `Plan`. provenance: what a calibration among the layers says of itself. uncalibrated: concepts
    that it has no threshold for. overruled: whether a threshold given beside it takes the place of all of its own.
    """

    settings: TrackSettings
    sources: Mapping[str, str]
    preset: Preset
    words: tuple[str, ...]
    lexicon: Lexicon
    provenance: Mapping[str, Any] = field(default_factory=dict)
    uncalibrated: tuple[str, ...] = ()
    overruled: bool = False


def settle(
    overrides: Mapping[str, Any],
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    calibrating: bool = False,
) -> Settled:
    """The effective settings. calibrating: what an earlier calibration learnt does not count.

    Raises UsageError or InputError; see `make_plan`.
    """
    layers = collect_layers(overrides, config, environ)
    if calibrating:
        layers = [layer.leave_out_calibration() for layer in layers]
    first, _ = resolve(layers)
    preset = find_preset(first.model)
    asked = Layer(f"preset {first.preset}", PRESETS[first.preset])
    every_layer = [*layers, asked, preset.layer]
    settings, sources = resolve(every_layer)
    if not settings.concepts:
        known = f" The model {preset.name} knows: {', '.join(preset.vocabulary)}." if preset.vocabulary else ""
        raise UsageError(f"no concepts given. Next: `concepts=scratch,dent`.{known}")
    words, lexicon = compile_words(settings, preset)
    # A calibration's thresholds go before the preset's, concept by concept.
    given = {} if sources["thresholds"] == preset.layer.name else settings.thresholds
    own = pick_asked(given, settings, preset)
    thresholds = find_preset_thresholds(settings, sources, preset) | own
    calibration = next((layer for layer in layers if layer.provenance), None)
    # Where a threshold was asked for beside it, the calibration has no say.
    speaks = calibration is not None and sources["thresholds"] == calibration.name
    uncalibrated = tuple(name for name in settings.concepts if speaks and name not in own)
    overruled = calibration is not None and "thresholds" in calibration.values and not speaks
    if thresholds and not own:
        sources["thresholds"] = preset.layer.name
    lifts = pick_asked(settings.place_lifts, settings, preset)
    settings = settings.model_copy(update={"thresholds": thresholds, "place_lifts": lifts})
    _check_range(settings)
    _check_recurring(settings)
    _refuse_idle(settings, sources, [layer.name for layer in every_layer])
    provenance = calibration.provenance if calibration is not None else {}
    return Settled(settings, sources, preset, words, lexicon, provenance, uncalibrated, overruled)


def _refuse_idle(settings: TrackSettings, sources: Mapping[str, str], order: Sequence[str]) -> None:
    """Raises UsageError for a setting that another one of the same or a weaker layer leaves without effect.

    order: names of the layers, the strongest first. What is asked for in a stronger layer has its way.
    """
    for key, (other, what) in find_idle(settings).items():
        given = sources[key] in order and not sources[key].startswith("preset")
        if given and sources[other] not in order[: order.index(sources[key])]:
            raise UsageError(
                f"`{key}={getattr(settings, key)}` {what}, and `{other}` is {format_value(getattr(settings, other))} "
                f"({sources[other]}). Next: leave one of them out"
            )


def find_idle(settings: TrackSettings) -> dict[str, tuple[str, str]]:
    """Settings without effect: key -> the other setting that leaves it without, and what the key says."""
    idle = {}
    if settings.looks is not None and not settings.skips_windows:
        other = "smooth" if settings.stride == "auto" else "stride"
        idle["looks"] = other, "says how often a place is read with `stride=auto` and a `smooth` that follows motion"
    if settings.timesteps:
        idle["timestep"] = "timesteps", "is the one timestep that maps are read at"
    return idle


def choose_reading(settings: TrackSettings) -> Reading:
    """How the settings want the source to be read."""
    return Reading(**{key: value for key in READING_KEYS if (value := getattr(settings, key)) is not None})


def _check_range(settings: TrackSettings) -> None:
    if settings.end_s is not None and settings.end_s <= (settings.start_s or 0):
        raise UsageError(
            f"`end_s={settings.end_s:g}` is not after `start_s={settings.start_s or 0:g}`. "
            "Next: give seconds of which the end is the later one"
        )


def _check_recurring(settings: TrackSettings) -> None:
    if settings.keep_recurring and settings.rarity == "off":
        groups = ",".join(map(str, settings.keep_recurring))
        raise UsageError(
            f"`keep_recurring={groups}` gives back what rarity holds back, and `rarity=off` holds nothing back. "
            "Next: leave one of them out"
        )


def check_reading(settings: TrackSettings, sources: Mapping[str, str], layout: ModelLayout) -> None:
    """Raises UsageError, naming the layer of settings, for what the model cannot be read by: layers that it does not
    have, noise levels, methods, lengths of windows. sources: as in `Settled`."""

    def describe(key: str) -> str:
        return describe_given(key, getattr(settings, key), sources[key])

    if any(not -layout.num_layers <= layer < layout.num_layers for layer in settings.layers or ()):
        raise UsageError(
            f"{describe('layers')}: this model has no such layer. Next: layers from 0 to {layout.num_layers - 1}"
        )
    key = "timesteps" if settings.timesteps else "timestep"
    if max(settings.timesteps or (settings.timestep,)) >= layout.noise_levels:
        raise UsageError(
            f"{describe(key)}: this model has no such noise level. Next: `{key}` from 0 to {layout.noise_levels - 1}"
        )
    if settings.method not in layout.methods:
        offered = ", ".join(layout.methods)
        raise UsageError(
            f"{describe('method')} is not there for model {settings.model}: {why_missing(layout.methods)}. "
            f"It has {offered}. Next: `method={layout.methods[0]}`"
        )
    for key in ("window_frames", "overlap_frames"):
        value = getattr(settings, key)
        if value % layout.step != 1 % layout.step:
            near = 1 + round((value - 1) / layout.step) * layout.step
            raise UsageError(
                f"{describe(key)}: this model takes 1 + n x {layout.step} frames. Next: e.g. `{key}={near}`"
            )
    single = settings.window_frames == settings.overlap_frames == layout.step == 1
    if settings.overlap_frames >= settings.window_frames and not single:
        least = settings.overlap_frames + layout.step
        raise UsageError(
            f"{describe('overlap_frames')} must be less than window_frames, {settings.window_frames} "
            f"({sources['window_frames']}). Next: e.g. `window_frames={least}`"
        )
