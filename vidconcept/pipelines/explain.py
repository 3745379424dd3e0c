"""Why did an event fire: the maps of its peak frame, layer by layer and word by word, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidconcept.attention.maps import arrange_tokens, concept_scores
from vidconcept.errors import InputError, UsageError
from vidconcept.files import replacing_bytes
from vidconcept.geometry import crop, resize
from vidconcept.models.readout import token_grid, word_logits
from vidconcept.pipelines.maps import ModelShelf, windows_of
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import Plan, make_plan
from vidconcept.pipelines.sweep import chosen_layers, plan_for_sweep
from vidconcept.pipelines.track import Run
from vidconcept.runs import check_same
from vidconcept.settings import TrackSettings
from vidconcept.temporal.windows import Window
from vidconcept.tracks.calibrated import place_map
from vidconcept.tracks.rle import decode
from vidconcept.types import Event, TrackMask
from vidconcept.video.sparse import grab_frames

TILE_PX, LABEL_PX = 200, 22


@dataclass(frozen=True)
class Explanation:
    """words: as in the softmax, the event's first. layers: those that decide are marked in `chosen`.

    maps: `(layer, word, row, col)` each layer alone; combined: `(word, row, col)` as `track` reads them. at: scores of
    the words where the event peaks, for each layer and combined. image: the peak frame's region; mask: of the event.
    threshold: that the event had to reach; lift: what a calibration subtracts first at the peak's place.
    """

    event: Event
    words: tuple[str, ...]
    chosen: tuple[int, ...]
    maps: np.ndarray = field(repr=False)
    combined: np.ndarray = field(repr=False)
    peak_cell: tuple[int, int]
    image: np.ndarray = field(repr=False)
    mask: np.ndarray = field(repr=False)
    threshold: float
    lift: float = 0.0

    def scores(self) -> dict[str, float]:
        """Combined score of each word at the event's peak, the strongest first."""
        row, col = self.peak_cell
        pairs = zip(self.words, self.combined[:, row, col].tolist(), strict=True)
        return dict(sorted(pairs, key=lambda pair: -pair[1]))

    def by_layer(self) -> list[dict[str, float]]:
        row, col = self.peak_cell
        return [dict(zip(self.words, layer[:, row, col].tolist(), strict=True)) for layer in self.maps]

    def sentence(self) -> str:
        """Why it fired, in one sentence."""
        scores = self.scores()
        own = scores[self.words[0]]
        rival = next(name for name in scores if name != self.words[0])
        single = [layer[self.words[0]] for layer in self.by_layer()]
        best = int(np.argmax(single))
        won = "wins over" if own >= scores[rival] else "loses to"
        return (
            f"At its peak {self.words[0]!r} scores {own:.2f} and {won} {rival!r} ({scores[rival]:.2f}); layer {best} "
            f"sees it most clearly ({single[best]:.2f}). Over time and space this becomes {self.event.peak_score:.2f}, "
            + (f"less {self.lift:.2f} at this place of the picture, " if self.lift else "")
            + f"against a threshold of {self.threshold:.2f}."
        )


