"""The commands on a finished run: `review` and `export`."""

from __future__ import annotations

import json
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from vidconcept.commands.options import Json, parse_words
from vidconcept.errors import UsageError
from vidconcept.writers.exchange.formats import FORMATS


def review(
    run: Annotated[Path, typer.Argument(help="A run folder, or a folder of run folders.")],
    apply: Annotated[Path | None, typer.Option(help="write the verdicts saved by the page into events.csv")] = None,
    no_open: Annotated[bool, typer.Option("--no-open", metavar="", help="write the page without opening it")] = False,
    as_json: Json = False,
) -> None:
    """Open the review page of a run, or one index page over many runs."""
    from vidconcept.fleet.summarising import list_missing, summary_rows
    from vidconcept.writers.review.index import review as write_page

    of_many = not (run / "run.json").is_file()
    page, summary = write_page(run, apply, list_missing(run, summary_rows(run)) if of_many else ())
    typer.echo(
        json.dumps({"page": str(page), "told": summary}, ensure_ascii=False) if as_json else f"{summary}\nopen {page}"
    )
    if not (no_open or as_json or apply):
        webbrowser.open(page.resolve().as_uri())


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    to: Annotated[str, typer.Option(help="format: " + ", ".join(FORMATS))],
    out: Annotated[Path | None, typer.Option(help="file or folder to write; default: in exports/ of the run")] = None,
    verdict: Annotated[
        str | None, typer.Option(help="only events with these verdicts: accept,reject,unsure,open", metavar="A,B")
    ] = None,
    concepts: Annotated[str | None, typer.Option(help="only these concepts", metavar="A,B")] = None,
    start: Annotated[float | None, typer.Option(help="first second, included", metavar="S")] = None,
    end: Annotated[float | None, typer.Option(help="last second, included", metavar="S")] = None,
    masks: Annotated[str, typer.Option(metavar="rle|polygon", help="how masks are written")] = "rle",
    excel: Annotated[
        bool, typer.Option("--excel", metavar="", help="write a CSV that a spreadsheet opens by double click")
    ] = False,
    locale: Annotated[
        str | None,
        typer.Option(help="language of the spreadsheet, e.g. en; default: one with decimal commas", metavar="L"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run's mask tracks in a format that other tools read."""
    from vidconcept.writers.exchange.export import export as write_export

    verdicts = parse_words(verdict) if verdict else None
    names = parse_words(concepts) if concepts else None
    if start is not None and end is not None and end < start:
        raise UsageError(f"--end {end:g} is before --start {start:g}. Next: swap them")
    chosen = {"verdict": verdicts, "concepts": names, "start_s": start, "end_s": end, "masks": masks}
    summary = write_export(run, to, out, **chosen, excel=excel, locale=locale)
    typer.echo(json.dumps({"run": str(run), "format": to, "told": summary}, ensure_ascii=False) if as_json else summary)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the application."""
    for command in (review, export):
        app.command()(command)
