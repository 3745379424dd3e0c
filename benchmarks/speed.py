"""How long `vidconcept track` takes beside a plain decode and re-encode of the same film, and how soon it begins.

    python benchmarks/speed.py [VIDEO] [--repeats 3] [--concepts scratch,dent] [--variant NAME:KEY=VALUE,...]
    python benchmarks/speed.py --size 1920x1080

Runs take turns (transcode, each variant of track, transcode, ...), each in a process of its own, so that what else the
machine does falls on all alike. Printed are medians with the least and the most: seconds by the clock, seconds of
processor time, and the ratios of the medians to the transcode's. The transcode is PyAV's: it decodes, and encodes the
decoded pictures with the settings that `annotated.mp4` is written with; its start-up does not count, that of track
does.
VIDEO: default the shipped example, 10 s of 720p at 25 frames a second. --size: a copy of it of this size is measured.

The hooks are compared with a plain pass of the transformer in the same way.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[1] / "examples" / "line_cam.mp4"
COMMAND = [sys.executable, "-m", "vidconcept"]
# What is measured where nothing is asked for.
VARIANTS = ("default:", "fast:preset=fast", "accurate:preset=accurate")


def transcode(source: Path, target: Path) -> dict[str, float]:
    """Seconds by the clock and of processor time that a plain decode and re-encode takes."""
    import av

    from vidconcept.video.encoder import KEYFRAME_EVERY, get_encoder

    name, options = get_encoder("h264")
    begun, used = time.perf_counter(), time.process_time()
    with av.open(str(source)) as read, av.open(str(target), "w", format="mp4") as written:
        seen = read.streams.video[0]
        seen.codec_context.thread_count = 1
        made: Any = written.add_stream(name, rate=seen.average_rate, options=options)
        made.width, made.height, made.pix_fmt = seen.width, seen.height, "yuv420p"
        made.codec_context.gop_size, made.codec_context.thread_count = KEYFRAME_EVERY, 0
        for frame in read.decode(seen):
            frame.pict_type = 0
            written.mux(made.encode(frame))
        written.mux(made.encode(None))
    return {"clock_s": time.perf_counter() - begun, "processor_s": time.process_time() - used}


def resize_film(source: Path, target: Path, size: str) -> Path:
    """Write a copy of another size, "WIDTHxHEIGHT" in pixels, at the same rate; returns its path."""
    import av

    width, height = map(int, size.split("x"))
    with av.open(str(source)) as read, av.open(str(target), "w") as written:
        seen = read.streams.video[0]
        made: Any = written.add_stream("libx264", rate=seen.average_rate, options={"crf": "22", "preset": "veryfast"})
        made.width, made.height, made.pix_fmt = width, height, "yuv420p"
        for frame in read.decode(seen):
            written.mux(made.encode(frame.reformat(width, height, "yuv420p")))
        written.mux(made.encode(None))
    return target


def measure_process(command: Sequence[str | Path]) -> dict[str, float]:
    """Seconds by the clock and of processor time, and the largest resident set in MB, of one process."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            raise SystemExit(f"{' '.join(map(str, command))} failed: {said.read().decode()[-500:]}")
    used = usage.ru_utime + usage.ru_stime
    return {"clock_s": time.perf_counter() - begun, "processor_s": used, "peak_mb": usage.ru_maxrss / 1024}


def take_turns(runs: dict[str, Callable[[], dict[str, float]]], repeats: int) -> dict[str, dict[str, Any]]:
    """Medians, and the least and the most, of what each run measures; one after the other, `repeats` times."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            found[name].append(run())
    return {name: summarise(own) for name, own in found.items()}


def summarise(measured: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Median and range of each number."""
    keys = measured[0]
    medians: dict[str, Any] = {key: round(statistics.median(own[key] for own in measured), 3) for key in keys}
    ranges = {f"{key}_range": [round(f(own[key] for own in measured), 3) for f in (min, max)] for key in keys}
    return medians | ranges


