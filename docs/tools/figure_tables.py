"""Tables of measured figures, made from docs/figures/*.json."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from code_tables import shipped_weights

__all__ = [
    "calibration_table",
    "cite_commands",
    "claims_list",
    "events_by_concept",
    "events_table",
    "identity_table",
    "list_figure_files",
    "list_leaking",
    "method_table",
    "reading_table",
    "real_maps_table",
    "sink_table",
    "temporal_table",
    "token_table",
    "weights_note",
    "window_sizes_table",
]

Files = Mapping[str, Mapping[str, Any]]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def cite_commands(files: Files, *names: str) -> str:
    """A small note: the commands, the data and the weights behind the figures above it."""
    lines = ['??? quote "How this was measured"', ""]
    for name in names:
        file = files[name]
        weights = f" Weights `{file['weights']}`." if file["weights"] else ""
        made = "".join(f"\n    `{command}`\n" for command in file["data_commands"])
        lines += [f"    `{file['command']}`", "", f"    Data: {file['data']}.{weights}", made]
    return "\n".join(lines)


def weights_note(files: Files, *names: str) -> str:
    """A warning where figures were measured with other weights than the package carries; nothing where they agree."""
    shipped = shipped_weights()
    others = sorted({files[name]["weights"] for name in names} - {shipped})
    if not others:
        return ""
    earlier = " and ".join(f"`{weights}`" for weights in others)
    return (
        '!!! warning "Figures of earlier weights"\n'
        f"    Some figures on this page were measured with the weights {earlier}; the package carries `{shipped}`.\n"
        "    Notes below each table say which.\n"
    )


def list_figure_files(files: Files) -> str:
    rows = [
        [
            f"`{name}.json`",
            file["title"],
            f"`{file['command']}`",
            "; ".join([file["data"], *(f"`{command}`" for command in file["data_commands"])]),
            file["weights"] or "–",
        ]
        for name, file in files.items()
    ]
    return table(["file", "what", "command", "data", "weights"], rows)


def token_table(files: Files) -> str:
    """AP, IoU and share of the cells of each concept at token scale, on both generated sets."""
    tokens = files["tokens"]["figures"]
    sets = {"footage": tokens["generated"], "styles": tokens["held_out_styles"]}
    head = ["", *(f"{name}: {what}" for name in sets for what in ("AP", "IoU", "share"))]
    rows = []
    for concept in tokens["generated"]["concepts"]:
        cells = [own["concepts"][concept] for own in sets.values()]
        parts = [(f"{c['ap']:.2f}", f"{c['iou']:.2f}", f"{100 * c['prevalence']:.2f} %") for c in cells]
        rows.append([concept, *(text for part in parts for text in part)])
    means = [(f"**{own['mean_ap']:.2f}**", f"**{own['mean_iou']:.2f}**", "") for own in sets.values()]
    return table(head, [*rows, ["**mean**", *(text for part in means for text in part)]])


def window_sizes_table(files: Files) -> str:
    rows = [
        [size.replace("x", "×"), *(f"{row[key]:.2f}" for key in ("mean_ap", "mean_iou", "any_defect_ap"))]
        for size, row in files["tokens"]["figures"]["window_size"].items()
    ]
    return table(["window, height × width", "mean AP", "mean IoU", "AP of any defect"], rows)


def real_maps_table(files: Files) -> str:
    figures = files["tokens"]["figures"]
    tracked = figures["tracked"]
    rows = [
        [name, *(f"{value:.2f}" for value in (row["ap"], *(own[name.split()[-1]] for own in tracked.values()))),
         f"{row['prevalence']:.3f}"]
        for name, row in figures["recorded"].items()
        if isinstance(row, Mapping)
    ]  # fmt: skip
    titles = ["AP of the model's maps", *(f"AP as tracked, {title}" for title in tracked)]
    return table(["surface and defect", *titles, "share of the cells"], rows)


def events_table(files: Files, name: str) -> str:
    """What `vidconcept evaluate` says of a data set, value and 95 % interval."""
    figures = files[name]["figures"]
    e = figures["events"]
    rows = [
        ["defects found under their name", _share(e, "found", "objects", "recall")],
        ["of these with an event that fits in time and place", _share(e, "located", "objects", "recall_located")],
        ["defects found under any name", _share(e, "found_as_any", "objects", "recall_any_concept")],
        ["events on a defect of their name", f"{e['events'] - e['false_events']} of {e['events']}"],
        ["events on a defect of another name", str(e["misnamed"])],
        [
            "false alarms a minute",
            f"{e['false_alarms_per_minute']:.1f} ({_between(e['false_alarms_per_minute_95'], 1)}): "
            f"{e['false_events'] - e['misnamed']} in {60 * e['minutes']:.0f} seconds",
        ],
    ]
    if "good_footage" in figures:
        rows.append(["events in the clips with nothing wrong", str(figures["good_footage"]["events"])])
    masks = figures.get("masks", {}).get("mean")
    if masks:
        rows.append(["J, F, J&F, boundary IoU of masks", _row(masks, "j", "f", "j_and_f", "boundary_iou")])
    ids = figures.get("identities")
    if ids:
        rows.append(["HOTA (DetA, AssA), IDF1", "{hota:.3f} ({det_a:.3f}, {ass_a:.3f}), {idf1:.3f}".format(**ids)])
    scores = figures.get("scores", {}).get("mean")
    if scores:
        rows.append(["AP, AUROC of pixels", _row(scores, "average_precision", "auroc")])
        rows.append(["AU-PRO at 0.3, at 0.05", _row(scores, "au_pro_0.3", "au_pro_0.05")])
    if "segmentation" in figures:
        rows.append(["mIoU, pixel accuracy", _row(figures["segmentation"], "mean_iou", "pixel_accuracy")])
    if "paper_protocol" in figures:
        parts = _row(figures["paper_protocol"], "pixel_accuracy", "mean_iou", "mean_ap")
        rows.append(["paper's protocol: pixel accuracy, mIoU, mAP", parts])
    if "temporal" in figures:
        keys = ("vc8_as_published", "vc16_as_published", "vc8_correct", "vc16_correct")
        rows.append(["VC8, VC16 as published; correct", _row(figures["temporal"], *keys)])
        rows.append(["warping error", f"{figures['temporal']['warping_error']:.1e}"])
    return table(["", "value (95 % interval)"], rows)


def events_by_concept(files: Files, name: str) -> str:
    head = [
        "",
        "defects",
        "found",
        "fits in time and place",
        "found under any name",
        "events",
        "misnamed",
        "false alarms",
    ]
    keys = ("objects", "found", "located", "found_as_any", "events", "misnamed")
    rows = [
        [concept, *(str(row[key]) for key in keys), str(row["false_events"] - row["misnamed"])]
        for concept, row in files[name]["figures"]["events_by_concept"].items()
    ]
    return table(head, rows)


def reading_table(files: Files, name: str) -> str:
    """Mean AP of a sweep by layers and timestep, in the preset's order of reduction; other methods: `method_table`."""
    readings = [
        r
        for r in files[name]["figures"]["readings"]
        if r["reduce"] == "mean-softmax" and r["method"] in ("concept-attention", "cross-attention")
    ]
    timesteps = sorted({r["timestep"] for r in readings})
    values = {(r["method"], r["layers_name"], r["timestep"]): r["mean_ap"] for r in readings}
    rows = [
        [
            f"layers {layers}" if method == "concept-attention" else f"cross-attention, layers {layers}",
            *(f"{values[method, layers, t]:.3f}" for t in timesteps),
        ]
        for method, layers in dict.fromkeys((r["method"], r["layers_name"]) for r in readings)
    ]
    return table(["mean AP", *(f"t = {t}" for t in timesteps)], rows)


