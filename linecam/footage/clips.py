"""Generated line footage with the truth: `clip` in memory, shards for training, folders for measuring, the example.

python -m linecam.footage write DIR --clips 20 --seed 7
python -m linecam.footage example examples/line_cam.mp4 --photos PHOTOGRAPHS
python -m linecam.footage shards DIR --keep 60 --seed 1 --photos PHOTOGRAPHS
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from linecam.footage.camera import Motion, compute_poses, film, flow_affine, make_light, make_sensor
from linecam.footage.files import find_boxes, write_annotations, write_video
from linecam.footage.photos import Photographs
from linecam.footage.scene import build_strip
from vidconcept.painting.kinds import DEFECTS
from vidconcept.painting.textures import SURFACES, Rng

# Held-out footage for figures uses the `SEED_RANGE` seeds from here on; `training_seed` keeps training out of them.
HELD_OUT_SEED = 10_000_000
SEED_RANGE = 1_000_000
EXAMPLE_SEED, EXAMPLE_GROUND = 254, "asphalt_04"


@dataclass(frozen=True, slots=True)
class Clip:
    """Generated footage and its truth.

    frames `(t, h, w, 3)` uint8 RGB; classes `(t, h, w)` uint8 numbers of `vocabulary.CONCEPTS`,
    or `IGNORE` where light hides a defect; instances `(t, h, w)`
    uint16 identities, 0 where there is no defect; concepts: identity -> concept; flow `(t, 2, 3)`: row t maps a pixel
    (x, y) of frame t-1 to its place in frame t, row 0 is the identity; caption: one sentence.
    """

    frames: np.ndarray = field(repr=False)
    classes: np.ndarray = field(repr=False)
    instances: np.ndarray = field(repr=False)
    concepts: dict[int, str]
    flow: np.ndarray = field(repr=False)
    caption: str


def random_motion(rng: Rng, scale: float) -> Motion:
    """Motion of a random line: mostly straight and steady, sometimes shaking, turning, zooming, stopping."""
    return Motion(
        speed_px=float(rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.5), np.log(24))) * scale),
        stop_share=rng.uniform(0.2, 0.6) if rng.random() < 0.1 else 0.0,
        vibration_px=rng.uniform(0.2, 1.5) * scale if rng.random() < 0.3 else 0.0,
        rotation_deg=rng.normal(0, 0.6) if rng.random() < 0.15 else 0.0,
        zoom_frac=rng.normal(0, 0.006) if rng.random() < 0.15 else 0.0,
        tilt_deg=rng.normal(0, 3) if rng.random() < 0.7 else rng.uniform(-45, 45),
    )


def caption(colour: bool, style: str, concepts: Sequence[str]) -> str:
    """One sentence about a clip, in the words of the vocabulary."""
    camera = "colour" if colour else "monochrome"
    seen = sorted(set(concepts))
    what = "no defect" if not seen else " and ".join(f"a {name}" for name in seen)
    return f"a {camera} line camera film of {style} parts with {what}"


def clip(
    seed: int,
    size: tuple[int, int] = (256, 448),
    frames: int = 9,
    *,
    style: str | None = None,
    motion: Motion | None = None,
    defects: float | None = None,
    colour: bool | None = None,
    layout: str | None = None,
    kinds: Sequence[str] | None = None,
    photos: Photographs | None = None,
    shaped: float = 0.0,
    near: float = 0.0,
) -> Clip:
    """Film a random line. size: height, width in pixels; features scale with the shorter side, 1 at 256 px.

    style: a surface of `textures.SURFACES` or a held-out style; None picks a surface. motion: None picks one at random.
    defects: average number for each 256×256 px at scale 1; None draws it, often zero. colour: None draws it.
    layout: "row", "objects" or "coil"; None draws it. kinds: which defects; None draws a few.
    photos: photographs that a share of the lines is made of. shaped: share of the lines whose parts have teeth, notches
    or rough edges. near: share of the lines whose defects are fewer and larger, as seen from close by.
    The same arguments give the same clip.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    turned = height > width or (motion is None and rng.random() < 0.25)
    if turned:
        height, width = width, height
    scale = min(size) / 256 * (np.exp(rng.uniform(np.log(0.75), np.log(1.35))) if motion is None else 1.0)
    motion = motion or random_motion(rng, scale)
    colour = bool(rng.random() < 0.35) if colour is None else colour
    if defects is None:
        defects = float(rng.choice([0.0, 1.5, 4.0, 9.0], p=[0.3, 0.25, 0.25, 0.2]))
    style = style or str(rng.choice(list(SURFACES)))
    margin = int(0.08 * height + 4 * motion.vibration_px)
    maps = compute_poses(rng, motion, (height, width), frames, (margin, margin))
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]).T
    reach = (maps @ corners).min((0, 2)), (maps @ corners).max((0, 2))
    # Turned views look past the strip's border, where it is mirrored: allow a tenth of the frame of that.
    low = np.floor(np.maximum(reach[0], [-np.inf, -0.1 * height])).astype(int)
    maps[:, :, 2] -= low
    strip_size = [int(v) for v in np.ceil(np.minimum(reach[1], [np.inf, 1.2 * height]) - low) + 1]
    strip = build_strip(
        rng, strip_size[1], strip_size[0], scale, defects, colour, style, layout, kinds, photos, shaped, near
    )
    light = make_light(rng, height, width, scale)
    sensor = make_sensor(rng, strip, scale, motion.speed_px)
    images, classes, instances = film(rng, strip, (height, width), maps, light, sensor)
    flow = flow_affine(maps)
    if turned:
        images, classes, instances = (np.ascontiguousarray(a.swapaxes(1, 2)) for a in (images, classes, instances))
        flow = flow[:, ::-1][:, :, [1, 0, 2]]
    visible = {int(i): strip.concepts[int(i)] for i in np.unique(instances) if i}
    return Clip(images, classes, instances, visible, flow, caption(colour, style, list(visible.values())))


