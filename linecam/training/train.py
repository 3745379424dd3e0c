"""Train the embedded model: denoising and, on the same forward pass, the alignment of its concept maps.

    python -m linecam.train codec --shards SHARDS --out OUT
    python -m linecam.train model --shards SHARDS --out OUT [--processes 2] [--device cuda]

`OUT/train.pt` holds everything to go on; without it training goes on from the pipeline folder `--resume-from`.
"""

import argparse
import json
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn

from linecam.training.alignment import alignment_loss, attach, read_logits, rotary, word_logits
from linecam.training.augment import jitter
from linecam.training.data import ShardStream
from linecam.training.model import Parts, encode_clip, load_parts, make_parts, save_parts
from linecam.training.parallel import average_gradients, common_clock, join, world_size
from linecam.training.teacher import Teacher, distillation_loss
from linecam.training.train_codec import fit_feature_scale, make_codec, make_net_optimizers, train_features
from vidconcept.painting.kinds import BACKGROUND, CONCEPTS, DEFECTS, IGNORE

DEFAULT_CONFIG = Path(__file__).with_name("train.toml")


def choose_query(rng: np.random.Generator, short_share: float) -> list[int]:
    """Class numbers to query: mostly all, sometimes a few defects among a few backgrounds."""
    if rng.random() >= short_share:
        return list(range(len(CONCEPTS)))
    defects = rng.choice(len(DEFECTS), int(rng.integers(1, 5)), replace=False) + len(CONCEPTS) - len(DEFECTS)
    grounds = rng.choice(np.arange(1, len(BACKGROUND)), int(rng.integers(1, 4)), replace=False)
    return sorted([0, *grounds.tolist(), *defects.tolist()])


