"""Tables that are made from the code: settings, presets, columns, exit codes, and every command with its options."""

import re
import subprocess
import sys
from dataclasses import replace
from functools import cache

import typer.main

from vidconcept.cli import app
from vidconcept.errors import ExitCode
from vidconcept.models.adapter import read_layout
from vidconcept.models.fit import RESERVED_BYTES, Needs, Way
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.presets import presets
from vidconcept.models.published import NEEDS
from vidconcept.settings import TrackSettings
from vidconcept.writers import columns

__all__ = [
    "cards_table",
    "columns_table",
    "command_line",
    "exit_codes_table",
    "needs_table",
    "presets_table",
    "settings_table",
    "shipped_weights",
]

# What a default means that does not say it itself.
DEFAULTS = {"layers": "the deep half", "tile": "1x1"}
# Memory of the cards that people have, GB.
CARDS_GB = (24, 16, 12, 8)


def settings_table() -> str:
    options = {parameter.name: parameter.opts[0] for parameter in typer.main.get_command(app).commands["track"].params}
    rows = ["| key | option | default | meaning |", "| --- | --- | --- | --- |"]
    for key, field in TrackSettings.model_fields.items():
        option = f"`{options[key]}`" if key in options else "–"
        rows.append(
            f"| `{key}` | {option} | {DEFAULTS.get(key) or format_value(field.default)} | {field.description} |"
        )
    return "\n".join(rows) + "\n"


def presets_table() -> str:
    """What each preset sets; – where it leaves the default."""
    known = presets()
    keys = [key for key in TrackSettings.model_fields if any(key in preset.settings for preset in known.values())]
    rows = [f"| key | {' | '.join(f'`{name}`' for name in known)} |", "| --- |" + " --- |" * len(known)]
    for key in keys:
        rows.append(f"| `{key}` | {' | '.join(format_value(preset.settings.get(key)) for preset in known.values())} |")
    return "\n".join(rows) + "\n"


def columns_table(name: str) -> str:
    """The columns of `frames`, `tracks` or `events` in their order."""
    rows = [f"| `{column}` | {meaning} |" for column, meaning in columns.TABLES[name].items()]
    return "\n".join(["| column | meaning |", "| --- | --- |", *rows]) + "\n"


def cards_table() -> str:
    """What to set for each published CogVideoX on each card, and the estimate with it, GB."""
    known = {name: needs for (name, dtype), needs in NEEDS.items() if dtype != "float32"}
    rows = [f"| card | {' | '.join(f'`{name}`' for name in known)} |", "| --- |" + " --- |" * len(known)]
    for card in CARDS_GB:
        cells = []
        for needs in known.values():
            way = needs.find_way(card * 1e9)
            cells.append("–" if way is None else f"{name_way(way)}: {total_gb(needs, way)}")
        rows.append(f"| {card} GB | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def needs_table() -> str:
    """Estimates of each way to run each published CogVideoX, GB."""
    known = {name: needs for (name, dtype), needs in NEEDS.items() if dtype != "float32"}
    heads = ["", *(f"`{name}`" for name in known), *(f"{name}, tiles" for name in known)]
    rows = [f"| {' | '.join(heads)} |", "| --- |" + " --- |" * (len(heads) - 1)]
    ways = [Way(offload, quantize) for quantize in ("none", "int8", "nf4") for offload in ("none", "model", "group")]
    for way in ways:
        if way.quantize != "none" and way.offload == "group":
            continue
        cells = [total_gb(needs, replace(way, tiled=tiled)) for tiled in (False, True) for needs in known.values()]
        rows.append(f"| {name_way(way)} | {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def name_way(way: Way) -> str:
    """The options of a way to run a model."""
    options = [
        f"--{key} {value}" for key, value in (("offload", way.offload), ("quantize", way.quantize)) if value != "none"
    ]
    options += ["--vae-tiling on"] if way.tiled else []
    return f"`{' '.join(options)}`" if options else "as it is"


def total_gb(needs: Needs, way: Way) -> str:
    return f"{(needs.peak(way) + RESERVED_BYTES) / 1e9:.1f}"


@cache
def shipped_weights() -> str:
    """Fingerprint of the embedded model's weights, as `run.json` and `evaluation.json` name them, 16 digits."""
    return read_layout(find_folder(find_preset("linecam")).path).fingerprint[:16]


def exit_codes_table() -> str:
    rows = [f"| {int(code)} | {code.meaning} |" for code in ExitCode]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows]) + "\n"


def command_line() -> str:
    """Every command with its arguments and options, as Typer's own documentation writer gives them."""
    command = [sys.executable, "-m", "typer", "vidconcept.cli", "utils", "docs", "--name", "vidconcept"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    _, _, commands = text.partition("\n## ")
    return re.sub(r"\n*\[bold\]Two commands.*?(?=\n#|$)", "\n", f"## {commands}", flags=re.DOTALL)


def format_value(value: object) -> str:
    if value is None or value in ((), {}, ""):
        return "–"
    numbers = [v for v in value if isinstance(v, int)] if isinstance(value, list) else []
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else f"{value}"