def method_table(files: Files, name: str) -> str:
    """The methods of a sweep side by side, the best first."""
    rows = sorted(files[name]["figures"]["readings"], key=lambda row: -row["mean_ap"])
    cells = [[f"`{r['method']}`", *(f"{r[key]:.3f}" for key in ("mean_ap", "mean_iou", "mean_leakage"))] for r in rows]
    return table(["method", "mean AP", "mean IoU", "leakage"], cells)


def sink_table(files: Files, name: str) -> str:
    """Mean AP and leakage of each method without and with stop words."""
    readings = files[name]["figures"]["readings"]
    rows = []
    for method in dict.fromkeys(row["method"] for row in readings):
        cells = {bool(row["sinks"]): row for row in readings if row["method"] == method}
        parts = [f"{cells[sinks][key]:.3f}" for key in ("mean_ap", "mean_leakage") for sinks in (False, True)]
        rows.append([f"`{method}`", *parts])
    return table(["method", "mean AP", "with stop words", "leakage", "with stop words"], rows)


def claims_list(files: Files, name: str) -> str:
    return "\n".join(f"* {claim}" for claim in files[name]["figures"]["claims"]) + "\n"


def list_leaking(files: Files, name: str) -> str:
    """The methods in which leakage rises with stop words, by the whole interval of the claim."""
    rises = re.compile(r"leakage changes by \S+(?: in (?P<method>\S+))? \(95 % \+(?P<low>[\d.]+) to")
    found = [claim for text in files[name]["figures"]["claims"] if (claim := rises.search(text))]
    leaking = [f"`{claim['method'] or 'concept-attention'}`" for claim in found if float(claim["low"]) > 0]
    return " and ".join(leaking) or "none of the methods"