def random_positions(rng: np.random.Generator, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """Token positions of a crop that lies anywhere in a window in use, with a slightly varied spacing."""
    out = []
    for count, full in ((rows, 36), (columns, 60)):
        spacing = float(np.exp(rng.normal(0, 0.08)))
        start = rng.uniform(-2, max(0.0, full - count * spacing) + 1e-3) if count < full - 4 else rng.uniform(-1, 1)
        out.append(torch.arange(count, dtype=torch.float32) * spacing + start)
    return out[0], out[1]


class Trainer:
    """One process of the training run."""

    def __init__(self, parts: Parts, settings: dict[str, Any], rank: int, device: torch.device) -> None:
        self.parts, self.s, self.device, self.rank = parts, settings, device, rank
        parts.joint = bool(settings.get("codec_rate"))
        self.model = parts.collect_trained().to(device).train()
        parts.codec.to(device).eval().requires_grad_(False)
        matrices, sharpness, rest = [], [], []
        for name, p in self.model.named_parameters():
            if not p.requires_grad:
                continue
            if "norm_q" in name or "norm_k" in name:
                sharpness.append(p)
            else:
                (matrices if p.ndim == 2 and "transformer_blocks" in name and "norm" not in name else rest).append(p)
        groups = [{"params": rest}, {"params": sharpness, "lr": settings["sharpness_rate"], "weight_decay": 0.0}]
        self.optimizers: list[Any] = [
            torch.optim.Muon(matrices, settings["matrix_rate"], weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(groups, settings["rate"], weight_decay=0.01, betas=(0.9, 0.98)),
        ]
        if parts.joint:
            net = parts.codec.feature_net.to(memory_format=torch.channels_last)
            for part in net.children():
                part.requires_grad_(part is not net.trunk)
            self.optimizers += make_net_optimizers(net, settings["codec_rate"], settings["codec_rate"])[1]
        self.rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]
        self.average = {k: v.detach().clone().float() for k, v in self.model.state_dict().items()}
        self.alphas = parts.scheduler.alphas_cumprod.float().to(device)
        self.step = self.clips = 0
        self.seconds = 0.0
        self.defect_weight = settings["defect_weight"]
        self.teacher = Teacher(Path(settings["teacher"]), device) if settings.get("teacher") else None

    def loss(self, video: Tensor, truth: Tensor, captions: list[str], rng: np.random.Generator) -> tuple[Tensor, dict]:
        """The losses of a batch, weighted, and their figures."""
        s, parts, b = self.s, self.parts, len(video)
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        amp = torch.autocast(self.device.type, torch.bfloat16)
        video = jitter(video, generator).to(self.device)
        latents = rearrange(encode_clip(parts.codec, video, trained=parts.joint), "b c t h w -> b t c h w")
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        low = torch.rand(b, generator=generator) < s["low_share"]
        t = torch.where(
            low,
            torch.randint(0, s["low_timestep"], (b,), generator=generator),
            torch.randint(0, 1000, (b,), generator=generator),
        )
        t = t.to(self.device)
        signal, sigma = (x[t].view(b, 1, 1, 1, 1) for x in (self.alphas.sqrt(), (1 - self.alphas).sqrt()))
        noised, target = signal * latents + sigma * noise, signal * noise - sigma * latents.detach()
        query = choose_query(rng, s["short_queries"])
        prompts = ["" if rng.random() < s["empty_prompts"] else words for words in captions]
        embeds, counts = parts.embed([*prompts, *(CONCEPTS[k] for k in query)])
        sub_words = counts[b:]
        words = torch.cat([embeds[b + i, :n] for i, n in enumerate(sub_words)])
        text = torch.cat([embeds[:b], words.expand(b, -1, -1)], 1)
        rows, columns = truth.shape[2:]
        rope = tuple(x.to(self.device) for x in rotary(64, *random_positions(rng, rows, columns), truth.shape[1]))
        processors = attach(parts.transformer, len(words), torch.bfloat16)
        with amp:
            out = parts.transformer(noised, text, t, image_rotary_emb=rope, return_dict=False)[0]
        diffusion = F.mse_loss(out.float(), target)
        logits = word_logits([read_logits(processors[k]) for k in s["aligned_layers"]], sub_words)
        index = torch.full((256,), IGNORE, dtype=torch.long)
        index[query] = torch.arange(len(query))
        wanted = index[truth.flatten(1).long()].to(self.device)
        defects = torch.tensor([CONCEPTS[k] in DEFECTS for k in query], device=self.device)
        aligned = (t < s["aligned_below"]).float() * torch.where(t < s["low_timestep"], 1.0, 0.3)
        alignment = alignment_loss(logits, wanted, defects, self.defect_weight, aligned)
        total = s["diffusion_weight"] * diffusion + s["alignment_weight"] * alignment
        figures = {"diffusion": diffusion.item(), "alignment": alignment.item()}
        if self.teacher:
            taught = self.teacher.read(video, query, rope, generator)
            distillation = distillation_loss(logits, taught, wanted, defects, s["taught_defect_weight"], aligned)
            total = total + s["distillation_weight"] * distillation
            figures["distillation"] = distillation.item()
        if len(query) == len(CONCEPTS):
            sure = (t < s["low_timestep"])[:, None] & (wanted != IGNORE)
            guess = logits.argmax(1)
            hit, either = (guess == wanted) & sure, sure & (defects[guess] | defects[wanted.clamp_max(len(query) - 1)])
            figures |= {"defect_hits": (hit & either).sum().item(), "defect_cells": either.sum().item()}
        return total, figures

    def update(self, video: Tensor, truth: Tensor, captions: list[str], rng: np.random.Generator, rate: float) -> dict:
        """One optimizer step over all processes; `rate` scales the learning rates."""
        loss, figures = self.loss(video, truth, captions, rng)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        trained = [p for p in self.model.parameters() if p.requires_grad]
        average_gradients(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        for optimizer, rates in zip(self.optimizers, self.rates, strict=True):
            for group, full in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = full * rate
            optimizer.step()
        decay = min(self.s["average"], (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value.float(), 1 - decay)
        self.step += 1
        self.clips += len(video) * world_size()
        return figures

    def state(self) -> dict:
        """Everything to go on."""
        return {
            "model": self.model.state_dict(), "average": self.average, "step": self.step, "clips": self.clips,
            "seconds": self.seconds, "optimizers": [o.state_dict() for o in self.optimizers],
        }  # fmt: skip

    def restore(self, state: dict) -> None:
        """Go on from a `state`."""
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.step, self.clips, self.seconds = state["step"], state["clips"], state["seconds"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


def open_parts(config: dict, out: Path, resume_from: Path | None, shards: Path) -> Parts:
    """The model to train, a pipeline folder's or a new one, around the codec in `out/codec.pt` if there is one."""
    parts = None if resume_from is None else load_parts(resume_from)
    if not (out / "codec.pt").exists():
        if parts is None:
            raise FileNotFoundError(f"no {out / 'codec.pt'}: run `train codec` first, or give --resume-from")
        return parts
    codec = make_codec(config["codec"])
    codec.load_state_dict(torch.load(out / "codec.pt", weights_only=True)["codec"])
    fit_feature_scale(codec, ShardStream(shards, config["seed"], 0.3))
    if parts is not None:
        parts.codec = codec
        shorten(parts.transformer, config["model"]["layers"])
        return parts
    return make_parts(codec, out / "tokenizer", **config["model"], seed=config["seed"])


def shorten(transformer: Any, layers: int) -> None:
    """Cut a transformer down to its first `layers` blocks, in place; one that has no more stays as it is."""
    if len(transformer.transformer_blocks) > layers:
        transformer.transformer_blocks = transformer.transformer_blocks[:layers]
        transformer.register_to_config(num_layers=layers)


def run_model(rank: int, options: argparse.Namespace, config: dict) -> None:
    """One process: step until the time or the number of clips is up; rank 0 logs every minute, and saves every five."""
    s = config["train"]
    trainer = Trainer(
        open_parts(config, options.out, options.resume_from, options.shards), s, rank, torch.device(options.device)
    )
    checkpoint = options.out / "train.pt"
    if checkpoint.exists():
        trainer.restore(torch.load(checkpoint, weights_only=True, map_location=options.device))
    rng = np.random.default_rng([config["seed"], rank, trainer.step])
    shape_rng = np.random.default_rng([config["seed"], trainer.step])
    # Late in the run clips are cropped nearly at random and defects weigh less: scores come to mean what they say.
    shares = (s["defect_share"], s["late_defect_share"])
    streams = [ShardStream(options.shards, int(rng.integers(2**31)), share) for share in shares]
    feeds: dict[tuple[bool, int, int], Any] = {}
    begun = last = saved = time.monotonic()
    earlier, rows = trainer.seconds, []
    limit = s.get("clips")
    while True:
        trainer.seconds = common_clock(earlier + time.monotonic() - begun)
        progress = trainer.clips / limit if limit else trainer.seconds / s["seconds"]
        if progress >= 1:
            break
        late = progress >= s["late_from"]
        shapes = s["late_shapes"] if late else s["shapes"]
        trainer.defect_weight = s["late_defect_weight"] if late else s["defect_weight"]
        r, c, b, _ = shapes[int(shape_rng.choice(len(shapes), p=[x[3] for x in shapes]))]
        feed = feeds.setdefault((late, r, c), streams[late].batches(b, s["frames"], r * 8, c * 8))
        warm = min(1.0, (trainer.step + 1) / 100)
        video, truth, captions = next(feed)
        rows.append(trainer.update(video, truth, captions, rng, warm * min(1.0, 3 * (1 - progress))))
        if rank == 0 and time.monotonic() - last > 60:
            _log(options.out, trainer, rows)
            last, rows = time.monotonic(), []
        if rank == 0 and time.monotonic() - saved > 300:
            _save(options, trainer)
            saved = time.monotonic()
    if rank == 0:
        _save(options, trainer)


def _log(out: Path, trainer: Trainer, rows: list[dict]) -> None:
    line: dict[str, float] = {"step": trainer.step, "clips": trainer.clips, "seconds": round(trainer.seconds)}
    for key in ("diffusion", "alignment", "distillation"):
        if key in rows[0]:
            line[key] = round(float(np.mean([row[key] for row in rows])), 4)
    cells = sum(row.get("defect_cells", 0) for row in rows)
    line["defect_iou"] = round(sum(row.get("defect_hits", 0) for row in rows) / max(cells, 1), 4)
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")


def _save(options: argparse.Namespace, trainer: Trainer) -> None:
    torch.save(trainer.state(), options.out / "train.pt.partial")
    (options.out / "train.pt.partial").replace(options.out / "train.pt")
    progress = {
        "steps": trainer.step,
        "clips": trainer.clips,
        "seconds": round(trainer.seconds),
        "weights": "running average",
    }
    save_parts(trainer.parts, options.out / "linecam", trainer.average, progress)


def run(rank: int, world: int, options: argparse.Namespace, config: dict) -> None:
    """One process of what is asked for."""
    join(rank, world, options.threads)
    if options.what == "codec":
        settings, device = config["codec"] | {"seed": config["seed"]}, torch.device(options.device)
        train_features(rank, options.shards, options.out, settings, options.resume_from, device)
    else:
        run_model(rank, options, config)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the training."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("codec", "model"))
    parser.add_argument("--shards", type=Path, required=True, help="folder that `footage shards` fills")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1, help="threads of each process")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--resume-from", type=Path, help="pipeline folder to go on from; OUT/codec.pt goes before its codec"
    )
    options = parser.parse_args(arguments)
    config = tomllib.loads(options.config.read_text("utf-8"))
    options.out.mkdir(parents=True, exist_ok=True)
    if options.processes == 1:
        run(0, 1, options, config)
    else:
        spawn(run, (options.processes, options, config), nprocs=options.processes)


if __name__ == "__main__":
    main()
