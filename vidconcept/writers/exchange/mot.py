"""MOT and MOTS Challenge sequences. Frames start at 1: frame index i is frame i + 1.

Layouts: https://motchallenge.net/instructions (MOT), https://www.vision.rwth-aachen.de/page/mots (MOTS).
"""

from pathlib import Path

from vidconcept.errors import UsageError
from vidconcept.tracks import rle
from vidconcept.writers.exchange.selection import Selection, paint_owners, write_inspected
from vidconcept.writers.youtube_vis import to_xywh
from vidconcept.written import check_replaceable, open_own

# MOTS packs class and instance into one number; class 10 means "ignore this region".
_MOTS_INSTANCES = 1000
_MOTS_IGNORED_CLASS = 10


def write_mot(selection: Selection, folder: Path) -> None:
    """A sequence folder: `gt/gt.txt` with `gt/labels.txt` and `seqinfo.ini` (what CVAT and datumaro import).

    `results.txt` holds the same boxes as a tracker's result, with the confidence. Class ids start at 1.
    """
    run = selection.run
    names = ("gt/gt.txt", "gt/labels.txt", "results.txt", "seqinfo.ini", "inspected.csv")
    for name in names:
        check_replaceable(folder / name)
    with open_own(folder / "gt" / "gt.txt") as truth, open_own(folder / "results.txt") as results:
        for row in selection.tracks():
            box = ",".join(str(value) for value in to_xywh(row.box_px))
            truth.write(f"{row.frame_index + 1},{row.tracker_id},{box},1,{row.class_id + 1},1\n")
            results.write(f"{row.frame_index + 1},{row.tracker_id},{box},{row.confidence:.4f},-1,-1,-1\n")
    with open_own(folder / "gt" / "labels.txt") as labels:
        labels.writelines(f"{_join_lines(name)}\n" for name in run.concepts)
    write_inspected(selection, folder, first_number=1)
    with open_own(folder / "seqinfo.ini") as info:
        info.write(
            f"[Sequence]\nname={selection.stem}\nimDir=img1\nframeRate={run.rate_fps or 25:g}\n"
            f"seqLength={selection.last_frame_index() + 1}\nimWidth={run.frame_size[0]}\nimHeight={run.frame_size[1]}\n"
            "imExt=.jpg\n"
        )


def write_mots(selection: Selection, folder: Path) -> None:
    """`<video>.txt` with rows `frame id class height width rle`, id = class * 1000 + instance, and `labels.txt`.

    A pixel has one owner: where masks overlap, the more confident one has it; a mask that loses all is left out.
    Raises UsageError where a concept has more than 999 tracks.
    """
    width_px, height_px = selection.run.frame_size
    instances: dict[int, int] = {}
    counts = [0] * len(selection.run.concepts)
    for name in ("labels.txt", "inspected.csv"):
        check_replaceable(folder / name)
    with open_own(folder / f"{selection.stem}.txt") as file:
        for frame, rows in selection.group_by_frame():
            owner = paint_owners(selection, rows) if len(rows) > 1 else None
            for at, row in enumerate(rows):
                if row.tracker_id not in instances:
                    counts[row.class_id] += 1
                    instances[row.tracker_id] = counts[row.class_id]
                    if counts[row.class_id] >= _MOTS_INSTANCES:
                        raise UsageError(
                            f"MOTS numbers 999 tracks a concept, {row.concept!r} has more. "
                            "Next: export a part with `start_s` and `end_s`, or by `verdict`"
                        )
                x_min, y_min, x_max, y_max = row.box_px
                mask = None if owner is None else owner[y_min:y_max, x_min:x_max] == at + 1
                if mask is not None and not mask.any():
                    continue
                text = row.rle if mask is None else rle.encode(mask, x_min, y_min, selection.run.frame_size)
                number = to_mots_class(row.class_id)
                head = f"{frame.frame_index + 1} {number * _MOTS_INSTANCES + instances[row.tracker_id]} {number}"
                file.write(f"{head} {height_px} {width_px} {text.decode('ascii')}\n")
    write_inspected(selection, folder, first_number=1)
    with open_own(folder / "labels.txt") as labels:
        labels.writelines(
            f"{to_mots_class(at)} {_join_lines(name)}\n" for at, name in enumerate(selection.run.concepts)
        )


def to_mots_class(class_id: int) -> int:
    """The concept's class number: from 1, without the number that means "ignore"."""
    number = class_id + 1
    return number if number < _MOTS_IGNORED_CLASS else number + 1


def _join_lines(name: str) -> str:
    return " ".join(name.split())