def compare_films(video: Path, concepts: str, variants: dict[str, list[str]], repeats: int) -> dict[str, Any]:
    """The transcode and each variant of track, in turns; of each variant its ratios to the transcode."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        track = [*COMMAND, "track", video, "--concepts", concepts, "--existing", "overwrite"]
        here = [sys.executable, __file__, "--transcode", video, out / "transcoded.mp4"]
        runs = {"transcode": lambda: json.loads(subprocess.check_output([*map(str, here)]))}
        for name, options in variants.items():
            command = [*track, "--out", out / name, *options]
            runs[name] = lambda command=command: measure_process(command)
        found = take_turns(runs, repeats)
        for name in variants:
            manifest = json.loads((out / name / "run.json").read_text("utf-8"))
            found[name] |= {"events": manifest["events"], "stages_s": manifest["timings_s"]}
            for key in ("clock_s", "processor_s"):
                found[name][f"{key[:-2]}_ratio"] = round(found[name][key] / found["transcode"][key], 2)
        first = next(iter(variants))
        anew = [*COMMAND, "track", video, "--concepts", concepts, "--out", out / first, *variants[first]]
        begin = {
            "help": lambda: measure_process([*COMMAND, "--help"]),
            "dry_run": lambda: measure_process([*COMMAND, "track", video, "--concepts", concepts, "--dry-run"]),
            "decide_anew": lambda: measure_process([*anew, "--existing", "resume", "--threshold", "0.71"]),
        }
        return {"film": found, "begin": take_turns(begin, repeats)}


def compare_hooks(repeats: int, words: Sequence[int] = (4, 64)) -> dict[str, float]:
    """Time of a forward pass with hooks over that of a plain one, at several numbers of concepts, and of early stop."""
    import torch

    from vidconcept.attention.hooks import concept_attention
    from vidconcept.models.adapter import choose_adapter
    from vidconcept.models.folder import find_folder, find_preset
    from vidconcept.settings import TrackSettings

    torch.set_num_threads(1)
    preset = find_preset("linecam")
    settings = TrackSettings(**{**preset.settings, "dtype": "float32"})
    path = find_folder(preset).path
    model: Any = choose_adapter(path).load(path, settings, ("scratch", "part"), print)
    rows, columns = settings.height // 4, settings.width // 4
    latents = torch.randn(1, 3, 16, rows, columns)
    arguments = {
        "hidden_states": latents,
        "encoder_hidden_states": model.texts.prompt,
        "timestep": torch.tensor([settings.timestep]),
        "image_rotary_emb": model._rotary(latents),
    }

    def seconds(embeds: Any = None, **options: Any) -> dict[str, float]:
        begun = time.perf_counter()
        if embeds is None:
            model.transformer(**arguments)
        else:
            with concept_attention(model.transformer, embeds, **options):
                model.transformer(**arguments)
        return {"s": time.perf_counter() - begun}

    embed = torch.cat(model.texts.words)[:1]
    runs: dict[str, Callable[[], dict[str, float]]] = {"plain": seconds}
    runs |= {f"hooks_{n}": lambda n=n: seconds(embed.expand(n, -1)) for n in words}
    last = len(model.transformer.transformer_blocks) - 1
    runs["early_stop"] = lambda: seconds(embed.expand(4, -1), layers=[last - 1], early_stop=True)
    with torch.inference_mode():
        take_turns(runs, 1)
        found = take_turns(runs, 3 * repeats)
    return {name: round(own["s"] / found["plain"]["s"], 3) for name, own in found.items() if name != "plain"}


def name_processor() -> str:
    """What the machine calls its processor, and how many of them a process may use."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text("utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
        flags = next((line for line in lines if line.startswith("flags")), "").split()
        best = next((flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags), "")
        name = f"{name} ({best})" if best else name
    return f"{len(os.sched_getaffinity(0))} cores of {name or platform.machine()}"


def parse_variant(text: str) -> tuple[str, list[str]]:
    """ "fast:preset=fast,stride=4" -> its name, and the options of the command."""
    name, _, settings = text.partition(":")
    pairs = [part.partition("=") for part in settings.split(",") if part]
    return name, [piece for key, _, value in pairs for piece in (f"--{key.replace('_', '-')}", value)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--size", metavar="WIDTHxHEIGHT")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--concepts", default="scratch,dent")
    parser.add_argument("--variant", action="append", default=[], metavar="NAME:KEY=VALUE,...")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--transcode", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.transcode:
        print(json.dumps(transcode(*options.transcode)))
        return
    variants = dict(parse_variant(text) for text in (options.variant or VARIANTS))
    result = {"processor": name_processor(), "repeats": options.repeats}
    with tempfile.TemporaryDirectory() as folder:
        film = options.video
        if options.size:
            film = resize_film(film, Path(folder) / film.name, options.size)
        result |= compare_films(film, options.concepts, variants, options.repeats)
    print(json.dumps(result), file=sys.stderr, flush=True)
    result["hooks"] = compare_hooks(options.repeats)
    text = json.dumps(result, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