def training_seed(seed: int, number: int) -> int:
    """Seed of clip `number` of a run with `seed`. Raises ValueError for one that is held out."""
    own = seed * SEED_RANGE + number
    if HELD_OUT_SEED <= own < HELD_OUT_SEED + SEED_RANGE:
        raise ValueError(f"seed {seed} reaches into the held-out footage: take one that is not {own // SEED_RANGE}")
    return own


def write_shards(
    folder: Path,
    keep: int,
    seed: int,
    frames: int = 9,
    photos: Photographs | None = None,
    shaped: float = 0.0,
    near: float = 0.0,
) -> None:
    """Render shards without end into `folder`, the newest `keep` of them.

    `N_frames.npy` is `(scenes, frames, 256, 448, 3)` uint8, `N_classes.npy` `(scenes, frames, 256, 448)` uint8, `N.txt`
    the captions. frames: 9 for the transformer; 1 for the codec, which looks at single frames. The rest as for `clip`.
    """
    scenes = 144 // frames
    folder.mkdir(parents=True, exist_ok=True)
    existing = sorted(folder.glob("*_frames.npy"))
    number = 1 + max((int(p.name.split("_")[0]) for p in existing), default=-1)
    while True:
        seeds = [training_seed(seed, number * scenes + k) for k in range(scenes)]
        clips = [clip(own, frames=frames, photos=photos, shaped=shaped, near=near) for own in seeds]
        np.save(folder / f"{number:06d}_classes.npy", np.stack([c.classes for c in clips]))
        (folder / f"{number:06d}.txt").write_text("\n".join(c.caption for c in clips), encoding="utf-8")
        np.save(folder / "partial.npy", np.stack([c.frames for c in clips]))
        (folder / "partial.npy").rename(folder / f"{number:06d}_frames.npy")
        number += 1
        for old in sorted(folder.glob("*_frames.npy"))[:-keep]:
            stem = old.name.split("_")[0]
            for path in (old, folder / f"{stem}_classes.npy", folder / f"{stem}.txt"):
                path.unlink(missing_ok=True)
        # Rendering outruns training once the ring is full: leave the processor to it.
        if len(list(folder.glob("*_frames.npy"))) >= keep:
            time.sleep(8)


