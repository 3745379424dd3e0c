"""The settings of a run: what each of them is, its bounds, its default, and the stage of a run that it changes."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.fields import FieldInfo

from vidconcept.attention.method_names import METHODS, Method
from vidconcept.errors import UsageError
from vidconcept.files import MAX_MEGAPIXELS
from vidconcept.temporal.smoothers import OFFERED, SMOOTHERS
from vidconcept.wording import suggest
from vidconcept.words import spelling_of

# Far beyond what any footage needs; a slip of the keyboard must not ask for terabytes or years.
Word = Annotated[str, Field(max_length=1000)]
Words = Annotated[tuple[Word, ...], Field(max_length=1000)]
Timesteps = Annotated[tuple[Annotated[int, Field(ge=0, lt=1000)], ...], Field(max_length=64)]
Tiles = Annotated[int, Field(ge=1, le=64)]
Places = Annotated[
    tuple[Annotated[tuple[Annotated[float, Field(ge=-1, le=1)], ...], Field(min_length=1, max_length=1024)], ...],
    Field(min_length=1, max_length=1024),
]

# What each word of `preset` sets.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"stride": "auto", "looks": 1, "edges": "coarse", "encoder_preset": "superfast"},
    "balanced": {},
    "accurate": {"stride": 1},
}

# With `stride=auto`, how often the model sees each place that passes, where nobody says.
LOOKS = 2

# What `rarity` says other than a file of good parts.
RARITY_WORDS = ("auto", "off")


class Stage(StrEnum):
    """The first stage of a run that a setting changes; what comes before it stays valid when the setting changes."""

    MAPS = "maps"
    DECISION = "decision"
    DRAWING = "drawing"
    # Where and how fast, not what.
    MACHINE = "machine"


def _setting(stage: Stage, default: Any, description: str, **bounds: Any) -> Any:
    """A field of `TrackSettings`. bounds: as of pydantic's `Field`."""
    return Field(default=default, description=description, json_schema_extra={"stage": stage.value}, **bounds)


