"""What a sweep says: figures of each reading, differences with intervals, heat maps, and the paper's three claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from vidconcept.evaluation.readings import (
    FEWEST_CLIPS,
    Reading,
    Sweep,
    Tally,
    compare_levels,
    list_showing,
    mean_ap,
    mean_iou,
    mean_leakage,
)
from vidconcept.wording import format_count
from vidconcept.writers.reports.evaluation import format_number, write_json
from vidconcept.writers.reports.folder import write_part
from vidconcept.writers.reports.svg import draw_heat_map


def list_rows(sweep: Sweep) -> list[dict[str, Any]]:
    """Every reading with its figures, the best first."""
    rows = [
        {
            **asdict(reading),
            "mean_ap": mean_ap(clips.values()),
            "mean_iou": mean_iou(clips.values()),
            "mean_leakage": mean_leakage(clips.values()),
        }
        for reading, clips in sweep.tallies.items()
    ]
    return sorted(rows, key=lambda row: -row["mean_ap"])


def judge_claims(sweep: Sweep) -> list[str]:
    """The papers' claims against this sweep, each as a sentence; those that its axes can answer."""
    base, found = sweep.base, sweep.tallies
    lines = []
    space, cross = (replace(base, method=method) for method in ("concept-attention", "cross-attention"))
    if space in found and cross in found:
        lines.append(_judge("Output space beats cross-attention", [space], [cross], sweep))
    singles = sorted(
        (r for r in found if r.layers_name.isdigit() and _differs_only_in_layer(r, base)), key=lambda r: r.layers
    )
    everything = replace(
        base, layers_name="all", layers=max((r.layers for r in found if r.layers_name == "all"), default=())
    )
    if len(singles) > 1:
        half = len(singles) // 2
        lines.append(_judge("Deeper layers are better", singles[half:], singles[:half], sweep))
        best = max(singles, key=lambda r: mean_ap(found[r].values()))
        if everything in found:
            name = f"All layers combined beat the best one ({best.layers[0]})"
            lines.append(_judge(name, [everything], [best], sweep))
    times = sorted(r.timestep for r in found if replace(r, timestep=base.timestep) == base)
    middle = min(times, key=lambda t: abs(t - 500), default=base.timestep)
    if len(times) > 1 and middle != times[0]:
        quiet = replace(base, timestep=times[0])
        name = f"A middle timestep ({middle}) beats almost none ({times[0]})"
        lines.append(_judge(name, [replace(base, timestep=middle)], [quiet], sweep))
    return lines + _judge_sinks(sweep)


def _judge_sinks(sweep: Sweep) -> list[str]:
    """Each method with stop words against without."""
    base, lines = sweep.base, []
    for reading in sweep.tallies:
        without = replace(reading, sinks=())
        same = replace(without, method=base.method) == replace(base, sinks=())
        if not reading.sinks or not same or without not in sweep.tallies:
            continue
        words = f"stop words ({', '.join(reading.sinks)})"
        of = "" if reading.method == base.method else f" in {reading.method}"
        lines.append(_judge(f"With {words} maps are better{of}", [reading], [without], sweep))
        if len(sweep.concepts) > 1 and np.isfinite(mean_leakage(sweep.tallies[without].values())):
            gap, low, high = compare_levels(sweep, [reading], [without], mean_leakage)
            sure = f"95 % {low:+.4f} to {high:+.4f}" if np.isfinite(low) else _describe_lack(sweep.tallies[reading])
            lines.append(f"With {words} leakage changes by {gap:+.4f}{of} ({sure}).")
    return lines


def _differs_only_in_layer(reading: Reading, base: Reading) -> bool:
    """Whether a single layer is read as the base is; its order of reduction makes no difference."""
    return replace(reading, layers_name="", layers=(), reduce=base.reduce) == replace(base, layers_name="", layers=())


