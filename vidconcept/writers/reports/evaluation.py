"""The report of an evaluation: Markdown with plots, and a JSON file beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vidconcept.evaluation.metrics.figures import Figures
from vidconcept.evaluation.metrics.scores import Curves
from vidconcept.wording import format_count
from vidconcept.writers.reports.folder import write_part
from vidconcept.writers.reports.svg import draw_bars, draw_lines

_EVENT_ROWS = {
    "recall": "defects found",
    "recall_any_concept": "defects found, under any name",
    "recall_located": "defects with an event of their name that fits in time and place",
    "precision": "events that are on a defect of their name",
    "false_alarms_per_minute": "false alarms per minute",
}


def format_number(value: Any) -> str:
    """Three digits; "–" for what has no value."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if isinstance(value, int) else f"{value:.3g}" if abs(value) < 1e-3 else f"{value:.3f}"


def replace_nan(value: Any) -> Any:
    """The same for JSON, which knows no NaN: null."""
    if isinstance(value, Mapping):
        return {key: replace_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_part(path, json.dumps(replace_nan(content), indent=1, ensure_ascii=False) + "\n")


def list_event_rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a line cares about, as rows of name and value with its 95 % interval."""
    rows = []
    for part, label in (("events", ""), ("good_footage", " on good footage")):
        values = figures.get(part, {})
        for key, name in _EVENT_ROWS.items():
            if key not in values or (part == "good_footage" and key != "false_alarms_per_minute"):
                continue
            low, high = values[f"{key}_95"]
            rows.append(
                (name + label, f"{format_number(values[key])}  ({format_number(low)} to {format_number(high)})")
            )
        if values.get("frames"):
            text = f"{values['frames_with_truth']} of {values['frames']}, {60 * values['minutes']:.1f} s of footage"
            rows.append((f"frames with truth{label}", text))
    return rows


def list_figure_rows(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Everything else, one row a measure: means over concepts where there are several."""
    rows: list[tuple[str, str]] = []
    for part in ("segmentation", "paper_protocol", "identities", "temporal"):
        rows += [(f"{part}: {key}", format_number(value)) for key, value in figures.get(part, {}).items()]
    for part in ("scores", "masks"):
        rows += [(f"{part}, mean: {key}", format_number(v)) for key, v in figures.get(part, {}).get("mean", {}).items()]
    return rows


def write_report(out: Path, content: Mapping[str, Any], total: Figures, command: str) -> Path:
    """Write `report.md`, `evaluation.json` and the plots into `out`; returns the report's path."""
    figures = content["figures"]
    write_json(out / "evaluation.json", {"command": command, **content})
    plots = _write_plots(out, figures, total)
    data, model = content["dataset"], content["model"]
    text = [
        f"# {data['name']} with {model['name']}",
        "",
        f"Data: {format_count(data['clips'], 'clip')} ({data['format']}), "
        f"concepts {', '.join(data['concepts']) or 'none'}. "
        f"Asked: {', '.join(content['concepts'])}. In the softmax: {', '.join(content['words'])}.",
        "",
        f"Command: `{command}`",
        "",
        f"Model: {model['name']} ({model['source']}), weights {model['weights'][:12]}. "
        f"Versions: {', '.join(f'{name} {v}' for name, v in content['versions'].items())}.",
        "",
        "## Events",
        "",
        *_table(("", "value (95 % interval)"), list_event_rows(figures)),
        "",
        *_format_rarity(content.get("by_rarity", {})),
        "## Measures",
        "",
        *_table(("measure", "value"), list_figure_rows(figures)),
        "",
    ]
    by_concept = figures.get("events_by_concept", {})
    if by_concept:
        counts = [
            (
                name,
                *(
                    str(c[k])
                    for k in ("objects", "found", "found_as_any", "located", "events", "false_events", "misnamed")
                ),
            )
            for name, c in by_concept.items()
        ]
        head = (
            "concept",
            "defects",
            "found",
            "found under any name",
            "fits in time and place",
            "events",
            "on no such defect",
            "of these misnamed",
        )
        text += ["## Events by concept", "", *_table(head, counts), ""]
    for part, title in (("scores", "Scores by concept"), ("masks", "Masks by concept")):
        values = figures.get(part, {})
        if values:
            columns = list(next(iter(values.values())))
            rows = [(name, *(format_number(row[c]) for c in columns)) for name, row in values.items()]
            text += [f"## {title}", "", *_table(("concept", *columns), rows), ""]
    if total.boxed:
        text += [
            f"Truth of {', '.join(sorted(total.boxed))} is boxes, not outlines: for these J, F, boundary IoU, AU-PRO "
            "and the pixel measures say how far the masks fill their boxes. Events are unaffected.",
            "",
        ]
    text += [f"![{name}]({name})" for name in plots]
    write_part(out / "report.md", "\n".join(text) + "\n")
    return out / "report.md"


def list_rarity_rows(by_rarity: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """What rarity does to the same maps: a row for each of its values."""
    rows = []
    for mode, figures in by_rarity.items():
        events = figures["events"]
        low, high = events.get("false_alarms_per_minute_95", (math.nan, math.nan))
        alarms = (
            f"{format_number(events.get('false_alarms_per_minute'))} ({format_number(low)} to {format_number(high)})"
        )
        ap = figures.get("scores", {}).get("mean", {}).get("average_precision")
        rows.append(
            (mode, f"{events['found']} of {events['objects']}", f"{events['located']}", alarms, format_number(ap))
        )
    return rows


def _format_rarity(by_rarity: Mapping[str, Any]) -> list[str]:
    if len(by_rarity) < 2:
        return []
    head = ("rarity", "defects found", "that fit in time and place", "false alarms per minute", "mean AP of pixels")
    return ["## With and without rarity", "", *_table(head, list_rarity_rows(by_rarity)), ""]


def _table(head: tuple[str, ...], rows: list[Any]) -> list[str]:
    lines_ = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    return [*lines_, *(f"| {' | '.join(row)} |" for row in rows)]


def _write_plots(out: Path, figures: Mapping[str, Any], total: Figures) -> list[str]:
    shown = [name for name in figures.get("scores", {}) if name != "mean"]
    plots = {}
    if shown:
        curves = {name: plot_precision_recall(total.curves[name]) for name in shown}
        plots["precision_recall.svg"] = draw_lines("Precision and recall of pixels", curves, "recall", "precision")
    masks = {name: row["j_and_f"] for name, row in figures.get("masks", {}).items()}
    if masks:
        plots["j_and_f.svg"] = draw_bars("J&F by concept", masks)
    for name, content in plots.items():
        write_part(out / name, content)
    return list(plots)


def plot_precision_recall(curves: Curves, points: int = 60) -> list[tuple[float, float]]:
    """Points (recall, precision), at most `points`, evenly spread over recall."""
    hits = np.cumsum(curves.positive[::-1])
    alarms = np.cumsum(curves.negative[::-1])
    at = np.unique(np.searchsorted(hits, np.linspace(hits[-1] / points, hits[-1], points)))
    at = at[at < len(hits)]
    return [(float(hits[i] / hits[-1]), float(hits[i] / (hits[i] + alarms[i]))) for i in at]
