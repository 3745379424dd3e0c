"""`vidconcept export`: the mask tracks of a run in the formats that other tools read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidconcept.errors import UsageError
from vidconcept.ownership import check_apart
from vidconcept.writers.exchange.coco import write_coco
from vidconcept.writers.exchange.csv_table import write_csv, write_supervision
from vidconcept.writers.exchange.cvat import write_cvat
from vidconcept.writers.exchange.davis import write_davis
from vidconcept.writers.exchange.label_studio import write_label_studio
from vidconcept.writers.exchange.mot import write_mot, write_mots
from vidconcept.writers.exchange.selection import Selection, select
from vidconcept.writers.youtube_vis import write_youtube_vis


@dataclass(frozen=True, slots=True)
class _Format:
    """write: takes the selection, where to, and "rle" or "polygon". name: of what it writes, beside the run."""

    write: Callable[[Selection, Path, str], None]
    name: str
    polygons: bool = False


def _write_youtube_vis(selection: Selection, path: Path, masks: str) -> None:
    run = selection.run
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = selection.frames(), selection.tracks()
    write_youtube_vis(path, run.video, run.concepts, run.frame_size, *streams, selection.verdicts, compressed=False)


FORMATS: dict[str, _Format] = {
    "csv": _Format(write_csv, "{stem}.csv", polygons=True),
    "coco": _Format(write_coco, "{stem}.coco.json", polygons=True),
    "youtube-vis": _Format(_write_youtube_vis, "{stem}.youtube-vis.json"),
    "mots": _Format(lambda selection, path, masks: write_mots(selection, path), "{stem}.mots"),
    "mot": _Format(lambda selection, path, masks: write_mot(selection, path), "{stem}.mot"),
    "cvat": _Format(write_cvat, "{stem}.cvat.xml", polygons=True),
    "label-studio": _Format(
        lambda selection, path, masks: write_label_studio(selection, path), "{stem}.label-studio.json"
    ),
    "davis": _Format(lambda selection, path, masks: write_davis(selection, path), "{stem}.davis"),
    "supervision": _Format(lambda selection, path, masks: write_supervision(selection, path), "{stem}.supervision.csv"),
}


def export(
    run_dir: Path,
    to: str,
    out: Path | None = None,
    *,
    verdict: Sequence[str] | None = None,
    concepts: Sequence[str] | None = None,
    start_s: float | None = None,
    end_s: float | None = None,
    masks: str = "rle",
) -> str:
    """Writes the run's mask tracks in another format and returns one line that says what was written where.

    to: a key of FORMATS. out: a file, or a folder for mots, mot and davis; by default in `exports/` of the run.
    verdict: of "accept", "reject", "unsure", "open" (none given yet); concepts: names; start_s, end_s: seconds, both
    included; None takes all. masks: "rle" or "polygon" (csv, coco, cvat).
    Raises UsageError, also where `out` would take the place of what the run made, InputError (no run), OutputError.
    """
    if to not in FORMATS:
        raise UsageError(f"no format {to!r}; the formats are {', '.join(FORMATS)}")
    if masks not in ("rle", "polygon"):
        raise UsageError(f"masks are rle or polygon, got {masks!r}")
    if masks == "polygon" and not FORMATS[to].polygons:
        able = ", ".join(name for name, known in FORMATS.items() if known.polygons)
        raise UsageError(f"{to} holds no polygons; the formats that do are {able}")
    selection = select(run_dir, verdict, concepts, start_s, end_s)
    path = out or run_dir / "exports" / FORMATS[to].name.format(stem=selection.stem)
    check_apart(run_dir, [path])
    FORMATS[to].write(selection, path, masks)
    tracks = len(selection.verdicts)
    return f"{tracks} track{'' if tracks == 1 else 's'} as {to}: {path}"
