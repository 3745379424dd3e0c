"""Write the tables of settings into docs/reference.md: `python docs/make_reference.py`. A test asks that they agree."""

from pathlib import Path

from vidconcept.models.presets import presets
from vidconcept.settings import ENV_PREFIX, TrackSettings

PAGE = Path(__file__).parent / "reference.md"
BEGIN, END = "<!-- settings: made by make_reference.py -->\n", "<!-- end of settings -->\n"
FLAGS = {"start_s": "--start", "end_s": "--end", "min_area_px": "--min-area", "min_duration_s": "--min-duration"}
# What a default means that does not say it itself.
DEFAULTS = {"layers": "the deep half", "tile": "1x1"}
FILE_ONLY = {"thresholds", "place_lifts"}


def shown(value: object) -> str:
    if value is None or value in ((), {}, ""):
        return "–"
    numbers = [v for v in value if isinstance(v, int)] if isinstance(value, list) else []
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else f"{value}"


def tables() -> str:
    rows = ["| key | option | default | what |", "| --- | --- | --- | --- |"]
    for key, field in TrackSettings.model_fields.items():
        option = "–" if key in FILE_ONLY else f"`{FLAGS.get(key, '--' + key.replace('_', '-'))}`"
        rows.append(f"| `{key}` | {option} | {DEFAULTS.get(key) or shown(field.default)} | {field.description} |")
    known = presets()
    keys = [key for key in TrackSettings.model_fields if any(key in preset.settings for preset in known.values())]
    rows += ["", f"| set by the preset, – is the default | {' | '.join(f'`{name}`' for name in known)} |"]
    rows.append("| --- |" + " --- |" * len(known))
    for key in keys:
        rows.append(f"| `{key}` | {' | '.join(shown(preset.settings.get(key)) for preset in known.values())} |")
    example = f"{ENV_PREFIX}THRESHOLD=0.6"
    return "\n".join([*rows, "", f"Each key is also an environment variable, e.g. `{example}`.", ""])


def page(text: str) -> str:
    """The page with its tables made anew."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + "\n" + tables() + "\n" + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8")
