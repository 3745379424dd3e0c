"""DAVIS: an indexed PNG a frame, the colour index is the track.

Layout: https://davischallenge.org/davis2017/code.html, `Annotations/<sequence>/00000.png`.
"""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from vidconcept.errors import UsageError
from vidconcept.writers.cells import escape_text, write_rows
from vidconcept.writers.exchange.selection import Selection, paint_owners, write_inspected
from vidconcept.written import FolderRecord, check_replaceable, open_own

# 0 is the background and 255 means "void".
_MAX_OBJECTS = 254
_FRAME_NAME = re.compile(r"\d{5,}\.png")
_OBJECT_COLUMNS = ("index", "tracker_id", "concept", "verdict")


def write_davis(selection: Selection, folder: Path) -> None:
    """`Annotations/<video>/<frame index>.png` for every frame, and `objects.csv`: index, tracker id, concept, verdict.

    A pixel has one owner: where masks overlap, the more confident one has it. Frames of an earlier, longer export into
    the same folder are removed, for its indices meant other tracks. Raises UsageError where there are more than 254
    tracks, OutputError where the folder holds pictures that no export made, or that were changed since.
    """
    if len(selection.verdicts) > _MAX_OBJECTS:
        raise UsageError(
            f"a DAVIS image has 254 objects, this selection has {len(selection.verdicts)} tracks. "
            "Next: export a part with `start_s` and `end_s`, or by `verdict`"
        )
    index_of = {tracker_id: index for index, tracker_id in enumerate(sorted(selection.verdicts), start=1)}
    concept_of: dict[int, str] = {}
    palette = _palette()
    width_px, height_px = selection.run.frame_size
    sequence, objects = folder / "Annotations" / selection.stem, folder / "objects.csv"
    for path in (objects, folder / "inspected.csv"):
        check_replaceable(path)
    own = FolderRecord(folder, f"Annotations/{selection.stem}")
    earlier = {path for path in sequence.glob("*") if _FRAME_NAME.fullmatch(path.name)}
    own.check(sorted(earlier))
    written = []
    for frame, rows in selection.group_by_frame():
        concept_of |= {row.tracker_id: row.concept for row in rows}
        indices = np.array([0, *(index_of[row.tracker_id] for row in rows)], np.uint8)
        pixels = indices[paint_owners(selection, rows)] if rows else np.zeros((height_px, width_px), np.uint8)
        image = Image.fromarray(pixels)
        image.putpalette(palette)
        png = io.BytesIO()
        image.save(png, "PNG")
        path = sequence / f"{frame.frame_index:05d}.png"
        own.write(path, png.getvalue())
        written.append(path)
    for path in earlier.difference(written):
        path.unlink()
    own.close(written)
    write_inspected(selection, folder, first_number=0)
    rows_of = [
        [index_of[tracker_id], tracker_id, escape_text(concept), selection.verdicts[tracker_id]]
        for tracker_id, concept in sorted(concept_of.items())
    ]
    with open_own(objects, newline="") as file:
        write_rows(file, [_OBJECT_COLUMNS, *rows_of])


def _palette() -> list[int]:
    """PASCAL VOC's colour map, which DAVIS uses: the bits of the index spread over the high bits of R, G and B."""
    colours = []
    for index in range(256):
        colour, rest = [0, 0, 0], index
        for bit in range(7, -1, -1):
            for channel in range(3):
                colour[channel] |= ((rest >> channel) & 1) << bit
            rest >>= 3
        colours += colour
    return colours