class TrackSettings(BaseModel):
    """Everything that decides what a run finds. What a run is made from and where it goes are not settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    # What to look for.
    concepts: Words = _setting(
        Stage.MAPS,
        (),
        "concepts to track; NAME=WORD|WORD averages words, NAME=WORD - WORD subtracts one, NAME@FILE is a learnt one",
    )
    words: dict[str, Word] = _setting(Stage.MAPS, {}, "words of single concepts, name=WORD|WORD - WORD,…")
    background: Words = _setting(Stage.MAPS, (), "words for good surface, always part of the softmax")
    distractors: Words = _setting(
        Stage.MAPS, (), "other words that the model knows, part of the softmax but not reported"
    )
    sinks: Words = _setting(
        Stage.MAPS,
        (),
        "stop words that take up attention without meaning, e.g. a,of,with; part of the softmax but not reported",
    )
    prompt: str = _setting(Stage.MAPS, "", "caption of the footage for the model", max_length=10_000)

    # How much care, in one word: settings that nobody gave one by one.
    preset: Literal["fast", "balanced", "accurate"] = _setting(
        Stage.MACHINE, "balanced", "fast: fewer windows, coarse masks, a larger film; accurate: every window"
    )

    # The model and how it is read.
    model: str = _setting(Stage.MAPS, "linecam", "a model that the command models lists, a folder, or a hub id")
    layers: tuple[int, ...] | None = _setting(
        Stage.MAPS, None, "transformer layers to read, e.g. 2,3,4; -1 is the last", min_length=1, max_length=1024
    )
    method: Method = _setting(Stage.MAPS, "concept-attention", f"way to read the maps: {', '.join(METHODS)}")
    timestep: int = _setting(
        Stage.MAPS, 500, "noise level at which the model reads the footage, 0 to 999", ge=0, lt=1000
    )
    timesteps: Timesteps = _setting(
        Stage.MAPS, (), "read at each of these noise levels and average, instead of `timestep`, e.g. 20,250"
    )
    reduce: Literal["softmax-mean", "mean-softmax"] = _setting(
        Stage.MAPS, "softmax-mean", "average the layers before or after the softmax"
    )
    concept_sharpness: float = _setting(
        Stage.MAPS,
        1.0,
        "how clearly the leading one of concepts and distractors takes over the scores of the others; 1: scores as the "
        "softmax gives them",
        ge=1,
        le=64,
    )
    token_support: float = _setting(
        Stage.MAPS,
        0.0,
        "a token scores no less than the mean around it, weighted by a Gaussian of this standard deviation in tokens; "
        "0: off",
        ge=0,
        le=4,
    )
    coarse_scale: float = _setting(
        Stage.MAPS,
        0.0,
        "where one of the concepts may be there, read the picture once more at this scale and join both readings; "
        "0: off",
        ge=0,
        lt=1,
    )
    concept_tokens: Literal["all", "first"] = _setting(
        Stage.MAPS, "all", "use all sub-words of a concept, or the first one only"
    )
    noise_samples: int = _setting(Stage.MAPS, 1, "average over this many random noises", ge=1, le=1024)
    seed: int = _setting(Stage.MAPS, 0, "random seed of the noise", ge=0, lt=1 << 63)
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = _setting(
        Stage.MAPS, "float32", "precision of the model; auto: the fastest one on this processor"
    )
    device: str = _setting(Stage.MACHINE, "auto", "auto, cpu, cuda, cuda:1, mps")
    threads: int | None = _setting(
        Stage.MACHINE, None, "number of processor threads; 1: no parallel work; default: all", ge=1, le=1024
    )
    vae_tiling: Literal["auto", "on", "off"] = _setting(
        Stage.MAPS, "auto", "encode pictures in tiles to save memory; auto: when memory runs out"
    )
    offload: Literal["none", "model", "group"] = _setting(
        Stage.MACHINE,
        "none",
        "keep weights out of the GPU until they are used, CogVideoX only; model: one part at a time; group: one block "
        "at a time",
    )
    quantize: Literal["none", "int8", "fp8", "nf4"] = _setting(
        Stage.MAPS,
        "none",
        "weights of the transformer in 8 or 4 bits, CogVideoX only: less memory, slightly other maps",
    )

    # Space and time.
    height: int = _setting(
        Stage.MAPS,
        480,
        "height of the picture that the model reads, pixels; the aspect follows the footage",
        ge=16,
        le=8192,
    )
    width: int = _setting(
        Stage.MAPS,
        720,
        "width of the picture that the model reads, pixels; the aspect follows the footage",
        ge=16,
        le=8192,
    )
    window_frames: int = _setting(Stage.MAPS, 49, "frames that the model reads at once", ge=1, le=4097)
    overlap_frames: int = _setting(Stage.MAPS, 9, "frames that neighbouring windows share", ge=1, le=4097)
    stride: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["auto"] = _setting(
        Stage.MAPS, 1, "the model reads every n-th frame; auto: as many windows as the motion requires"
    )
    looks: int | None = _setting(
        Stage.MAPS,
        None,
        f"with stride auto: how often the model sees each place that passes; default: {LOOKS}",
        ge=1,
        le=64,
    )
    start_s: float | None = _setting(Stage.MAPS, None, "where to start, seconds", ge=0)
    end_s: float | None = _setting(Stage.MAPS, None, "where to stop, seconds, not included", gt=0)
    roi: tuple[int, int, int, int] | None = _setting(
        Stage.MAPS, None, "read only this part of the picture: x,y,width,height in pixels"
    )
    tile: tuple[Tiles, Tiles] | Literal["auto"] = _setting(
        Stage.MAPS, (1, 1), "columns x rows of overlapping crops, or auto"
    )
    fps: float | None = _setting(Stage.MAPS, None, "frame rate of images or of a raw stream", ge=1e-5, lt=100_000)
    bits: int | None = _setting(
        Stage.MAPS, None, "bits used in 16-bit pictures, e.g. 12; default: found from the pictures", ge=8, le=16
    )
    stream: int | None = _setting(
        Stage.MAPS, None, "number of the video stream in the file, as probe shows it", ge=0, le=10_000
    )
    max_megapixels: float | None = _setting(
        Stage.MAPS, None, f"refuse larger pictures; default: {MAX_MEGAPIXELS:g}", gt=0, le=1_000_000
    )
    deinterlace: bool = _setting(
        Stage.MAPS, False, "make one clean picture of each interlaced one, which mixes two moments"
    )
    line_head: str = _setting(
        Stage.MAPS, "", "file of what calibrate learnt of a line's good surface; embedded model only"
    )
    tone_map: bool = _setting(Stage.MAPS, False, "convert HDR video to the range of a standard screen")

    # From maps to findings.
    smooth: str = _setting(Stage.DECISION, "energy", f"temporal smoothing method: {', '.join(OFFERED)}")
    threshold: float = _setting(
        Stage.DECISION, 0.5, "score that a finding must reach for 0.3 s or a quarter of its time", gt=0, lt=1
    )
    hysteresis: float = _setting(
        Stage.DECISION, 0.6, "follow a finding down to this share of its threshold", gt=0, le=1
    )
    # What calibration adds: numbers of a concept's own, and of places in the picture.
    thresholds: dict[str, Annotated[float, Field(gt=0, lt=1)]] = _setting(
        Stage.DECISION, {}, "threshold of single concepts, concept=score,…"
    )
    place_lifts: dict[str, Places] = _setting(
        Stage.DECISION, {}, "score to subtract at each place of the picture, rows of columns for each concept"
    )
    rarity: str = _setting(
        Stage.DECISION,
        "auto",
        "leave out what looks the same all over the footage: auto, off, or a memory file of good parts",
        min_length=1,
    )
    keep_recurring: tuple[Annotated[int, Field(ge=1)], ...] = _setting(
        Stage.DECISION, (), "groups of recurring.csv to report as findings, e.g. 1,3"
    )
    ratio: float = _setting(
        Stage.DECISION, 0.55, "where a mask ends, as a share of the highest score nearby", gt=0, lt=1
    )
    floor: float = _setting(Stage.DECISION, 0.15, "lowest score that counts as the highest one in `ratio`", ge=0, lt=1)
    edges: Literal["pixel", "coarse"] = _setting(
        Stage.DECISION, "pixel", "pixel: masks end at the edge in the picture; coarse: as coarse as the maps"
    )
    min_area_px: int = _setting(Stage.DECISION, 12, "smallest mask to keep, pixels of the source", ge=0, le=1 << 40)
    min_duration_s: float = _setting(Stage.DECISION, 0.12, "shortest track to keep, seconds", ge=0)

    # The annotated video.
    view: Literal["overlay", "heatmap", "side-by-side", "grid"] = _setting(
        Stage.DRAWING, "overlay", "layout of the annotated video"
    )
    codec: Literal["h264", "libvpx-vp9"] = _setting(Stage.DRAWING, "h264", "video codec of annotated.mp4")
    encoder_preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = _setting(
        Stage.DRAWING, "veryfast", "effort of the H.264 encoder: a faster one writes a larger annotated.mp4"
    )

    @field_validator("concepts", "background", "distractors", "sinks")
    @classmethod
    def _clean_words(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        cleaned = tuple(dict.fromkeys(word.strip() for word in words))
        if any(not word for word in cleaned):
            raise ValueError("an empty word")
        return cleaned

    @field_validator("words")
    @classmethod
    def _spellings(cls, words: dict[str, str]) -> dict[str, str]:
        for name in words:
            try:
                spelling_of(name, words)
            except UsageError as error:
                raise ValueError(str(error)) from error
        return words

    @field_validator("timesteps")
    @classmethod
    def _rising(cls, timesteps: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(timesteps)))

    @field_validator("place_lifts")
    @classmethod
    def _even_rows(cls, lifts: dict[str, Places]) -> dict[str, Places]:
        for name, rows in lifts.items():
            if len({len(row) for row in rows}) > 1:
                raise ValueError(f"{name}: rows of different lengths, {sorted({len(row) for row in rows})}")
        return lifts

    @field_validator("smooth")
    @classmethod
    def _check_smoother(cls, name: str) -> str:
        if name not in OFFERED:
            raise ValueError(f"unknown method{suggest(name, OFFERED)}: {', '.join(OFFERED)}")
        return name

    def find_threshold(self, concept: str) -> float:
        """The score that a finding of this concept must reach."""
        return self.thresholds.get(concept, self.threshold)

    @property
    def skips_windows(self) -> bool:
        """Whether the model reads only as many windows as the motion asks for: maps must then go along with it."""
        return self.stride == "auto" and SMOOTHERS[self.smooth].follows_motion

    @property
    def frame_stride(self) -> int:
        """Every how many frames one goes through the windows and the temporal stage."""
        return 1 if self.stride == "auto" else self.stride

    @classmethod
    def list_keys(cls, *stages: Stage) -> frozenset[str]:
        """The settings that come into play at these stages."""
        return frozenset(key for key, field in cls.model_fields.items() if _read_stage(field) in stages)


def _read_stage(field: FieldInfo) -> Stage:
    """Raises TypeError for a setting that does not say its stage."""
    extra = field.json_schema_extra
    if not isinstance(extra, dict):
        raise TypeError(f"a setting without a stage: {field.description}")
    return Stage(str(extra["stage"]))
