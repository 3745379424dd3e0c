"""Take what a measuring command printed over into docs/figures/NAME.json.

    python docs/tools/take_figures.py NAME RESULT.json [--command …] [--data …] [--weights …]

RESULT is what the command wrote or printed as JSON: `evaluation.json` or `sweep.json` of `vidconcept evaluate`, what
`python -m linecam.evaluate` prints, or the lines of `benchmarks/trust_calibration.py`. Its figures replace those of the
file; title, command and data stay unless they are given.
"""

import argparse
import json
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parents[1] / "figures"
FINGERPRINT_DIGITS = 16
# What pages show of a reading in a sweep.
READING = ("method", "layers_name", "timestep", "reduce", "sinks", "mean_ap", "mean_iou", "mean_leakage")


def rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def extract_figures(text: str) -> tuple[dict[str, Any], str | None]:
    """The figures of a result, and the fingerprint of the weights where it says one. Lists of clips are summed up."""
    lines = [json.loads(line) for line in text.splitlines()] if text.lstrip().startswith('{"seed"') else []
    if lines:
        return {"splits": [line for line in lines if "seed" in line]}, None
    result = json.loads(text)
    weights = result.get("model", {}).get("weights", "")[:FINGERPRINT_DIGITS] or None
    if "readings" in result:
        readings = [{key: rounded(row[key]) for key in READING} for row in result["readings"]]
        readings.sort(key=lambda row: (row["method"], row["layers_name"], row["timestep"], row["sinks"]))
        return {"claims": result["claims"], "readings": readings}, weights
    if "figures" not in result:
        return result, weights
    figures = result["figures"]
    events = [clip["events"]["events"] for clip in result.get("clips", {}).values()]
    return figures | {"clips": len(events), "clips_without_events": events.count(0)}, weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="of the file in docs/figures, without .json")
    parser.add_argument("result", type=Path, help="JSON of the measuring command")
    parser.add_argument("--title")
    parser.add_argument("--command")
    parser.add_argument("--data")
    parser.add_argument("--weights", help="fingerprint of the weights, where the result does not say it")
    options = parser.parse_args()
    path = FIGURES / f"{options.name}.json"
    known = json.loads(path.read_text("utf-8")) if path.exists() else {"data_commands": []}
    figures, weights = extract_figures(options.result.read_text("utf-8"))
    known |= {key: value for key in ("title", "command", "data") if (value := getattr(options, key)) is not None}
    known |= {"weights": options.weights or weights or known.get("weights"), "figures": figures}
    missing = [key for key in ("title", "command", "data") if key not in known]
    if missing:
        parser.error(f"{path.name} is new: give --{' --'.join(missing)}")
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{path}: weights {known['weights']}, {', '.join(figures)}")


if __name__ == "__main__":
    main()
