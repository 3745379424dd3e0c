"""`index.html` over many runs: what was found where, the worst first."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.files import explain_unwritable, open_replacing, read_text
from vidconcept.manifest import RunInfo, find_runs, read_run
from vidconcept.types import Event
from vidconcept.wording import format_count
from vidconcept.writers.frames.thumbs import name_thumb
from vidconcept.writers.review.page import fill_template, make_policy, read_asset, write_review
from vidconcept.writers.review.verdicts import apply_verdicts, count_verdicts
from vidconcept.writers.tables import read_events

log = logging.getLogger(__name__)
# Of the page's table: by it a page of ours is known.
_CAPTION = "<caption>Runs, the worst first:"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A run as the index shows it. standing: the events that nobody has rejected, the highest score first."""

    folder: Path
    info: RunInfo
    events: list[Event]
    standing: list[Event]
    verdicts: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A film of which there is nothing to see. state: "failed" or "begun"."""

    film: str
    state: str
    reason: str


def review(path: Path, apply: Path | None = None, missing: Sequence[Missing] = ()) -> tuple[Path, str]:
    """What `vidconcept review` does: the page to open, and one line to print.

    path: a run, or a folder of runs. apply: verdicts as the page downloads them, written into the run's `events.csv`.
    missing: as for `write_index`. In a folder that cannot be written the page of a finished run, or of several, stays
    as it is, with a warning.
    Raises UsageError where verdicts are given for a folder of runs or do not fit the run, InputError where there is no
    run, OutputError where there is something to write and it cannot be.
    """
    if (path / "run.json").is_file():
        run, page = read_run(path), path / "review.html"
        kept = _keep_pages({page: run.done and apply is None})
        if apply:
            summary = apply_verdicts(path, apply)
        else:
            summary = count_verdicts(read_events(path / "events.csv", run))
        return (page if kept else write_review(path)), summary
    if apply:
        raise UsageError(f"{path} is not a run, and verdicts belong to one. Next: give its folder")
    runs, page = _find_runs(path), path / "index.html"
    told = ", ".join([format_count(len(runs), "run"), *([_count_missing(missing)] if missing else [])])
    if runs and _keep_pages({page: _is_ours(page)}):
        return page, told
    return write_index(path, missing), told


def write_index(folder: Path, missing: Sequence[Missing] = (), *, pages: bool = True) -> Path:
    """Writes `index.html` into a folder of run folders (at any depth) and each run's `review.html`; returns its path.

    missing: films without a run, which the page names. pages: False where the runs' own pages are as they should be.
    The page of a finished run in a folder that cannot be written stays as it is, with a warning.

    Raises InputError where there is no run in it, OutputError where another page cannot be written.
    """
    entries = [_read_entry(run_dir) for run_dir in _find_runs(folder)]
    if not entries:
        if not folder.exists():
            raise InputError(f"{folder} does not exist. Next: check the path")
        raise InputError(_explain_none(folder))
    entries.sort(key=lambda e: (-len(e.standing), -(e.standing[0].peak_score if e.standing else 0.0), str(e.folder)))
    # dict, not set: concepts keep the order in which the runs name them.
    concepts = list(dict.fromkeys(name for entry in entries for name in entry.info.concepts))
    if pages:
        kept = _keep_pages({entry.folder / "review.html": entry.info.done for entry in entries})
        for entry in entries:
            if entry.folder / "review.html" not in kept:
                write_review(entry.folder)
    style = read_asset("index.css")
    events = sum(len(entry.events) for entry in entries)
    rejected = events - sum(len(entry.standing) for entry in entries)
    heads = ["Worst event", "Run", *(escape(name) for name in concepts), "Events", "Peak", "Verdicts"]
    numbers = {*range(2, 4 + len(concepts))}
    page = fill_template(
        read_asset("index.html"),
        {
            "policy": make_policy(scripts=(), styles=(style,)),
            "title": escape(f"{folder.resolve().name} · review"),
            "style": style,
            "summary": " · ".join(
                [
                    format_count(len(entries), "run"),
                    f"{format_count(events, 'event')}, {rejected} rejected",
                    *([_count_missing(missing)] if missing else []),
                ]
            ),
            "missing": _format_missing(missing),
            "heads": "".join(
                f'<th scope="col"{_format_number(at in numbers)}>{head}</th>' for at, head in enumerate(heads)
            ),
            "rows": "\n".join(_format_row(folder, entry, concepts) for entry in entries),
        },
    )
    path = folder / "index.html"
    check_index(folder)
    with open_replacing(path) as file:
        file.write(page)
    return path


def check_index(folder: Path) -> None:
    """Raises OutputError where the index would take the place of a page of somebody else's."""
    path = folder / "index.html"
    if (path.exists() or path.is_symlink()) and not _is_ours(path):
        raise OutputError(f"{path} is a page that vidconcept did not write. Next: rename it, or choose another folder")