def calibration_table(files: Files) -> str:
    head = [
        "split", "alarms held out", "promised number", "rate an hour", "promised rate",
        "defects found, calibrated", "defects found, one threshold",
    ]  # fmt: skip
    rows = []
    for row in files["calibration"]["figures"]["splits"]:
        promised = "{:.0f} to {:.0f}".format(*row["promised_alarms_95"])
        rate = "{:g} to {:g}".format(*row["rate_per_hour_95"])
        of = row["defects"]["objects"]
        found = [f"{row['defects'][key]} of {of}" for key in ("found_calibrated", "found_global")]
        cells = [row["seed"], row["alarms_on_held_out_half"], promised, f"{row['per_hour']:g}", rate, *found]
        rows.append([str(cell) for cell in cells])
    return table(head, rows)


def identity_table(files: Files) -> str:
    figures = files["identity"]["figures"]
    groups = {"generated, as shipped": {k: v for k, v in figures.items() if "all" in v}}
    groups |= {
        f"real_line, {'as shipped' if name.endswith('defect') else name}": rows
        for name, rows in figures.items()
        if "all" not in rows
    }
    rows = [
        [
            group,
            case.removeprefix("generated, "),
            f"{row['all']['hota']:.3f}",
            f"{row['all']['idf1']:.3f}",
            str(row["all"]["switches"]),
        ]
        for group, cases in groups.items()
        for case, row in cases.items()
    ]
    return table(["clips and linking", "masks", "HOTA", "IDF1", "switches"], rows)


def temporal_table(files: Files) -> str:
    linear, energy = (files["temporal"]["figures"]["corrupted"][name] for name in ("linear", "energy"))
    names = {
        "iou": "IoU, one decision for all clips",
        "iou_crack": "IoU of cracks, a decision a class",
        "iou_hole": "IoU of holes, a decision a class",
        "boundary_f": "boundary F (4 px)",
        "flicker": "label flicker",
        "warping_error": "warping error",
        "vc8_truth": "VC8 correct, over the truth",
        "vc8_union": "VC8 correct, over the union",
        "false_area": "false-positive area on defect-free frames",
    }
    rows = [[text, f"{linear[key]:.3g}", f"{energy[key]:.3g}"] for key, text in names.items()]
    return table(["corrupted tokens, mean of three seeds", "linear", "energy"], rows)


def _share(row: Mapping[str, Any], hits: str, total: str, key: str) -> str:
    return f"{row[hits]} of {row[total]}: {row[key]:.2f} ({_between(row[f'{key}_95'], 2)})"


def _between(pair: Sequence[float], places: int) -> str:
    return f"{pair[0]:.{places}f} to {pair[1]:.{places}f}"


def _row(values: Mapping[str, float], *keys: str) -> str:
    return ", ".join(f"{values[key]:.3f}" for key in keys)