def explain(run_path: Path, event_id: int, monitor: Monitor, shelf: ModelShelf | None = None) -> Explanation:
    """Read the window of an event's peak frame again, with every layer.

    Raises UsageError for an event that the run does not have, or where video or weights are not those of the run,
    InputError when its video is gone, ModelError when its model is.
    """
    run = Run.open(run_path)
    event = next((e for e in run.events if e.event_id == event_id), None)
    if event is None:
        ids = ", ".join(str(e.event_id) for e in run.events[:20]) or "none"
        raise UsageError(f"--event {event_id}: the run has the events {ids}")
    own = _plan_of(run)
    check_same(
        run_path, "explained", run.manifest.get("maps_from", {}), own.facts()["maps_from"],
        "explain with the video and the weights of the run, or track again",
    )  # fmt: skip
    if len(own.tiles.origins_px) > 1:
        raise UsageError(
            f"{run_path} was read in tiles, explain reads whole pictures. Next: track again without --tile"
        )
    plan = plan_for_sweep(own)
    track = next(t for t in run.tracks() if t.frame_index == event.peak_frame and t.tracker_id == event.tracker_id)
    window, position = _window_at(plan, event.peak_frame, monitor)
    model = (shelf or ModelShelf())(plan, monitor)
    draws = [
        word_logits(model, window.frames, draw)["concept-attention"] for draw in range(plan.settings.noise_samples)
    ]
    chosen = chosen_layers(own)
    step = int(np.flatnonzero((window.positions[:, 0] <= position) & (position <= window.positions[:, 1]))[0])
    reduce, grid, order = plan.settings.reduce, token_grid(model, window.frames), _order(plan, track)
    single = [concept_scores(draws, reduce, layers=[layer]) for layer in range(plan.layout.num_layers)]
    maps = arrange_tokens(np.stack(single), grid)[:, order, step]
    whole = arrange_tokens(concept_scores(draws, reduce, layers=chosen), grid)[order, step]
    image, mask = _picture(plan, event, track, monitor)
    words = tuple((*plan.settings.concepts, *plan.words[len(plan.settings.concepts) :])[i] for i in order)
    cell = _peak_cell(whole[0], mask)
    settings = plan.settings
    threshold = settings.thresholds.get(track.concept, settings.threshold)
    lifts = settings.place_lifts.get(track.concept)
    lift = float(place_map(lifts, *whole.shape[1:])[cell]) if lifts else 0.0
    return Explanation(event, words, chosen, maps, whole, cell, image, mask, threshold, lift)


def _plan_of(run: Run) -> Plan:
    """The run's own plan, its video looked for where it was. The environment's settings do not come in."""
    stored = run.manifest["settings"]
    source = Path(run.manifest["video"]["path"])
    keys = {key: value for key, value in stored.items() if key in TrackSettings.model_fields and value is not None}
    try:
        return make_plan(source, keys, environ={})
    except InputError as error:
        raise InputError(f"the video of this run cannot be read: {error}. Next: put it back") from error


def _order(plan: Plan, track: TrackMask) -> list[int]:
    """The event's own word first, then the other asked ones, then background and distractors."""
    return [track.class_id, *(i for i in range(len(plan.words)) if i != track.class_id)]


def _window_at(plan: Plan, frame_index: int, monitor: Monitor) -> tuple[Window, int]:
    """The window in whose middle the frame lies best, and the frame's position."""
    best: tuple[float, Window, int] | None = None
    for window in windows_of(plan, monitor):
        # The last frame up to this one that the model saw.
        position = (frame_index - window.begins_at) // plan.settings.stride
        if window.start <= position < window.start + window.real_frames:
            off = abs(position - window.start - window.real_frames / 2)
            if best is None or off < best[0]:
                best = (off, window, position)
        elif best is not None:
            break
    if best is None:
        raise InputError(f"frame {frame_index} of the event is not in {plan.source} any more: the video has changed")
    return best[1], best[2]


def _picture(plan: Plan, event: Event, track: TrackMask, monitor: Monitor) -> tuple[np.ndarray, np.ndarray]:
    """The region of the peak frame and the event's mask in it."""
    index = event.peak_frame
    pictures = grab_frames(
        plan.source,
        [index],
        pts={index: track.pts},
        fps=plan.settings.fps,
        reading=plan.reading,
        on_problem=monitor.problem,
    )
    image = next(image for _, image in pictures)
    mask = decode(track.rle, (plan.info.width_px, plan.info.height_px))
    return np.ascontiguousarray(crop(image, plan.region)), crop(mask, plan.region)


def _peak_cell(own: np.ndarray, mask: np.ndarray) -> tuple[int, int]:
    """The token under the mask at which the event's word scores highest."""
    cover = cv2.resize(mask.astype(np.float32), (own.shape[1], own.shape[0]), interpolation=cv2.INTER_AREA)
    inside = np.where(cover > 0, own, -1.0)
    row, col = np.unravel_index(int(inside.argmax()), own.shape)
    return int(row), int(col)


