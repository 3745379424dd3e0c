"""`vidconcept export`: the mask tracks of a run in the formats that other tools read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidconcept.errors import UsageError
from vidconcept.files import take_path
from vidconcept.manifest import read_manifest
from vidconcept.ownership import check_apart, refuse_what_is_read
from vidconcept.registry import load_entry
from vidconcept.wording import format_count, suggest
from vidconcept.words import split_words
from vidconcept.writers.exchange.formats import FORMATS
from vidconcept.writers.exchange.selection import describe_times, describe_verdicts, select
from vidconcept.writers.locales import choose_excel_style


def export(
    run_dir: str | Path,
    to: str,
    out: str | Path | None = None,
    *,
    verdict: str | Sequence[str] | None = None,
    concepts: str | Sequence[str] | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    masks: str = "rle",
    excel: bool = False,
    locale: str | None = None,
) -> str:
    """Writes the run's mask tracks in another format and returns one line that says what was written where.

    to: a key of FORMATS. out: a file, or a folder for mots, mot and davis; by default in `exports/` of the run, of a
    selection under a name of its own.
    verdict: of "accept", "reject", "unsure", "open" (none given yet); concepts: names; either a list, or one string
    with commas between them. start_s, end_s: seconds, both included. None takes all. masks: "rle" or "polygon" (csv,
    coco, cvat).
    excel: CSV as a spreadsheet opens it, in the manner of `locale`, e.g. "de" (csv).
    Raises UsageError, also where `out` is the run or would take the place of what it made, InputError (no run),
    OutputError.
    """
    run_dir = take_path(run_dir, "run_dir")
    if to not in FORMATS:
        raise UsageError(f"unknown format {to!r}{suggest(to, FORMATS)}. Next: one of {', '.join(FORMATS)}")
    if masks not in ("rle", "polygon"):
        raise UsageError(f"masks are rle or polygon, got {masks!r}. Next: `masks=rle`")
    if masks == "polygon" and not FORMATS[to].polygons:
        able = ", ".join(name for name, known in FORMATS.items() if known.polygons)
        raise UsageError(f"{to} holds no polygons. Next: a format that does, {able}")
    if excel and to != "csv":
        raise UsageError(f"`excel` is for csv, not for {to}. Next: `to=csv`, or leave `excel` out")
    if locale is not None and not excel:
        raise UsageError(f"`locale={locale}` says how a spreadsheet writes numbers. Next: give `excel` too")
    verdicts, concepts = split_words(verdict), split_words(concepts)
    selection = select(run_dir, verdicts, concepts, start_s, end_s)
    part = [*(verdicts or ()), *(["part"] if concepts or start_s is not None or end_s is not None else [])]
    name = FORMATS[to].name.format(stem=".".join([selection.stem, *part]))
    path = take_path(out, "out") if out else run_dir / "exports" / name
    check_apart(run_dir, [path])
    refuse_what_is_read(path, [run_dir, Path(read_manifest(run_dir)["video"].get("path", ""))])
    options: dict[str, Any] = {"masks": masks} if FORMATS[to].polygons else {}
    if excel:
        options["style"] = choose_excel_style(locale)
    load_entry(FORMATS[to].writer)(selection, path, **options)
    told = f"{format_count(len(selection.verdicts), 'track')} as {to}: {path}"
    if selection.verdicts:
        return told
    return f"{told}\nnothing fits; {run_dir} has {describe_verdicts(run_dir)}, {describe_times(run_dir)}"
