"""The command `batch`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vidconcept.commands.flags import name_options
from vidconcept.commands.options import Concepts, Config, Json, Setting, parse_settings
from vidconcept.commands.terminal import warn
from vidconcept.errors import ExitCode, Interrupted, UsageError
from vidconcept.wording import format_count

EXAMPLES = """
[bold]Commands to copy[/]

  vidconcept batch archive/ --concepts scratch,dent --out runs/
  vidconcept batch 'cam*/*.mp4' --concepts scratch,dent --out runs/ --jobs 2
  vidconcept batch cameras.csv --out runs/
  vidconcept batch --watch incoming/ --concepts scratch,dent --out runs/
  vidconcept batch --out runs/

The last one writes summary and index of the existing runs. Run the same command again to continue where it stopped.
"""
HOW, WHERE = "Processing", "Workers and machines"


class Runner(StrEnum):
    local = "local"
    ray = "ray"


class Existing(StrEnum):
    resume = "resume"
    overwrite = "overwrite"


def batch(
    out: Annotated[Path, typer.Option(help="folder that holds the run folders")],
    footage: Annotated[
        list[str] | None,
        typer.Argument(help="Videos, folders, patterns in quotes, a list of cameras (CSV), or - for paths on stdin."),
    ] = None,
    concepts: Concepts = None,
    setting: Setting = None,
    config: Config = None,
    fps: Annotated[
        float | None, typer.Option(help="frame rate of image folders; each then counts as one film", metavar="RATE")
    ] = None,
    existing: Annotated[
        Existing,
        typer.Option(help="what to do with runs whose maps were made with other settings", rich_help_panel=HOW),
    ] = Existing.resume,
    tries: Annotated[
        int,
        typer.Option(
            min=1, max=100, help="give up a film after its worker process died this often", rich_help_panel=HOW
        ),
    ] = 3,
    stall: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="S",
            help="end a film that shows no progress for so many seconds; default: an hour, longer for large films",
            rich_help_panel=HOW,
        ),
    ] = None,
    watch: Annotated[
        list[Path] | None,
        typer.Option(help="also take recordings that appear in this folder, until Ctrl-C", rich_help_panel=HOW),
    ] = None,
    settle: Annotated[
        float,
        typer.Option(
            min=0.1, metavar="S", help="take a recording when it has not grown for this long", rich_help_panel=HOW
        ),
    ] = 10.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", metavar="", help="list the films and stop", rich_help_panel=HOW)
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            metavar="N",
            help="number of workers; default: one per GPU, or per 4 cores",
            rich_help_panel=WHERE,
        ),
    ] = None,
    split: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="S",
            help="process longer films in parts of about this length, by several workers",
            rich_help_panel=WHERE,
        ),
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="process only part I of N, counted from 0: one part per machine", rich_help_panel=WHERE
        ),
    ] = None,
    runner: Annotated[
        Runner, typer.Option(help="local processes, or actors of a Ray cluster", rich_help_panel=WHERE)
    ] = Runner.local,
    address: Annotated[
        str | None,
        typer.Option(
            help="address of the Ray cluster; default: RAY_ADDRESS, or a new one on this machine", rich_help_panel=WHERE
        ),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="write counters to this file, for Prometheus", rich_help_panel=WHERE)
    ] = None,
    as_json: Json = False,
) -> None:
    """Track many films: one run folder for each, a summary table and an index page."""
    from vidconcept.fleet.footage import Film, absolute
    from vidconcept.fleet.shards import Shard
    from vidconcept.fleet.summarising import summary_rows
    from vidconcept.runners.asking import Asking
    from vidconcept.runners.call import Asked, check_metrics, check_out, summarise

    check_out(out)
    if address is not None and runner is not Runner.ray:
        raise UsageError("--address is only for Ray. Next: add --runner ray")
    settings = parse_settings(concepts, setting) | ({} if fps is None else {"fps": fps})
    part = Shard.parse(shard) if shard is not None else None
    arguments, folders = footage or [], [absolute(folder) for folder in watch or []]
    if not arguments and not folders:
        rows = list(summary_rows(out))
        written = [str(path) for path in summarise(out, rows)]
        if failed := sum(row.state == "failed" for row in rows):
            warn(f"{format_count(failed, 'film')} failed; summary.csv says why")
        if kept := sum(row.state == "done" and bool(row.reason) for row in rows):
            warn(f"{format_count(kept, 'film')} kept the run of before, not tracked again; summary.csv says why")
        typer.echo(json.dumps({"written": written}, ensure_ascii=False) if as_json else "\n".join(written))
        return
    asked = Asked(absolute(out), settings, absolute(config) if config else None, part, _read_paths())
    films = asked.films(arguments)
    if dry_run:
        _list(films, as_json)
        return
    asked.forget_unread(folders)
    if metrics is not None:
        check_metrics(metrics, films)
    asking = Asking()
    # A word that the model does not know is the call's fault, not that of its films.
    for film in [*films, *([Film(asked.out, settings, asked.config)] if folders else [])]:
        asking.digest(film)
    pool = _open_pool(runner, address, jobs, asked.out)
    reports, board = _carry_out(asked, films, folders, existing, tries, settle, pool, metrics, asking, split, stall)
    _print(reports.written, board, out, as_json, shard)
    if board.failed:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _read_paths() -> Iterable[str]:
    """The lines of standard input, none where it is closed; bytes of other encodings stay what they are."""
    return () if sys.stdin is None else map(os.fsdecode, sys.stdin.buffer)


def _open_pool(runner: Runner, address: str | None, jobs: int | None, out: Path) -> Any:
    if runner is Runner.ray:
        from vidconcept.runners.ray_pool import RayPool

        return RayPool.connect(address, jobs)
    from vidconcept.runners.processes import ProcessPool, default_jobs, gpu_ids

    return ProcessPool.in_runs(out, jobs or default_jobs(gpu_ids()))


def _carry_out(
    asked: Any, films: list[Any], folders: list[Path], existing: Existing, tries: int, settle: float,
    pool: Any, metrics: Path | None, asking: Any, split: float | None, stall: float | None,
) -> tuple[Any, Any]:  # fmt: skip
    from vidconcept.commands.batch_screen import open_screen
    from vidconcept.commands.terminal import Stop
    from vidconcept.fleet.board import Board
    from vidconcept.fleet.intake import Both, Listed
    from vidconcept.fleet.metrics import MetricsFile
    from vidconcept.fleet.settling import Settling
    from vidconcept.fleet.stalls import Stalls
    from vidconcept.runners.batch import Batch
    from vidconcept.runners.call import Reports

    board = Board()
    settling = Settling(folders, asked.out, asked.film, asked.unread_film, settle)
    intake = Both(Listed(films), settling) if folders else Listed(films)
    counters = MetricsFile(metrics, warn) if metrics is not None else None
    reports = Reports(asked.out, board, counters, whole=asked.shard is None, endless=bool(folders))
    stop = Stop("stopping: each worker finishes its window; press Ctrl-C again to stop at once")
    # Ray prints what it has to say of its workers.
    quiet = redirect_stdout(sys.stderr)
    with quiet, stop.on_signals(), open_screen(board, pool.slots) as screen, reports.at_the_end():

        def tick() -> None:
            screen.tick()
            reports.tick()

        job = Batch(
            asked.out, intake, pool, asking, board, tell=screen.tell, tick=tick, stop=stop,
            existing=existing.value, tries=tries, split_s=split, stalls=Stalls(stall),
        )  # fmt: skip
        try:
            job.run()
        except Interrupted:
            # To stop is how watching ends.
            if not folders or job.left:
                raise
        finally:
            pool.close()
            for text in settling.describe_waiting():
                warn(text)
    return reports, board


def _list(films: list[Any], as_json: bool) -> None:
    unread, films = [film for film in films if film.unread], [film for film in films if not film.unread]
    if as_json:
        told = [{"source": str(f.source), "run": f.run_name, "camera": f.camera} for f in films]
        typer.echo(json.dumps({"films": told}, ensure_ascii=False))
    else:
        for film in films:
            typer.echo(f"{film.source} -> {film.title}")
        typer.echo(format_count(len(films), "film"))
    for film in unread:
        warn(film.unread)
    if unread:
        raise typer.Exit(ExitCode.SOME_FAILED)


def _print(written: list[Path], board: Any, out: Path, as_json: bool, shard: str | None) -> None:
    """What became of the batch, and a line for each film that failed."""
    if as_json:
        failed = [{"source": str(film.source), "run": film.run_name, "reason": why} for film, why in board.failed]
        counts = {"films": board.films, "done": board.done, "skipped": board.skipped, "failed": failed}
        told = counts | {"events": dict(board.events), "written": [str(path) for path in written]}
        typer.echo(json.dumps(told, ensure_ascii=False))
        return
    parts = [f"{board.done} done", f"{board.skipped} done before", f"{len(board.failed)} failed"]
    typer.echo(f"{format_count(board.films, 'film')}: {', '.join(parts)}")
    if board.events:
        typer.echo("found " + ", ".join(f"{count} x {name}" for name, count in board.events.items()))
    for film, reason in board.failed:
        # Many reasons name the film themselves.
        about = "" if str(film.source) in reason else f"{film.source}: "
        typer.echo(f"failed: {about}{name_options(reason)}")
    for path in written:
        typer.echo(f"{'open ' if path.suffix == '.html' else ''}{path}")
    if shard is not None:
        typer.echo(f"when all shards are done: vidconcept batch --out {out} writes summary and index")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(epilog=EXAMPLES)(batch)
