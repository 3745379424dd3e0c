"""Generated footage for the trust measurements: good footage of one line or of many, and footage with defects.

    python benchmarks/trust_footage.py good DIR --minutes 60 --fps 1
    python benchmarks/trust_footage.py lines DIR --minutes 10 --fps 10 --height 256 --width 384
    python benchmarks/trust_footage.py defects DIR --clips 12 --frames 33

`--photos DIR` and `--shaped SHARE` give `lines` and `defects` surfaces of photographs and parts with uneven outlines.

`good` writes videos of five minutes of one line; `lines` a `clips.json` folder of ten seconds each of as many random
lines, nothing wrong in any; `defects` one with an identity for each defect. All seeds lie in the range that training
never uses.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from linecam.footage.camera import Motion
from linecam.footage.clips import HELD_OUT_SEED, clip
from linecam.footage.files import write_annotations, write_video
from linecam.footage.photos import Photographs
from vidconcept.painting.kinds import DEFECTS

GOOD_SEED, DEFECT_SEED, LINES_SEED = (HELD_OUT_SEED + k * 100_000 for k in (5, 6, 7))
# One line: the same surface, the same speed.
STYLE, SPEED_PX, PART_S = "brushed", 6.0, 300
LINE_S = 10


def write_good(folder: Path, minutes: float, fps: int, size: tuple[int, int], seed: int) -> None:
    """Videos of the line with nothing wrong, five minutes each."""
    for k in range(round(minutes * 60 / PART_S)):
        path = folder / f"good_{k:02d}.mp4"
        if not path.exists():
            made = clip(GOOD_SEED + seed + k, size, PART_S * fps, style=STYLE, motion=Motion(SPEED_PX), defects=0.0,
                        colour=False, layout="row")  # fmt: skip
            write_video(path, made.frames, fps=fps)


def write_lines(
    folder: Path, minutes: float, fps: int, size: tuple[int, int], seed: int, photos: Photographs | None, shaped: float
) -> None:
    """Ten seconds each of random lines with nothing wrong: any surface, layout, light, camera and motion."""
    rows = []
    for k in range(round(minutes * 60 / LINE_S)):
        name = f"line_{k:03d}"
        made = clip(LINES_SEED + seed + k, size, LINE_S * fps, defects=0.0, photos=photos, shaped=shaped)
        write_video(folder / "videos" / f"{name}.mp4", made.frames, fps=fps)
        write_annotations(folder / "annotations" / name, made.instances)
        rows.append({"clip": name, "concept": None, "truth": "mask"})
    (folder / "clips.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def write_defects(
    folder: Path,
    clips: int,
    frames: int,
    fps: int,
    size: tuple[int, int],
    style: str | None,
    seed: int,
    photos: Photographs | None,
    shaped: float,
) -> None:
    """Clips with defects of all kinds, as `clips.json` with truth "instances"."""
    rows = []
    for k in range(clips):
        kinds = [DEFECTS[(2 * k) % len(DEFECTS)], DEFECTS[(2 * k + 1) % len(DEFECTS)]]
        name = f"{kinds[0]}_{kinds[1]}_{k}"
        speed = SPEED_PX if style else float(np.random.default_rng(DEFECT_SEED + seed + k).integers(3, 13))
        made = clip(DEFECT_SEED + seed + k, size, frames, style=style, motion=Motion(speed), defects=1.5, colour=False,
                    layout="row", kinds=kinds, photos=photos, shaped=shaped)  # fmt: skip
        write_video(folder / "videos" / f"{name}.mp4", made.frames, fps=fps)
        numbers = {identity: n for n, identity in enumerate(sorted(made.concepts), start=1)}
        lookup = np.zeros(int(made.instances.max()) + 1, np.uint16)
        for identity, n in numbers.items():
            lookup[identity] = n
        write_annotations(folder / "annotations" / name, lookup[made.instances])
        objects = {str(n): made.concepts[identity] for identity, n in numbers.items()}
        rows.append({"clip": name, "concept": None, "truth": "instances", "objects": objects})
    (folder / "clips.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("good", "lines", "defects"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        command.add_argument("--fps", type=int, default={"good": 1, "lines": 10}.get(name, 25))
        command.add_argument("--seed", type=int, default=0, help="other clips of the same kind")
        command.add_argument("--height", type=int, default=128)
        command.add_argument("--width", type=int, default=192)
        if name != "good":
            command.add_argument("--photos", type=Path, help="folder of photographs for half of the lines")
            command.add_argument("--shaped", type=float, default=0.0, help="share of lines with uneven outlines")
        if name != "defects":
            command.add_argument("--minutes", type=float, default=60 if name == "good" else 10)
        else:
            command.add_argument("--clips", type=int, default=12)
            command.add_argument("--frames", type=int, default=33)
            command.add_argument("--style", help="the surface of all clips; default: a random one each")
    options = parser.parse_args()
    size = (options.height, options.width)
    photos = None if options.command == "good" or options.photos is None else Photographs(options.photos)
    if options.command == "good":
        write_good(options.folder, options.minutes, options.fps, size, options.seed)
    elif options.command == "lines":
        write_lines(options.folder, options.minutes, options.fps, size, options.seed, photos, options.shaped)
    else:
        write_defects(
            options.folder, options.clips, options.frames, options.fps, size, options.style, options.seed, photos,
            options.shaped,
        )  # fmt: skip


if __name__ == "__main__":
    main()
