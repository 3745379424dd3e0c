"""The command `track`."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vidconcept.commands.options import parse_words, refuse_more
from vidconcept.errors import ExitCode, Interrupted, UsageError
from vidconcept.setting_layers import format_value, parse_text
from vidconcept.settings import TrackSettings
from vidconcept.wording import format_count

EXAMPLES = """
[bold]Two commands to copy[/]

  vidconcept track line_cam.mp4 --concepts scratch,dent
  vidconcept track line_cam.mp4 --concepts scratch,dent --existing resume \\
    --threshold 0.6

Any command takes --debug, which shows tracebacks.
"""
FIND, MODEL, SPACE, DECIDE, OUTPUT = "What to find", "Model", "Space and time", "From maps to findings", "Output"


class Existing(StrEnum):
    error = "error"
    resume = "resume"
    overwrite = "overwrite"
    skip = "skip"


def _option(key: str, panel: str, *names: str, metavar: str | None = None) -> Any:
    """An option of one setting; its help is the setting's own."""
    # What the text says of another setting, it says of its option here.
    text = re.sub(r"`(\w+)`", lambda other: _name_flag(other[1]), TrackSettings.model_fields[key].description or "")
    flags = names or (_name_flag(key),)
    return typer.Option(*flags, help=text, rich_help_panel=panel, show_default=False, metavar=metavar)


def _name_flag(key: str) -> str:
    return "--" + key.replace("_", "-")