def write_folder(
    folder: Path, clips: int, frames: int, seed: int, kinds: Sequence[str] = DEFECTS, *, shown: bool = False
) -> None:
    """Write clips as `videos/NAME.mp4` with `annotations/NAME/FRAME.png` (its identity) and `clips.json`.

    Each clip is of a line with one of `kinds` of defect, or without (every fifth); motion is steady and straight.
    shown: lines are drawn until such a defect comes into sight; else it passes by chance.
    """
    rows = []
    for k in range(clips):
        concept = None if k % 5 == 4 else kinds[k % len(kinds)]
        name = f"{concept or 'good'}_{k}"
        rng = np.random.default_rng(seed + k)
        speed = int(rng.integers(3, 13))
        own = seed + k
        while True:
            made = clip(
                own, (256, 384), frames, motion=Motion(speed), defects=0.0 if concept is None else 0.8,
                layout="row", kinds=None if concept is None else [concept],
            )  # fmt: skip
            if made.concepts or concept is None or not shown:
                break
            own += clips
        write_video(folder / "videos" / f"{name}.mp4", made.frames)
        write_annotations(folder / "annotations" / name, made.instances)
        rows.append(
            {
                "clip": name,
                "frames": frames,
                "speed_px_per_frame": speed,
                "fps": 25,
                "width": 384,
                "height": 256,
                "concept": concept,
                "truth": "instances",
                "objects": {str(number): name for number, name in made.concepts.items()},
            }
        )
    (folder / "clips.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def write_example(path: Path, seed: int, photos: Photographs) -> None:
    """Write the shipped example, 10 s of 1280×720 at 25 fps, and its truth beside it as JSON."""
    made = clip(
        seed, (720, 1280), 250, style="brushed", motion=Motion(17.0), defects=0.85, colour=True, layout="row",
        kinds=("scratch", "dent"), photos=photos,
    )  # fmt: skip
    write_video(path, made.frames, crf=25)
    truth = {
        "fps": 25, "frames": len(made.frames), "width": 1280, "height": 720,
        "defects": [
            {"id": i, "concept": made.concepts[i], "boxes": find_boxes(made.instances == i)}
            for i in sorted(made.concepts)
        ],
    }  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(truth) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the generator."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    shards = commands.add_parser("shards", help="render training shards without end")
    shards.add_argument("folder", type=Path)
    shards.add_argument("--keep", type=int, default=60)
    shards.add_argument("--seed", type=int, default=1)
    shards.add_argument("--frames", type=int, default=9, help="of each scene; 1 for the codec")
    shards.add_argument("--photos", type=Path, help="folder of photographs for half of the scenes")
    shards.add_argument("--shaped", type=float, default=0.0, help="share of scenes whose parts have uneven outlines")
    shards.add_argument("--near", type=float, default=0.0, help="share of scenes whose defects are fewer and larger")
    write = commands.add_parser("write", help="write clips as videos with annotations and clips.json")
    write.add_argument("folder", type=Path)
    write.add_argument("--clips", type=int, default=20)
    write.add_argument("--frames", type=int, default=100)
    write.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    write.add_argument("--kinds", nargs="+", choices=DEFECTS, default=DEFECTS, help="defects to show, in turn")
    example = commands.add_parser("example", help="write the shipped example and its truth")
    example.add_argument("path", type=Path)
    example.add_argument("--seed", type=int, default=EXAMPLE_SEED)
    example.add_argument("--photos", type=Path, required=True, help="folder of photographs; the parts are made of one")
    example.add_argument("--ground", default=EXAMPLE_GROUND, help="name of that photograph, without its ending")
    options = parser.parse_args(arguments)
    if options.command == "shards":
        photos = Photographs(options.photos) if options.photos else None
        write_shards(options.folder, options.keep, options.seed, options.frames, photos, options.shaped, options.near)
    elif options.command == "write":
        write_folder(options.folder, options.clips, options.frames, options.seed, options.kinds)
    else:
        write_example(options.path, options.seed, Photographs(options.photos, share=1.0, ground=options.ground))


if __name__ == "__main__":
    main()
