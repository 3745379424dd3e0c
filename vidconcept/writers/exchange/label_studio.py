"""Label Studio: one task with the tracks as `VideoRectangle` predictions, and the labelling setup to import them with.

Layout: https://labelstud.io/tags/videorectangle. Label Studio counts frames from 1 and knows no timestamps: a frame is
time * declared rate, in a variable-frame-rate video too. A key frame with `enabled: false` ends a span of life.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from vidconcept.manifest import RunInfo
from vidconcept.types import TrackMask
from vidconcept.writers.by_track import sort_by_track
from vidconcept.writers.exchange.selection import Selection
from vidconcept.writers.frames.palette import choose_hex
from vidconcept.written import check_replaceable, open_own

_RATE_WHERE_NONE_IS_DECLARED = 25.0


def write_label_studio(selection: Selection, path: Path) -> None:
    """`path` (JSON to import) and beside it `<stem>.config.xml` (the project's labelling setup)."""
    run = selection.run
    rate_fps = run.rate_fps or _RATE_WHERE_NONE_IS_DECLARED
    frames = _count_frames(selection, rate_fps)
    config = path.with_name(f"{path.stem}.config.xml")
    for file_path in (path, config):
        check_replaceable(file_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with sort_by_track(selection.tracks(), path) as store, open_own(path) as file:
        data = {"video": run.video, "run_id": run.run_id, "inspected": _describe_inspected(selection, rate_fps)}
        file.write(f'[{{"data": {json.dumps(data)}, "predictions": [{{"model_version": "vidconcept", "result": [')
        for number, (tracker_id, concept, _) in enumerate(store.ids()):
            result = {
                "id": f"track-{tracker_id}",
                "type": "videorectangle",
                "from_name": "box",
                "to_name": "video",
                "origin": "prediction",
                "meta": {
                    "tracker_id": tracker_id,
                    "verdict": selection.verdicts[tracker_id],
                    "interpolated": _list_interpolated(store.rows(tracker_id), run, rate_fps),
                },
                "value": {
                    "framesCount": frames,
                    "duration": round(frames / rate_fps, 6),
                    "sequence": _make_sequence(store.rows(tracker_id), run, rate_fps),
                    "labels": [concept],
                },
            }
            file.write(("," if number else "") + "\n" + json.dumps(result, ensure_ascii=False))
        file.write("]}]}]\n")
    with open_own(config) as file:
        labels = "".join(
            f"    <Label value={quoteattr(name)} background={quoteattr(choose_hex(class_id))}/>\n"
            for class_id, name in enumerate(run.concepts)
        )
        file.write(
            f'<View>\n  <Labels name="labels" toName="video">\n{labels}  </Labels>\n'
            f'  <Video name="video" value="$video" framerate="{rate_fps:.9g}"/>\n'
            '  <VideoRectangle name="box" toName="video"/>\n</View>\n'
        )


def _count_frames(selection: Selection, rate_fps: float) -> int:
    """Of the video, which Label Studio shows whole, whatever part of it is exported."""
    run = selection.run
    if run.cut and run.duration_s is not None:
        return round((run.starts_at_s + run.duration_s) * rate_fps)
    return _to_frame_number(run.starts_at_s + selection.last_of_run()[1], rate_fps)


def _describe_inspected(selection: Selection, rate_fps: float) -> dict[str, int]:
    """The frames that the model saw: first, last, and every which one."""
    times_s = [
        frame.time_s + selection.run.starts_at_s for frame in selection.frames() if not frame.origin.interpolated
    ]
    if not times_s:
        return {}
    first, last = _to_frame_number(times_s[0], rate_fps), _to_frame_number(times_s[-1], rate_fps)
    # With windows as the motion chose them there is no such number.
    every = selection.run.stride
    return {"first": first, "last": last} | ({} if every is None else {"every": every})


def _list_interpolated(rows: Iterable[TrackMask], run: RunInfo, rate_fps: float) -> list[int]:
    """Frames of a track that the model did not see."""
    return [_to_frame_number(row.time_s + run.starts_at_s, rate_fps) for row in rows if row.origin.interpolated]


def _make_sequence(rows: Iterable[TrackMask], run: RunInfo, rate_fps: float) -> list[dict[str, Any]]:
    """Key frames of one track, in percent of the frame; the last of each span of life is not enabled.

    Label Studio plays the file from its own zero, which sound may begin before the first picture.
    """
    frame_size, zero_s = run.frame_size, run.starts_at_s
    keys: dict[int, dict[str, Any]] = {}
    ends: list[int] = []
    latest: TrackMask | None = None
    for row in rows:
        number = _to_frame_number(row.time_s + zero_s, rate_fps)
        if latest is not None and row.frame_index > latest.frame_index + 1:
            ends.append(_to_frame_number(latest.time_s + zero_s, rate_fps))
        x_min, y_min, x_max, y_max = row.box_px
        keys[number] = {
            "frame": number,
            "enabled": True,
            "rotation": 0,
            "x": 100 * x_min / frame_size[0],
            "y": 100 * y_min / frame_size[1],
            "width": 100 * (x_max - x_min) / frame_size[0],
            "height": 100 * (y_max - y_min) / frame_size[1],
            "time": round(number / rate_fps, 6),
        }
        latest = row
    if latest is not None:
        ends.append(_to_frame_number(latest.time_s + zero_s, rate_fps))
    for number in ends:
        keys[number]["enabled"] = False
    return list(keys.values())


def _to_frame_number(time_s: float, rate_fps: float) -> int:
    return round(time_s * rate_fps) + 1
