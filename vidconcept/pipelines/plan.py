"""What a run will do, decided before anything heavy is loaded: source, model, settings, geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vidconcept.attention.lexicon import Lexicon
from vidconcept.files import check_name, check_path
from vidconcept.geometry import TilePlan, fit_size, plan_fine_tiles, plan_tiles, resolve_region
from vidconcept.models.adapter import read_layout
from vidconcept.models.folder import ModelFolder, find_folder
from vidconcept.models.layout import ModelLayout
from vidconcept.models.learnt import check_learnt
from vidconcept.models.line_head_file import check_line_head
from vidconcept.pipelines.settle import Settled, check_reading, choose_reading, settle
from vidconcept.rarity.good_parts import check_good_parts
from vidconcept.run_changes import settle_maps_from
from vidconcept.setting_layers import resolve
from vidconcept.settings import RARITY_WORDS, Stage, TrackSettings
from vidconcept.temporal.smoothers import SMOOTHERS
from vidconcept.types import Region, VideoInfo
from vidconcept.video.identity import SourceIdentity, hash_source, identify
from vidconcept.video.probe import examine
from vidconcept.video.problems import Finding
from vidconcept.video.reading import AS_IT_IS, Reading
from vidconcept.video.writer import fit_film_size

# To be raised when the same weights, words and settings come to give other maps: runs of before are then not resumed.
MAPS_VERSION = 3

# Settings that are left out of what maps depend on where they have this value, or are empty.
OFF = (
    ("method", "concept-attention"),
    ("quantize", "none"),
    ("concept_sharpness", 1.0),
    ("token_support", 0.0),
    ("coarse_scale", 0.0),
)
NEW_WORD_SETTINGS = frozenset({"sinks", "timesteps"})

# From here on a token is so coarse that thin defects drown in it: twice what `tile=auto` aims at.
COARSE_TOKEN_PX = 32

# Flow, un-pooling and masks work at the source's size, up to this many pixels.
WORK_AREA_PX = 1280 * 720
# As many where the method does not look at the pictures: its scores are as smooth as the maps, and what ends masks at
# the edges of the picture sees no finer one either.
MAP_AREA_PX = 683 * 384


@dataclass(frozen=True)
class Plan:
    """All decisions of a run.

    words: what stands in the softmax, the asked concepts first. lexicon: the words that each of them is read from.
    learnt: digest of each file of a learnt vector, by the term that names it. line_head: digest of its file.
    reading: how every pass reads the source.
    rate_fps: of the footage while it records, None where that is not known. remarks: what to believe of the source,
    beside the results.
    """

    source: Path
    identity: SourceIdentity
    info: VideoInfo
    settings: TrackSettings
    sources: Mapping[str, str]
    folder: ModelFolder
    layout: ModelLayout
    region: Region
    tiles: TilePlan
    words: tuple[str, ...]
    lexicon: Lexicon
    learnt: Mapping[str, str] = field(default_factory=dict)
    line_head: str = ""
    work_size_px: tuple[int, int] = field(default=(0, 0))
    reading: Reading = AS_IT_IS
    rate_fps: float | None = None
    remarks: tuple[Finding, ...] = ()

    @property
    def video_name(self) -> str:
        """What tables call the video; a folder has a name even where it is given as `.`."""
        return (self.source.resolve() if self.source.is_dir() else self.source).name

    @property
    def read_paths(self) -> list[Path]:
        """The source and the files in it: what no run may write over."""
        return [self.source, *self.identity.files]

    @property
    def stem(self) -> str:
        """What exports call the sequence: the whole name of a folder, that of a file without its suffix."""
        return self.video_name if self.source.is_dir() else Path(self.video_name).stem

    @property
    def description_threshold(self) -> float:
        """What scores are held against when the first pass describes tokens: the threshold of the model's preset.

        Maps then hold the same, and serve every `threshold`, whatever the run asks for.
        """
        return resolve([self.folder.preset.layer])[0].threshold

    def facts(self) -> dict[str, Any]:
        """The plan as it stands in `run.json`; `maps_from` is all that the maps depend on."""
        source_hash = hash_source(self.source)
        self.identity.check()
        settings = self.settings.model_dump(mode="json")
        info = asdict(self.info)
        del info["path"]
        maps_from = {
            "source_sha256": source_hash,
            "maps_version": MAPS_VERSION,
            "model": self.folder.preset.source,
            "weights": self.layout.fingerprint,
            "words": list(self.words),
            "asked": len(self.settings.concepts),
            **({"windows": "by motion"} if self.settings.skips_windows else {}),
            # Of deep pictures; found, and so no setting.
            **({} if self.info.levels is None else {"levels": list(self.info.levels)}),
            # What is off is left out: runs of before the setting was there agree with it.
            **({} if self.lexicon.is_plain else {"spelled": self.lexicon.facts()}),
            **({"learnt": dict(self.learnt)} if self.learnt else {}),
            **({"line_head": self.line_head} if self.line_head else {}),
            **{
                key: settings[key]
                for key in sorted(TrackSettings.list_keys(Stage.MAPS) - {"model", "concepts", "words", "line_head"})
                if settings[key] not in (None, False)
                and (key, settings[key]) not in OFF
                and (settings[key] or key not in NEW_WORD_SETTINGS)
            },
        }
        return {
            "video": {
                "path": str(self.source.resolve()),
                "name": self.video_name,
                "stem": self.stem,
                "sha256": source_hash,
                **{key: str(value) if isinstance(value, Fraction) else value for key, value in info.items()},
                "rate_fps": self.rate_fps,
            },
            "remarks": [asdict(remark) for remark in self.remarks],
            "concepts": list(self.settings.concepts),
            "model": {
                "name": self.folder.preset.name,
                "source": self.folder.preset.source,
                **({} if self.folder.revision is None else {"revision": self.folder.revision}),
                "licence": self.folder.preset.licence,
                "words": list(self.words),
                "picture": [self.tiles.tile_width, self.tiles.tile_height],
                "layers": self.layout.num_layers,
                "tiles": len(self.tiles.origins_px),
                "token_px": self.layout.pitch_px,
                "frames_per_token": self.layout.step,
            },
            "settings": settings,
            "settings_from": dict(self.sources),
            "maps_from": settle_maps_from(maps_from, self.layout.num_layers, (self.info.width_px, self.info.height_px)),
        }


def make_plan(
    video: str | Path,
    overrides: Mapping[str, Any],
    config: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    film: bool = True,
) -> Plan:
    """Settle everything for one video.

    overrides: the command line's or the caller's settings, None for "not given". environ: instead of the process's
    environment. film: whether `annotated.mp4` is drawn, of whose size there may be a remark.
    Raises UsageError, InputError or ModelError with the reason and the next step.
    """
    return plan_source(settle(overrides, config, environ), Path(video), film=film)


def plan_source(settled: Settled, source: Path, *, film: bool = True) -> Plan:
    """Settle what depends on the source, for settings that are settled. Arguments and errors as of `make_plan`."""
    # Tables and run.json hold both.
    check_path(source.absolute())
    check_name(source.resolve())
    identity = identify(source)
    asked = choose_reading(settled.settings)
    found = examine(source, settled.settings.fps, reading=asked)
    plan = lay_out(settled, source, identity, found.info)
    remarks = (*found.remarks, *plan.remarks, *(_remark_on_film(plan.settings, plan.info) if film else ()))
    return replace(plan, reading=found.settle_reading(asked), rate_fps=found.rate_fps, remarks=remarks)


def lay_out(settled: Settled, source: Path, identity: SourceIdentity, info: VideoInfo) -> Plan:
    """The plan for pictures of a known size; how they are read is the caller's. Raises UsageError and ModelError."""
    settings = settled.settings
    region = resolve_region(settings.roi, info.width_px, info.height_px)
    folder = find_folder(settled.preset)
    layout = read_layout(folder.path)
    check_reading(settings, settled.sources, layout)
    if settings.rarity not in RARITY_WORDS:
        check_good_parts(Path(settings.rarity), layout.fingerprint)
    learnt = {term: check_learnt(Path(term[1:]), layout.fingerprint) for term in settled.lexicon.learnt}
    line_head = check_line_head(Path(settings.line_head), layout.fingerprint) if settings.line_head else ""
    area_px = settings.height * settings.width
    place = {"pitch_px": layout.pitch_px, "multiple": layout.multiple_px, "largest_px": layout.largest_px}
    fine = plan_fine_tiles(region, area_px=area_px, **place)
    tiles = fine if settings.tile == "auto" else plan_tiles(region, settings.tile, area_px=area_px, **place)
    return Plan(
        source,
        identity,
        info,
        settings,
        settled.sources,
        folder,
        layout,
        region,
        tiles,
        settled.words,
        settled.lexicon,
        learnt,
        line_head,
        _choose_work_size(region, settings.smooth),
        remarks=(
            *_remark_on_calibration(settled, layout.fingerprint, line_head),
            *_remark_on_range(settings, info),
            *_remark_on_size(settings, layout, tiles),
            *_remark_on_tokens(region, tiles, fine),
        ),
    )