def track(
    context: typer.Context,
    video: Annotated[str, typer.Argument(help="A video, a folder of images, or a pattern like img_%04d.png.")],
    concepts: Annotated[str | None, _option("concepts", FIND, metavar="A,B")] = None,
    background: Annotated[str | None, _option("background", FIND, metavar="A,B")] = None,
    distractors: Annotated[str | None, _option("distractors", FIND, metavar="A,B")] = None,
    sinks: Annotated[str | None, _option("sinks", FIND, metavar="A,B")] = None,
    prompt: Annotated[str | None, _option("prompt", FIND)] = None,
    line_head: Annotated[str | None, _option("line_head", FIND, metavar="FILE")] = None,
    preset: Annotated[str | None, _option("preset", MODEL, metavar="fast|balanced|accurate")] = None,
    model: Annotated[str | None, _option("model", MODEL)] = None,
    layers: Annotated[str | None, _option("layers", MODEL, metavar="N,N")] = None,
    method: Annotated[str | None, _option("method", MODEL, metavar="NAME")] = None,
    timestep: Annotated[str | None, _option("timestep", MODEL, metavar="N")] = None,
    timesteps: Annotated[str | None, _option("timesteps", MODEL, metavar="N,N")] = None,
    reduce: Annotated[str | None, _option("reduce", MODEL, metavar="softmax-mean|mean-softmax")] = None,
    concept_sharpness: Annotated[str | None, _option("concept_sharpness", MODEL, metavar="X")] = None,
    token_support: Annotated[str | None, _option("token_support", MODEL, metavar="X")] = None,
    coarse_scale: Annotated[str | None, _option("coarse_scale", MODEL, metavar="X")] = None,
    concept_tokens: Annotated[str | None, _option("concept_tokens", MODEL, metavar="all|first")] = None,
    noise_samples: Annotated[str | None, _option("noise_samples", MODEL, metavar="N")] = None,
    seed: Annotated[str | None, _option("seed", MODEL, metavar="N")] = None,
    dtype: Annotated[str | None, _option("dtype", MODEL, metavar="auto|float32|float16|bfloat16")] = None,
    device: Annotated[str | None, _option("device", MODEL)] = None,
    threads: Annotated[str | None, _option("threads", MODEL, metavar="N")] = None,
    vae_tiling: Annotated[str | None, _option("vae_tiling", MODEL, metavar="auto|on|off")] = None,
    offload: Annotated[str | None, _option("offload", MODEL, metavar="none|model|group")] = None,
    quantize: Annotated[str | None, _option("quantize", MODEL, metavar="none|int8|fp8|nf4")] = None,
    start_s: Annotated[str | None, _option("start_s", SPACE, "--start", metavar="S")] = None,
    end_s: Annotated[str | None, _option("end_s", SPACE, "--end", metavar="S")] = None,
    stride: Annotated[str | None, _option("stride", SPACE, metavar="N|auto")] = None,
    looks: Annotated[str | None, _option("looks", SPACE, metavar="N")] = None,
    fps: Annotated[str | None, _option("fps", SPACE, metavar="RATE")] = None,
    bits: Annotated[str | None, _option("bits", SPACE, metavar="N")] = None,
    stream: Annotated[str | None, _option("stream", SPACE, metavar="N")] = None,
    max_megapixels: Annotated[str | None, _option("max_megapixels", SPACE, metavar="N")] = None,
    deinterlace: Annotated[bool | None, _option("deinterlace", SPACE, "--deinterlace", metavar="")] = None,
    tone_map: Annotated[bool | None, _option("tone_map", SPACE, "--tone-map", metavar="")] = None,
    roi: Annotated[str | None, _option("roi", SPACE, metavar="X,Y,W,H")] = None,
    tile: Annotated[str | None, _option("tile", SPACE, metavar="CxR|auto")] = None,
    height: Annotated[str | None, _option("height", SPACE, metavar="PX")] = None,
    width: Annotated[str | None, _option("width", SPACE, metavar="PX")] = None,
    window_frames: Annotated[str | None, _option("window_frames", SPACE, metavar="N")] = None,
    overlap_frames: Annotated[str | None, _option("overlap_frames", SPACE, metavar="N")] = None,
    threshold: Annotated[str | None, _option("threshold", DECIDE, metavar="0-1")] = None,
    hysteresis: Annotated[str | None, _option("hysteresis", DECIDE, metavar="0-1")] = None,
    rarity: Annotated[str | None, _option("rarity", DECIDE, metavar="auto|off|FILE")] = None,
    keep_recurring: Annotated[str | None, _option("keep_recurring", DECIDE, metavar="N,N")] = None,
    ratio: Annotated[str | None, _option("ratio", DECIDE, metavar="0-1")] = None,
    floor: Annotated[str | None, _option("floor", DECIDE, metavar="0-1")] = None,
    smooth: Annotated[str | None, _option("smooth", DECIDE, metavar="METHOD")] = None,
    edges: Annotated[str | None, _option("edges", DECIDE, metavar="pixel|coarse")] = None,
    min_area_px: Annotated[str | None, _option("min_area_px", DECIDE, "--min-area", metavar="PX")] = None,
    min_duration_s: Annotated[str | None, _option("min_duration_s", DECIDE, "--min-duration", metavar="S")] = None,
    out: Annotated[Path | None, typer.Option(help="run folder [<video>.vidconcept]", rich_help_panel=OUTPUT)] = None,
    existing: Annotated[
        Existing, typer.Option(help="what to do if the run folder exists", rich_help_panel=OUTPUT)
    ] = Existing.error,
    view: Annotated[str | None, _option("view", OUTPUT, metavar="overlay|heatmap|side-by-side|grid")] = None,
    codec: Annotated[str | None, _option("codec", OUTPUT, metavar="h264|libvpx-vp9")] = None,
    encoder_preset: Annotated[str | None, _option("encoder_preset", OUTPUT, metavar="ultrafast|...|medium")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(
            metavar="A,B|any",
            help="exit with code 10 if one of these concepts is found; any: if anything is",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="settings from a TOML file", rich_help_panel=OUTPUT)] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="print the plan and stop", rich_help_panel=OUTPUT)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", metavar="", help="one JSON object on stdout", rich_help_panel=OUTPUT)
    ] = False,
) -> None:
    """Track concepts through a video: an annotated MP4, tables, masks and a review page in one folder."""
    refuse_more("track takes one video", video, context.args, "vidconcept batch takes many")
    options = {
        key: text for key, text in context.params.items() if key in TrackSettings.model_fields and text is not None
    }
    settings = {key: value if value is True else parse_text(key, value) for key, value in options.items()}
    from vidconcept.commands.terminal import open_monitor, print_events, resume_command
    from vidconcept.commands.terminal import out as stdout
    from vidconcept.pipelines.out import choose_out
    from vidconcept.pipelines.plan import make_plan

    plan = make_plan(video, settings, config)
    wanted = _parse_fail_on(fail_on, plan.settings.concepts)
    folder = out or choose_out(video)
    if dry_run:
        from vidconcept.runs import check_folder

        _check_machine(plan.settings)
        check_folder(folder, plan.facts(), existing.value, plan.read_paths)
        _print_plan(plan, folder, as_json)
        return
    from vidconcept.pipelines.track import run_plan

    try:
        with open_monitor() as monitor:
            run = run_plan(plan, folder, existing.value, monitor)
    except Interrupted:
        again = resume_command(sys.argv[1:])
        raise Interrupted(f"interrupted; what was done is kept. Continue with: {again}") from None
    events = run.events
    if as_json:
        result = {"run": str(run.path), "frames": run.manifest["frames"], "events": [asdict(e) for e in events]}
        result |= {
            key: run.manifest.get(key)
            for key in ("gaps", "remarks", "cuts", "fallbacks", "timings_s", "rarity", "recurring")
        }
        typer.echo(json.dumps(result, ensure_ascii=False))
    else:
        print_events(events, list(plan.settings.concepts), sum(not group.kept for group in run.recurring))
        if said := run.manifest.get("rarity", {}).get("says"):
            stdout.print(said, markup=False)
        stdout.print(f"open {run.path / 'review.html'}", markup=False)
        stdout.print(f"all files: {run.path}", markup=False)
    if any(event.concept in wanted for event in events):
        raise typer.Exit(ExitCode.FINDINGS)


