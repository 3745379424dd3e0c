"""Footage that the embedded model imagines from a caption: a look at what its denoising has learnt.

    python -m linecam.sample --caption "a colour line camera film of cast parts with a stain" --out a.png

Writes one picture: a row a seed, the first, middle and last frame of each clip.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from einops import rearrange

from linecam.training.alignment import rotary
from linecam.training.model import Parts, load_parts
from vidconcept.models.folder import find_folder
from vidconcept.models.presets import presets

FRAMES = 9


@torch.inference_mode()
def sample(parts: Parts, caption: str, seed: int, *, size: tuple[int, int], steps: int, guidance: float) -> np.ndarray:
    """A clip `(9, h, w, 3)` uint8 for a caption, by the scheduler's own steps with classifier-free guidance.

    size: height and width in pixels, multiples of 8.
    """
    rows, columns = size[0] // 8, size[1] // 8
    tokens = (FRAMES - 1) // 4 + 1
    text, _ = parts.embed(["", caption])
    rope = rotary(64, torch.arange(rows, dtype=torch.float32), torch.arange(columns, dtype=torch.float32), tokens)
    generator = torch.Generator().manual_seed(seed)
    latents = torch.randn(1, tokens, 16, 2 * rows, 2 * columns, generator=generator)
    parts.scheduler.set_timesteps(steps)
    for t in parts.scheduler.timesteps:
        pair = torch.cat([latents, latents])
        times = t.expand(2)
        plain, prompted = parts.transformer(pair, text, times, image_rotary_emb=rope, return_dict=False)[0].chunk(2)
        latents = parts.scheduler.step(plain + guidance * (prompted - plain), t, latents, return_dict=False)[0]
    video = parts.codec.decode(rearrange(latents, "b t c h w -> b c t h w")).sample
    return (rearrange(video, "1 c t h w -> t h w c").clamp(-1, 1).add(1).mul(127.5)).byte().numpy()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the sampler."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--caption", default="a monochrome line camera film of brushed parts with a scratch")
    parser.add_argument("--model", type=Path, help="a pipeline folder; default the one in the package")
    parser.add_argument("--out", type=Path, required=True, help="a PNG file")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=3.0)
    options = parser.parse_args(arguments)
    parts = load_parts(options.model or find_folder(presets()["linecam"]).path)
    for module in (parts.codec, parts.transformer, parts.text_encoder):
        module.eval()
    rows = []
    for seed in range(options.seeds):
        clip = sample(parts, options.caption, seed, size=(128, 192), steps=options.steps, guidance=options.guidance)
        rows.append(np.concatenate([clip[0], clip[FRAMES // 2], clip[-1]], 1))
    cv2.imwrite(str(options.out), np.concatenate(rows)[..., ::-1])


if __name__ == "__main__":
    main()