def choose_film_size(settings: TrackSettings, info: VideoInfo) -> tuple[int, int]:
    """Width and height of one frame in `annotated.mp4`."""
    beside = 2 if settings.view == "side-by-side" else 1
    width, height = fit_film_size((beside * info.width_px, info.height_px), settings.codec)
    return (width // beside, height)


def _remark_on_range(settings: TrackSettings, info: VideoInfo) -> tuple[Finding, ...]:
    """Whether the range lies beyond what the file says of its length, which may be wrong."""
    if settings.start_s is None or not info.duration_s or settings.start_s < info.duration_s:
        return ()
    text = f"`start_s={settings.start_s:g}` is after the end that the file tells of, {info.duration_s:.3f} s"
    return (Finding("warning", "range", text),)


def _remark_on_calibration(settled: Settled, weights: str, line_head: str) -> tuple[Finding, ...]:
    """Whether the thresholds of a calibration are for the concepts, and of the scores that these weights give now."""
    remarks, provenance = [], settled.provenance
    if settled.uncalibrated and provenance.get("kind") == "good footage":
        text = (
            f"not calibrated: {', '.join(settled.uncalibrated)}. The preset's threshold is used, and no rate of false "
            "alarms is promised. Next: vidconcept calibrate with these concepts"
        )
        remarks.append(Finding("warning", "calibration", text))
    if settled.overruled and provenance.get("kind") == "good footage":
        text = (
            "a threshold given beside the calibration takes the place of its own, so no rate of false alarms is "
            "promised. Next: leave it out, or vidconcept calibrate for another rate"
        )
        remarks.append(Finding("warning", "calibration", text))
    if provenance.get("line_head", line_head) != line_head:
        how = "with" if provenance["line_head"] else "without"
        text = (
            f"the thresholds of the calibration were chosen {how} what it learnt of the surface, and this run is not: "
            "its promise of false alarms does not hold. Next: leave `line_head` as the file says"
        )
        remarks.append(Finding("warning", "calibration", text))
    made_with = provenance.get("weights"), provenance.get("maps_version", 1)
    if made_with[0] is None or made_with == (weights, MAPS_VERSION):
        return tuple(remarks)
    what = f"other weights ({made_with[0]}, these are {weights})" if made_with[0] != weights else "scores of before"
    text = (
        f"the thresholds of the calibration were chosen on {what}, so its promise of false alarms does not hold. "
        "Next: vidconcept calibrate again"
    )
    return (*remarks, Finding("warning", "calibration", text))


def _remark_on_film(settings: TrackSettings, info: VideoInfo) -> tuple[Finding, ...]:
    """Whether the film is smaller than the source."""
    width, height = choose_film_size(settings, info)
    if (width, height) == (info.width_px, info.height_px):
        return ()
    text = (
        f"annotated.mp4 shows frames at {width}x{height}, as browsers play H.264; tables and masks count pixels of the "
        "source. `codec=libvpx-vp9` keeps the size"
    )
    return (Finding("remark", "film", text),)


def _remark_on_size(settings: TrackSettings, layout: ModelLayout, tiles: TilePlan) -> tuple[Finding, ...]:
    """Whether a larger picture is asked for than the model reads."""
    asked, largest = (settings.height, settings.width), layout.largest_px
    if largest is None or layout.limit_size(*asked) == asked:
        return ()
    text = (
        f"{settings.width}x{settings.height} was asked for and this model reads at most {largest[1]}x{largest[0]}, so "
        f"pictures are read at {tiles.tile_width}x{tiles.tile_height}. Next: a smaller `height` and `width`, or "
        "`tile`, which reads a picture in parts"
    )
    return (Finding("warning", "detail", text),)


def _remark_on_tokens(region: Region, tiles: TilePlan, fine: TilePlan) -> tuple[Finding, ...]:
    """What the size of tokens costs."""
    token_px, many = max(tiles.token_in_source_px(region)), len(tiles.origins_px)
    if token_px > COARSE_TOKEN_PX:
        text = (
            f"a token covers {token_px:.0f} pixels of the source, so thin defects are lost. Next: `tile=auto`, which "
            f"reads {len(fine.origins_px)} tiles and takes about {len(fine.origins_px) / many:.0f} times as long"
        )
        return (Finding("warning", "detail", text),)
    if many > 1:
        text = (
            f"{many} tiles of {tiles.tile_width}x{tiles.tile_height}: a token covers "
            f"{token_px:.0f} pixels of the source, and the model takes about {many} times as long as without"
        )
        return (Finding("remark", "detail", text),)
    return ()


def _choose_work_size(region: Region, smooth: str) -> tuple[int, int]:
    """(height, width) of the working pictures: the region's own size, or the same shape with fewer pixels."""
    area_px = WORK_AREA_PX if SMOOTHERS[smooth].needs_pictures else MAP_AREA_PX
    if region.width * region.height <= area_px:
        return region.height, region.width
    return fit_size(region.width, region.height, area_px=area_px, multiple=1)