def _parse_fail_on(fail_on: str | None, concepts: tuple[str, ...]) -> set[str]:
    """The concepts whose events make the command fail."""
    if fail_on is None:
        return set()
    if fail_on == "any":
        return set(concepts)
    wanted = parse_words(fail_on)
    unknown = [word for word in wanted if word not in concepts]
    if unknown or not wanted:
        raise UsageError(
            f"--fail-on {(unknown or [fail_on])[0]!r} is not one of the concepts. "
            f"Next: one of {', '.join(concepts)}, or any"
        )
    return set(wanted)


def _check_machine(settings: TrackSettings) -> None:
    """Raises ModelError or UsageError where a device or library that was asked for is not here; see `load`."""
    if settings.device in ("auto", "cpu") and settings.quantize == "none":
        return
    # torch and diffusers take seconds to import: only who asks for such a thing waits for them.
    from vidconcept.models.loading import pick_device
    from vidconcept.models.quantize import check_quantize

    check_quantize(settings.quantize, settings.offload)
    pick_device(settings.device)


def _print_plan(plan: Any, folder: Path, as_json: bool) -> None:
    from vidconcept.commands.terminal import print_rows
    from vidconcept.pipelines.maps import estimate_frame_count

    facts = plan.facts() | {"out": str(folder), "expected_frames": estimate_frame_count(plan)}
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
        return
    info, tiles = plan.info, plan.tiles
    tile_count = format_count(len(tiles.origins_px), "tile")
    rows = [
        (
            "video",
            f"{plan.source}: {info.width_px}x{info.height_px}, {info.codec}, {_format_frames(info.declared_frames)}",
        ),
        ("model", f"{plan.folder.preset.name} in {plan.folder.path}"),
        ("words", ", ".join(plan.words)),
        ("picture", f"{tiles.tile_width}x{tiles.tile_height}, {tile_count}, token {tiles.pitch_px} px"),
        ("out", str(folder)),
    ]
    rows += [(f"{remark.level}: {remark.about}", remark.message) for remark in plan.remarks]
    rows += [
        (key, f"{format_value(value)}  ({plan.sources[key]})")
        for key, value in plan.settings
        if plan.sources[key] != "default"
    ]
    print_rows("would do", rows)


def _format_frames(frames: int | None) -> str:
    return f"about {format_count(frames, 'frame')}" if frames else "frames not counted in the file"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EXAMPLES, context_settings={"allow_extra_args": True})(track)
