"""The mean of the weights of several embedded models that were trained on from one another.

    python -m vidconcept.linecam.average OUT FOLDER FOLDER ... [--shares 0.5,0.25,0.25]

Such a mean often does a little better than each of them, on footage of another kind too (Wortsman et al. 2022, model
soups).
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from vidconcept.linecam.model import load_parts, save_parts


def average(out: Path, folders: Sequence[Path], shares: Sequence[float]) -> None:
    """Write the weighted mean of the pipeline folders' weights to `out`, everything else as in the first.

    Raises ValueError when the shares are not one a folder that sum to 1, when `out` exists, or when the folders are not
    of one architecture.
    """
    if len(shares) != len(folders) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"give one share a folder, 1 in all, got {list(shares)} for {len(folders)} folders")
    if out.exists():
        raise ValueError(f"{out} exists: give a new folder")
    models = [load_parts(folder) for folder in folders]
    models[0].codec.load_state_dict(_mean([m.codec.state_dict() for m in models], shares))
    told = [json.loads((folder / "training_state.json").read_text("utf-8")) for folder in folders]
    parts = [state | {"share": share} for state, share in zip(told, shares, strict=True)]
    trained = _mean([m.trained().state_dict() for m in models], shares)
    save_parts(models[0], out, trained, {"weights": "mean", "of": parts})


def _mean(states: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    shapes = [{key: value.shape for key, value in state.items()} for state in states]
    if any(other != shapes[0] for other in shapes):
        raise ValueError("the folders are of different architectures: a mean of their weights means nothing")
    return {
        key: sum((s[key] * share for s, share in zip(states, shares, strict=True)), first.new_zeros(()))
        if first.is_floating_point()
        else first
        for key, first in states[0].items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the mean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--shares", help="of each folder, 1 in all; default equal", metavar="A,B")
    options = parser.parse_args(arguments)
    count = len(options.folders)
    shares = [float(s) for s in options.shares.split(",")] if options.shares else [1 / count] * count
    try:
        average(options.out, options.folders, shares)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
