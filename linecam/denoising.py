"""What alignment costs the diffusion: the denoising loss of one or more models on the same held-out clips and noise.

    python -m linecam.denoising WITH/linecam WITHOUT/linecam [--clips 64]

Prints one JSON object: of each folder the mean squared error of the velocity, of all latent channels and of the eight
picture channels, and the first folder's error over the last one's.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from linecam.footage.clips import HELD_OUT_SEED, clip
from linecam.training.alignment import rotary
from linecam.training.model import Parts, load_parts

SIZE = (128, 192)
FRAMES = 9


@torch.inference_mode()
def denoising_loss(parts: Parts, seeds: Sequence[int]) -> dict[str, float]:
    """Mean squared error of the velocity that a model predicts, over clips with timesteps spread evenly over all."""
    steps = parts.scheduler.config.num_train_timesteps
    rows, columns = (torch.arange(n // 8, dtype=torch.float32) for n in SIZE)
    errors = []
    for k, seed in enumerate(seeds):
        made = clip(seed, SIZE, FRAMES)
        video = torch.from_numpy(np.ascontiguousarray(made.frames)).permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        latents = rearrange(parts.codec.encode(video).latent_dist.mode(), "b c t h w -> b t c h w")
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
        t = torch.tensor([int((k + 0.5) * steps / len(seeds))])
        text, _ = parts.embed([made.caption])
        rope = rotary(64, rows, columns, latents.shape[1])
        noised = parts.scheduler.add_noise(latents, noise, t)
        out = parts.transformer(noised, text, t, image_rotary_emb=rope, return_dict=False)[0]
        error = (out - parts.scheduler.get_velocity(latents, noise, t)).square()
        errors.append((error.mean().item(), error[:, :, : parts.codec.config.picture_channels].mean().item()))
    every, picture = np.mean(errors, 0)
    return {"all": round(float(every), 5), "picture": round(float(picture), 5)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="pipeline folders")
    parser.add_argument("--clips", type=int, default=64)
    options = parser.parse_args(arguments)
    rows = []
    for folder in options.models:
        parts = load_parts(folder)
        for module in (parts.codec, parts.transformer, parts.text_encoder):
            module.eval()
        rows.append(denoising_loss(parts, range(HELD_OUT_SEED, HELD_OUT_SEED + options.clips)))
    ratio = {key: round(rows[0][key] / rows[-1][key], 4) for key in rows[0]}
    named = [{"model": str(folder), **row} for folder, row in zip(options.models, rows, strict=True)]
    print(json.dumps({"clips": options.clips, "loss": named, "first_over_last": ratio}, indent=1))


if __name__ == "__main__":
    main()
