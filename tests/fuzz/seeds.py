"""The corpus of the fuzz job: small inputs of every kind that is read, each with what reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from tests.helpers.clips import NTSC, VFR_MS, paint, write_clip
from tests.helpers.model_folders import write_folder
from tests.helpers.small_runs import small_clip, small_run
from vidconcept.evaluation.datasets.read import read_dataset
from vidconcept.models.adapter import choose_adapter, read_layout
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.pipelines.track import Run
from vidconcept.runs import RunFolder
from vidconcept.setting_layers import Layer, read_config_file, resolve
from vidconcept.tracks.rle import encode
from vidconcept.video.probe import examine
from vidconcept.video.reader import read_frames
from vidconcept.writers.exchange.export import export
from vidconcept.writers.review.index import review
from vidconcept.writers.review.verdicts import apply_verdicts

SIZE_PX = (64, 48)


@dataclass(frozen=True)
class Seed:
    """name: of its folder. damage: patterns of the files that are damaged. read: what reads the folder."""

    name: str
    write: Callable[[Path, Path], object]
    damage: tuple[str, ...]
    read: Callable[[Path], object]


def read_video(folder: Path) -> None:
    source = next(folder.iterdir())
    fps = 25.0 if source.suffix == ".tif" else None
    examine(source, fps, decode=True)
    for _ in islice(read_frames(source, fps=fps, on_problem=lambda problem: None), 30):
        pass


def read_images(folder: Path) -> None:
    for frame in read_frames(folder, fps=25, on_problem=lambda problem: None):
        assert frame.image.shape[2] == 3


def read_truth(folder: Path) -> None:
    for clip in read_dataset(folder).clips[:4]:
        clip.truth(0)


def read_run(folder: Path) -> None:
    run = Run.open(folder)
    maps = RunFolder(folder, run.manifest)
    maps.load_maps(0)
    maps.load_memory()
    for _ in chain(run.events, run.tracks(), run.frames()):
        pass
    review(folder)
    for to in ("coco", "davis", "mots", "cvat"):
        export(folder, to, folder.parent / "out" / to, masks="rle")
    export(folder, "csv", folder.parent / "out" / "polygons.csv", masks="polygon")


def read_verdicts(folder: Path) -> None:
    apply_verdicts(folder, folder / "verdicts.csv")


def read_model(folder: Path) -> None:
    preset = find_preset(str(folder))
    settings, _ = resolve([Layer("here", {"device": "cpu"}), preset.layer])
    found = find_folder(preset)
    read_layout(found.path)
    choose_adapter(found.path).load(found.path, settings, ["dent", "surface"], lambda message: None)


def read_config(folder: Path) -> None:
    resolve([read_config_file(folder / "line.toml")])


def _clip(name: str, **options) -> Callable[[Path, Path], object]:
    return lambda folder, _: write_clip(folder / name, count=6, size_px=SIZE_PX, **options)


def _pictures(folder: Path, _: Path) -> None:
    for number, suffix in enumerate(("png", "png", "jpg", "bmp", "tif", "webp")):
        cv2.imwrite(str(folder / f"{number}.{suffix}"), paint(number, SIZE_PX)[:, :, ::-1])


def _pages(name: str) -> Callable[[Path, Path], object]:
    def write(folder: Path, _: Path) -> None:
        pages = [Image.fromarray(paint(number, SIZE_PX)) for number in range(4)]
        pages[0].save(folder / name, save_all=True, append_images=pages[1:])

    return write


def _truth(table: dict) -> Callable[[Path, Path], object]:
    def write(folder: Path, _: Path) -> None:
        (folder / "clip").mkdir()
        cv2.imwrite(str(folder / "clip" / "0.png"), np.zeros((12, 16), np.uint8))
        (folder / "truth.json").write_text(json.dumps(table))

    return write


_SEGMENTS = (
    [[2, 2, 8, 2, 8, 6, 2, 6]],
    {"size": [12, 16], "counts": [30, 5, 157]},
    {"size": [12, 16], "counts": encode(np.ones((2, 3), bool), 4, 5, (16, 12)).decode()},
)
_ROWS = [{"id": n, "category_id": 7, "segmentation": s} for n, s in enumerate(_SEGMENTS)]
_HEAD = {"categories": [{"id": 7, "name": "dent"}]}
COCO = {
    **_HEAD,
    "images": [{"id": 1, "file_name": "clip/0.png", "height": 12, "width": 16}],
    "annotations": [row | {"image_id": 1} for row in _ROWS],
}
VIS = {
    **_HEAD,
    "videos": [{"id": 1, "file_names": ["clip/0.png"], "height": 12, "width": 16}],
    "annotations": [
        {"id": row["id"], "category_id": 7, "video_id": 1, "segmentations": [row["segmentation"]]} for row in _ROWS
    ],
}


def _clips(folder: Path, _: Path) -> None:
    rows = [{"clip": "a", "truth": "mask", "concept": "dent"}]
    rows += [{"clip": "b", "truth": "instances", "objects": {"1": "dent"}}]
    (folder / "clips.json").write_text(json.dumps(rows))
    for name in "ab":
        (folder / "annotations" / name).mkdir(parents=True)
        labels = Image.fromarray(np.eye(16, dtype=np.uint8))
        labels.save(folder / "annotations" / name / "00000.png")


def _vspw(folder: Path, _: Path) -> None:
    (folder / "label_num_dic_final.json").write_text(json.dumps({"wall": 1, "floor": 2}))
    for part in ("origin", "mask"):
        (folder / "data" / "a" / part).mkdir(parents=True)
        cv2.imwrite(str(folder / "data" / "a" / part / "0.png"), np.eye(16, dtype=np.uint8))


def _run(folder: Path, model: Path) -> None:
    small_run(small_clip(folder.parent / "run.mp4"), model, folder)
    run_id = json.loads((folder / "run.json").read_text())["run_id"]
    event = Run.open(folder).events[0]
    rows = ["run_id,event_id,concept,start_frame,verdict"]
    rows += [f"{run_id},{event.event_id},{event.concept},{event.start_frame},accept"]
    (folder / "verdicts.csv").write_text("\n".join(rows) + "\n")


def _copied_run(folder: Path, model: Path) -> None:
    shutil.copytree(folder.parent / "run", folder, dirs_exist_ok=True)


def _config(folder: Path, _: Path) -> None:
    text = 'threshold = 0.4\nlayers = [2, 3]\ntile = [2, 1]\nconcepts = ["scratch", "dent"]\n'
    text += "[thresholds]\nscratch = 0.3\n[place_lifts]\nscratch = [[0.1, 0.2], [0.0, 0.1]]\n"
    (folder / "line.toml").write_text(text)


def _model(folder: Path, model: Path) -> None:
    shutil.copytree(model, folder, dirs_exist_ok=True)


SEEDS = (
    Seed("h264", _clip("a.mp4"), ("a.mp4",), read_video),
    Seed("open-gop", _clip("a.ts", options={"bf": "2"}), ("a.ts",), read_video),
    Seed("variable-rate", _clip("a.mkv", stamps_ms=VFR_MS), ("a.mkv",), read_video),
    Seed("ntsc-sound", _clip("a.mov", rate=NTSC, audio="aac"), ("a.mov",), read_video),
    Seed("mjpeg", _clip("a.avi", codec="mjpeg", pix_fmt="yuvj420p"), ("a.avi",), read_video),
    Seed("pages", _pages("a.tif"), ("a.tif",), read_video),
    Seed("animation", _pages("a.gif"), ("a.gif",), read_video),
    Seed("pictures", _pictures, ("*",), read_images),
    Seed("coco", _truth(COCO), ("truth.json",), read_truth),
    Seed("youtube-vis", _truth(VIS), ("truth.json",), read_truth),
    Seed("clips", _clips, ("clips.json", "annotations/*/*"), read_truth),
    Seed("vspw", _vspw, ("*.json", "data/*/*/*"), read_truth),
    Seed("run", _run, ("run.json", "*.csv", "maps/*"), read_run),
    Seed("tables", _copied_run, ("tracks.csv", "frames.csv", "events.csv"), read_run),
    Seed("verdicts", _copied_run, ("verdicts.csv", "events.csv"), read_verdicts),
    Seed("config", _config, ("line.toml",), read_config),
    Seed("model-configs", _model, ("*.json", "*/*.json"), read_model),
    Seed("model-files", _model, ("*/*.safetensors", "tokenizer/*"), read_model),
)


def write_corpus(corpus: Path) -> None:
    """Every seed in a folder of its own; those that are there already stay."""
    corpus.mkdir(parents=True, exist_ok=True)
    model = corpus / "model"
    if not model.exists():
        write_folder(model, "2b", shards=False)
    for seed in SEEDS:
        if not (corpus / seed.name).exists():
            (corpus / seed.name).mkdir()
            seed.write(corpus / seed.name, model)