def draw(explanation: Explanation, words: int = 6) -> np.ndarray:
    """One picture `(h, w, 3)` uint8 RGB: the frame, then a row for the combined maps and one for each layer.

    words: columns; the event's word and the strongest rivals at its peak.
    """
    e = explanation
    rivals = [name for name in e.scores() if name != e.words[0]]
    shown = [0, *(e.words.index(name) for name in rivals[: words - 1])]
    h, w = e.image.shape[:2]
    width = TILE_PX
    height = max(1, round(h * width / w))
    head = _captioned(_outlined(e.image, e.mask, width * 2, height * 2), f"frame {e.event.peak_frame}, {e.words[0]}")
    scores = _score_list(e, head.shape[0], (len(shown) - 2) * width)
    rows = [np.hstack([head, scores])]
    grids = [("as read", e.combined), *((f"layer {i}", layer) for i, layer in enumerate(e.maps))]
    for name, layer in grids:
        marked = name + (" (read)" if name.startswith("layer") and int(name.split()[1]) in e.chosen else "")
        cells = []
        for index in shown:
            tile = _heat(e.image, layer[index], width, height)
            value = layer[index][e.peak_cell]
            cells.append(_captioned(tile, f"{marked}: {e.words[index]} {value:.2f}"))
        rows.append(np.hstack(cells))
    full = max(row.shape[1] for row in rows)
    return np.vstack([_padded(row, full) for row in rows])


def _outlined(image: np.ndarray, mask: np.ndarray, width: int, height: int) -> np.ndarray:
    small = resize(image, height, width).copy()
    shape = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(shape, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(small, outlines, -1, (255, 140, 0), 2)


def _heat(image: np.ndarray, scores: np.ndarray, width: int, height: int) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(resize(image, height, width), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    fine = cv2.resize(scores.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    # By the square root, so that the thin defects, which score 0.1 to 0.3, can be seen beside the part at 0.9.
    shade = np.sqrt(np.clip(fine, 0, 1))
    colours = cv2.applyColorMap((shade * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = (0.25 + 0.6 * shade)[..., None]
    return (grey * (1 - weight) + colours * weight).astype(np.uint8)


def _captioned(tile: np.ndarray, text: str) -> np.ndarray:
    bar = np.full((LABEL_PX, tile.shape[1], 3), 255, np.uint8)
    return np.vstack([_written(bar, [text]), tile])


def _written(canvas: np.ndarray, texts: Sequence[str]) -> np.ndarray:
    """Lines of text from the top; Unicode, by OpenCV's own font."""
    font: Any = cv2.FontFace("sans")
    for number, text in enumerate(texts):
        at = (6, 16 + number * 20)
        cv2.putText(canvas, text, at, (30, 30, 30), font, 13)
    return canvas


def _score_list(e: Explanation, height: int, width: int) -> np.ndarray:
    lines = [f"event {e.event.event_id}: {e.words[0]}, {e.event.start_s:.2f} s to {e.event.end_s:.2f} s", ""]
    lines += [f"{value:.3f}  {name}" for name, value in e.scores().items()]
    canvas = np.full((height, max(width, 200), 3), 255, np.uint8)
    per_column = max(1, (height - 40) // 20)
    for start in range(2, len(lines), per_column):
        column = canvas[40:, (start // per_column) * 160 :]
        if column.shape[1] > 100:
            column[:] = _written(column.copy(), lines[start : start + per_column])
    return _written(canvas, lines[:1])


def _padded(row: np.ndarray, width: int) -> np.ndarray:
    missing = np.full((row.shape[0], width - row.shape[1], 3), 255, np.uint8)
    return np.hstack([row, missing])


def write_picture(path: Path, explanation: Explanation) -> None:
    """Write the picture as PNG."""
    _, data = cv2.imencode(".png", np.ascontiguousarray(draw(explanation)[..., ::-1]))
    with replacing_bytes(path) as file:
        file.write(data.tobytes())
