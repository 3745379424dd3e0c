"""YouTube-VIS as an exchange format: `masks.json` of the selection, with uncompressed masks and verdicts."""

from pathlib import Path

from vidconcept.writers.exchange.selection import Selection
from vidconcept.writers.youtube_vis import write_youtube_vis
from vidconcept.written import open_own


def write_selection(selection: Selection, path: Path) -> None:
    run = selection.run
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = selection.frames(), selection.tracks()
    write_youtube_vis(
        path, run.video, run.concepts, run.frame_size, *streams, selection.verdicts, False, run.stem, open_own
    )