def _judge(claim: str, ones: Sequence[Reading], others: Sequence[Reading], sweep: Sweep) -> str:
    gap, low, high = compare_levels(sweep, ones, others)
    if np.isinf(low):
        return f"{claim}: is open, {_describe_lack(sweep.tallies[ones[0]])} (mean AP {gap:+.3f})."
    word = "holds" if low > 0 else "does not hold" if high < 0 else "is open on this sample"
    return f"{claim}: {word} (mean AP {gap:+.3f}, 95 % {low:+.3f} to {high:+.3f})."


def _describe_lack(tallies: Mapping[str, Tally]) -> str:
    return f"too few clips with defects: {len(list_showing(tallies))}, at least {FEWEST_CLIPS}"


def write_sweep(out: Path, sweep: Sweep, command: str) -> dict[str, Any]:
    """Write `sweep.md`, `sweep.json` and a heat map for each method into `out`; returns the JSON's content."""
    rows = list_rows(sweep)
    content = {
        **sweep.facts,
        "command": command,
        "base": asdict(sweep.base),
        "claims": judge_claims(sweep),
        "readings": rows,
    }
    write_json(out / "sweep.json", content)
    plots = _write_heat_maps(out, sweep)
    base = next((row for row in rows if all(row[k] == v for k, v in asdict(sweep.base).items())), None)
    head = (
        "method",
        "layers_name",
        "timestep",
        "reduce",
        "draws",
        "left_out",
        "sinks",
        "averaged",
        "mean_ap",
        "mean_iou",
        "mean_leakage",
    )
    shown = rows[:15] + ([base] if base and base not in rows[:15] else [])
    data, model = sweep.facts["dataset"], sweep.facts["model"]
    text = [
        f"# Sweep over {data['name']} with {model['name']}",
        "",
        f"{format_count(data['clips'], 'clip')}, concepts {', '.join(data['concepts'])}; "
        f"asked {', '.join(sweep.concepts)}. Weights {model['weights'][:12]}. Command: `{command}`",
        "",
        *(f"* {line}" for line in content["claims"]),
        "",
        f"The best {len(rows[:15])} of {len(rows)} readings, and the preset's; AP and mIoU of tokens, means over "
        "concepts; leakage, the share of a concept's map that lies where another one truly is.",
        "",
        f"| {' | '.join(head)} |",
        f"|{' --- |' * len(head)}",
        *(f"| {' | '.join(_cell(row[k]) for k in head)} |" for row in shown),
        "",
        *(f"![{name}]({name})" for name in plots),
    ]
    write_part(out / "sweep.md", "\n".join(text) + "\n")
    return content


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return format_number(value)
    return (", ".join(map(str, value)) or "–") if isinstance(value, tuple) else str(value)


def _write_heat_maps(out: Path, sweep: Sweep) -> list[str]:
    """Layers against timesteps, one picture a method, at the base reading's other values."""
    names = []
    by_method: dict[str, list[Reading]] = {}
    for r in sweep.tallies:
        fixed = ("draws", "left_out", "sinks", "averaged")
        same = all(getattr(r, key) == getattr(sweep.base, key) for key in fixed)
        if same and (r.reduce == sweep.base.reduce or len(r.layers) == 1):
            by_method.setdefault(r.method, []).append(r)
    for method, found in by_method.items():
        layers = list(dict.fromkeys(r.layers_name for r in found))
        times = sorted({r.timestep for r in found})
        values = _table(found, layers, times, sweep.tallies)
        if values.size < 2:
            continue
        labels = [f"layer {name}" if name.isdigit() else name for name in layers]
        name = f"sweep_{method}.svg"
        write_part(out / name, draw_heat_map(f"Mean AP of {method}", labels, [f"t = {t}" for t in times], values))
        names.append(name)
    return names


def _table(
    found: Sequence[Reading],
    layers: Sequence[str],
    times: Sequence[int],
    tallies: Mapping[Reading, Mapping[str, Tally]],
) -> np.ndarray:
    values = np.full((len(layers), len(times)), np.nan)
    for r in found:
        values[layers.index(r.layers_name), times.index(r.timestep)] = mean_ap(tallies[r].values())
    return values
