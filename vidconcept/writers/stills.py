"""What is written of a photo: its heat map, its findings drawn, a mask for each concept, and a JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from vidconcept.errors import InputError
from vidconcept.files import read_json, read_text
from vidconcept.tracks.rle import decode, make_coco_object
from vidconcept.types import Region, TrackMask
from vidconcept.writers.cells import escape_text, write_rows
from vidconcept.writers.frames.overlay import Annotator
from vidconcept.written import open_own, open_own_bytes

RESULT, SUMMARY = "image.json", "images.csv"
HEAT_MAP, FINDINGS = "heatmap.png", "findings.png"
COLUMNS = ("photo", "concept", "findings", "score_max", "score_mean", "area_px", "folder", "error")


class StillFacts(Protocol):
    """What is known of a photo; see `pipelines.stills.Still`."""

    @property
    def plan(self) -> Any: ...

    @property
    def image(self) -> np.ndarray: ...

    @property
    def scores(self) -> np.ndarray: ...

    @property
    def findings(self) -> tuple[TrackMask, ...]: ...


class ResultFacts(Protocol):
    """One row of the summary; see `pipelines.stills.StillResult`."""

    @property
    def photo(self) -> Path: ...

    @property
    def folder(self) -> Path: ...

    @property
    def content(self) -> Mapping[str, Any]: ...

    @property
    def error(self) -> str: ...


def mask_name(class_id: int, concept: str) -> str:
    """Path of a concept's mask in the photo's folder; the number keeps names apart that differ in odd letters only."""
    plain = re.sub(r"[^\w-]+", "_", concept)[:60].strip("_")
    return f"masks/{class_id:02d}_{plain or 'concept'}.png"


def result_names(concepts: Sequence[str]) -> list[str]:
    """All files of a photo."""
    return [HEAT_MAP, FINDINGS, *(mask_name(i, name) for i, name in enumerate(concepts)), RESULT]


def write_still(folder: Path, still: StillFacts, digest: str) -> dict[str, Any]:
    """Write the files of a photo, the JSON last; returns its content. digest: of all that the result depends on."""
    plan, size = still.plan, (still.image.shape[1], still.image.shape[0])
    concepts: Sequence[str] = plan.settings.concepts
    region: Region = plan.region
    for name, view in ((HEAT_MAP, "heatmap"), (FINDINGS, "overlay")):
        annotator = Annotator(concepts, size, view, region, timed=False)
        drawing = annotator.place(still.findings, 0.0, 0)
        _write_png(folder / name, annotator.draw(still.image, drawing, still.scores)[..., ::-1])
    rows = {}
    for class_id, concept in enumerate(concepts):
        own = [track for track in still.findings if track.class_id == class_id]
        mask = np.zeros(still.image.shape[:2], bool)
        for track in own:
            mask |= decode(track.rle, size).astype(bool)
        _write_png(folder / mask_name(class_id, concept), mask.astype(np.uint8) * 255)
        scores = still.scores[class_id]
        rows[concept] = {
            "findings": len(own),
            "score_max": round(float(scores.max()), 6),
            "score_mean": round(float(scores.mean()), 6),
            "area_px": int(mask.sum()),
            "mask": mask_name(class_id, concept),
        }
    content = {
        "photo": str(plan.source.resolve()),
        "width_px": size[0],
        "height_px": size[1],
        "concepts": rows,
        "findings": [_finding(number, track, size) for number, track in enumerate(still.findings, start=1)],
        "heat_map": HEAT_MAP,
        "drawn": FINDINGS,
        "model": {"name": plan.folder.preset.name, "weights": plan.layout.fingerprint, "words": list(plan.words)},
        "settings": plan.settings.model_dump(mode="json"),
        "remarks": [f"{remark.about}: {remark.message}" for remark in plan.remarks],
        "made_from": digest,
    }
    with open_own(folder / RESULT) as file:
        file.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return content


def _finding(number: int, track: TrackMask, size: tuple[int, int]) -> dict[str, Any]:
    x_min, y_min, x_max, y_max = track.box_px
    return {
        "id": number,
        "concept": track.concept,
        "score_max": round(track.score_max, 6),
        "score_mean": round(track.score_mean, 6),
        "area_px": track.area_px,
        "x_min": x_min,
        "y_min": y_min,
        "x_max": x_max,
        "y_max": y_max,
        "edges": track.edges,
        "segmentation": make_coco_object(track.rle, size),
    }


def _write_png(path: Path, image: np.ndarray) -> None:
    done, data = cv2.imencode(".png", np.ascontiguousarray(image))
    if not done:
        raise InputError(
            f"{path.name} of {image.shape[1]}x{image.shape[0]} pixels cannot be written as PNG. Next: a smaller photo"
        )
    with open_own_bytes(path) as file:
        file.write(data.tobytes())


def read_digest(folder: Path, digest: str) -> dict[str, Any] | None:
    """The content of a photo's JSON, None where it is not there, damaged, or made from something else."""
    try:
        content = read_json(folder / RESULT)
    except InputError:
        return None
    whole = isinstance(content, dict) and content.get("made_from") == digest
    return content if whole and all((folder / name).is_file() for name in _named(content)) else None


def _named(content: Mapping[str, Any]) -> list[str]:
    return [content["heat_map"], content["drawn"], *(row["mask"] for row in content["concepts"].values())]


def is_result(marker: Path) -> bool:
    """Whether a `RESULT` or `SUMMARY` is one that this module wrote."""
    try:
        text = read_text(marker)
        return text.startswith(",".join(COLUMNS)) if marker.name == SUMMARY else "made_from" in read_json(marker)
    except (InputError, TypeError):
        return False


def write_summary(out: Path, results: Sequence[ResultFacts]) -> None:
    """A row for each photo and concept, and one for each photo that could not be read."""
    rows: list[tuple[object, ...]] = []
    for result in results:
        photo, folder = escape_text(result.photo.name), escape_text(result.folder.name)
        if result.error:
            rows.append((photo, "", "", "", "", "", "", escape_text(result.error)))
        for concept, row in result.content.get("concepts", {}).items():
            figures = (row["findings"], f"{row['score_max']:.6f}", f"{row['score_mean']:.6f}", row["area_px"])
            rows.append((photo, escape_text(concept), *figures, folder, ""))
    with open_own(out / SUMMARY) as file:
        write_rows(file, [COLUMNS, *rows])