def _keep_pages(whole: Mapping[Path, bool]) -> set[Path]:
    """The pages that stay as they are because their folders cannot be written; one warning tells of all.

    whole: of each page, whether the one that is there tells all that it should. Raises OutputError for one that does
    not, or is not there.
    """
    kept = {page: reason for page in whole if (reason := explain_unwritable(page.parent))}
    for page, reason in kept.items():
        if not whole[page] or not page.is_file():
            raise OutputError(
                f"cannot write {page}: {reason}. Next: copy {page.parent} to a folder that can be written, and review "
                "the copy"
            )
    if kept:
        more = f" and {format_count(len(kept) - 1, 'other page')}" if len(kept) > 1 else ""
        page, reason = next(iter(kept.items()))
        log.warning("cannot write %s%s: %s; shown as written before", page, more, reason)
    return set(kept)


def _is_ours(page: Path) -> bool:
    try:
        return not page.is_symlink() and _CAPTION in read_text(page)
    except InputError:
        return False


def _find_runs(folder: Path) -> list[Path]:
    """Runs at any depth that have come to events; the maps that `calibrate` and `evaluate` keep are none."""
    return [run for run in find_runs(folder) if (run / "events.csv").is_file()]


def _explain_none(folder: Path) -> str:
    """What to say of a folder without a run."""
    if parts := sorted(folder.glob("[!.]*.partial*")):
        stem = parts[-1].name.split(".")[0]
        return (
            f"the folder {folder} holds no run yet: the recording {stem} is not finished. Next: wait until `vidconcept "
            "watch` has finished it, or, if that was killed, give its film to `vidconcept track`"
        )
    return f"the folder {folder} holds no run. Next: give a folder of `vidconcept track`, or one that holds several"


def _read_entry(run_dir: Path) -> _Entry:
    run = read_run(run_dir)
    events = read_events(run_dir / "events.csv", run)
    standing = sorted((e for e in events if e.verdict != "reject"), key=lambda e: -e.peak_score)
    return _Entry(run_dir, run, events, standing, count_verdicts(events))


def _format_row(folder: Path, entry: _Entry, concepts: list[str]) -> str:
    base = quote(entry.folder.relative_to(folder).as_posix())
    counts = Counter(event.concept for event in entry.events)
    thumb = '<span class="none">none</span>'
    worst = entry.standing[0] if entry.standing else None
    if worst and (entry.folder / name_thumb(worst.event_id)).is_file():
        source = f"{base}/{name_thumb(worst.event_id)}"
        thumb = f'<img src="{source}" alt="{escape(worst.concept)}" loading="lazy">'
    where = escape(str(entry.folder.relative_to(folder)))
    state = "" if entry.info.done else " · not finished"
    cells = [
        f"<td>{thumb}</td>",
        f'<td><a href="{base}/review.html">{escape(entry.info.video)}</a><small>{where}{state}</small></td>',
        *(
            f"<td{_format_number(True, counts[name])}>{counts[name] if name in entry.info.concepts else '–'}</td>"
            for name in concepts
        ),
        f"<td{_format_number(True, len(entry.events))}>{len(entry.events)}</td>",
        f"<td{_format_number(True)}>{f'{worst.peak_score:.2f}' if worst else '–'}</td>",
        f"<td>{escape(entry.verdicts)}</td>",
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _count_missing(missing: Sequence[Missing]) -> str:
    return f"{format_count(len(missing), 'film')} not inspected"


def _format_missing(missing: Sequence[Missing]) -> str:
    if not missing:
        return ""
    rows = "\n".join(
        f"<li>{escape(own.film)}: {escape(own.reason or ('failed' if own.state == 'failed' else 'not finished'))}</li>"
        for own in missing
    )
    return f"<h2>{_count_missing(missing)}</h2>\n<ul>\n{rows}\n</ul>"


def _format_number(number: bool, value: int = 1) -> str:
    return f' class="number{"" if value else " zero"}"' if number else ""
