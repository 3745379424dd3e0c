"""The transformer of each family at small widths with random weights, and what it is called with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.helpers.diffusers_at_hand import find_class, keep_known

FRAMES, HEIGHT, WIDTH = 3, 4, 6  # latents; tokens where a patch is one of them
TEXT, PADDING, TEXT_DIM = 5, 2, 24


def latents(channels: int) -> Tensor:
    return torch.randn(1, channels, FRAMES, HEIGHT, WIDTH)


def text(length: int = TEXT) -> Tensor:
    return torch.randn(1, length, TEXT_DIM)


def mask(dtype: torch.dtype = torch.long) -> Tensor:
    return torch.tensor([[1] * (TEXT - PADDING) + [0] * PADDING], dtype=dtype)


def grid_ids(axes: int) -> Tensor:
    """Positions of an image's tokens, row and column on the second and third axis."""
    ids = torch.zeros(HEIGHT, WIDTH, axes)
    ids[..., 1], ids[..., 2] = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)[None]
    return ids.reshape(-1, axes)


def packed() -> dict[str, Any]:
    """A prompt, two rows of sound and a film in one sequence; the sound is less noisy."""
    sound, video = 2, FRAMES * HEIGHT // 2 * WIDTH // 2
    first = TEXT + sound
    places = torch.zeros(first + video, 3, dtype=torch.long)
    places[:first, 0] = torch.arange(first)
    grid = torch.meshgrid(torch.arange(FRAMES), torch.arange(HEIGHT // 2), torch.arange(WIDTH // 2), indexing="ij")
    places[first:] = torch.stack(grid, dim=-1).reshape(-1, 3) + torch.tensor([first, 0, 0])
    rows = torch.arange(first + video)
    return {
        "hidden_states": torch.randn(1, video, 16),
        "audio_hidden_states": torch.randn(1, sound, 3),
        "encoder_hidden_states": text(),
        "timestep": torch.tensor([0.5, 0.1]),
        "timestep_indices": torch.tensor([0] * TEXT + [1] * sound + [0] * video),
        "token_tags": torch.tensor([1] * TEXT + [2] * sound + [0] * video),
        "position_ids": places,
        "text_indices": rows[:TEXT],
        "audio_indices": rows[TEXT:first],
        "video_indices": rows[first:],
    }


@dataclass(frozen=True)
class Tiny:
    """kind: the transformer's class in diffusers. config, call: its arguments and those of a forward pass.

    tokens: of video, (t, row, col).
    """

    kind: str
    config: dict[str, Any]
    call: Callable[[], dict[str, Any]]
    tokens: tuple[int, int, int]

    def make(self) -> Any:
        torch.manual_seed(0)
        transformer = find_class(self.kind)(**self.config).eval()
        with torch.no_grad():
            for name, parameter in transformer.named_parameters():
                scale = 1.0 if "norm" in name and parameter.ndim == 1 and name.endswith("weight") else 0.0
                parameter.copy_(torch.randn_like(parameter) * 0.2 + scale)
        return transformer

    def arguments(self) -> dict[str, Any]:
        """Of a forward pass; what only other releases of diffusers ask for is left out."""
        torch.manual_seed(1)
        return keep_known(self.kind, self.call())


TINY: dict[str, Tiny] = {
    "hunyuan": Tiny(
        "HunyuanVideoTransformer3DModel",
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "num_layers": 2,
            "num_single_layers": 3,
            "num_refiner_layers": 1,
            "patch_size": 2,
            "text_embed_dim": TEXT_DIM,
            "pooled_projection_dim": 8,
            "rope_axes_dim": (4, 6, 6),
            "guidance_embeds": True,
        },
        lambda: {
            "hidden_states": latents(4),
            "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": text(),
            "encoder_attention_mask": mask(),
            "pooled_projections": torch.randn(1, 8),
            "guidance": torch.tensor([6000.0]),
        },
        (3, 2, 3),
    ),
    "hunyuan15": Tiny(
        "HunyuanVideo15Transformer3DModel",
        {
            "in_channels": 9,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "num_layers": 4,
            "num_refiner_layers": 1,
            "text_embed_dim": TEXT_DIM,
            "text_embed_2_dim": 10,
            "image_embed_dim": 6,
            "rope_axes_dim": (4, 6, 6),
            "task_type": "t2v",
        },
        lambda: {
            "hidden_states": latents(9),
            "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": text(),
            "encoder_attention_mask": mask(),
            "encoder_hidden_states_2": torch.randn(1, 4, 10),
            "encoder_attention_mask_2": torch.zeros(1, 4, dtype=torch.long),
            "image_embeds": torch.zeros(1, 3, 6),
        },
        (3, 4, 6),
    ),
    "mochi": Tiny(
        "MochiTransformer3DModel",
        {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "num_layers": 4,
            "pooled_projection_dim": 16,
            "in_channels": 4,
            "text_embed_dim": TEXT_DIM,
            "time_embed_dim": 8,
        },
        lambda: {
            "hidden_states": latents(4),
            "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": text(),
            "encoder_attention_mask": mask(torch.bool),
        },
        (3, 2, 3),
    ),
    "wan": Tiny(
        "WanTransformer3DModel",
        {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "in_channels": 4,
            "out_channels": 4,
            "text_dim": TEXT_DIM,
            "freq_dim": 8,
            "ffn_dim": 32,
            "num_layers": 4,
        },
        lambda: {
            "hidden_states": latents(4),
            "timestep": torch.tensor([500]),
            "encoder_hidden_states": text(),
        },
        (3, 2, 3),
    ),
    "ltx": Tiny(
        "LTXVideoTransformer3DModel",
        {
            "in_channels": 4,
            "out_channels": 4,
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "cross_attention_dim": 32,
            "num_layers": 4,
            "caption_channels": TEXT_DIM,
        },
        lambda: {
            "hidden_states": torch.randn(1, FRAMES * HEIGHT * WIDTH, 4),
            "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": text(),
            "encoder_attention_mask": mask(),
            "num_frames": FRAMES,
            "height": HEIGHT,
            "width": WIDTH,
        },
        (3, 4, 6),
    ),
    "flux": Tiny(
        "FluxTransformer2DModel",
        {
            "in_channels": 4,
            "num_layers": 2,
            "num_single_layers": 3,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": TEXT_DIM,
            "pooled_projection_dim": 8,
            "guidance_embeds": True,
            "axes_dims_rope": (4, 6, 6),
        },
        lambda: {
            "hidden_states": torch.randn(1, HEIGHT * WIDTH, 4),
            "timestep": torch.tensor([0.5]),
            "encoder_hidden_states": text(),
            "pooled_projections": torch.randn(1, 8),
            "guidance": torch.tensor([3.5]),
            "img_ids": grid_ids(3),
            "txt_ids": torch.zeros(TEXT, 3),
        },
        (1, 4, 6),
    ),
    "flux2": Tiny(
        "Flux2Transformer2DModel",
        {
            "in_channels": 4,
            "num_layers": 2,
            "num_single_layers": 3,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": TEXT_DIM,
            "timestep_guidance_channels": 8,
            "axes_dims_rope": (4, 4, 4, 4),
        },
        lambda: {
            "hidden_states": torch.randn(1, HEIGHT * WIDTH, 4),
            "timestep": torch.tensor([0.5]),
            "encoder_hidden_states": text(),
            "guidance": torch.tensor([4.0]),
            "img_ids": grid_ids(4),
            "txt_ids": torch.nn.functional.pad(torch.arange(TEXT)[:, None].float(), (3, 0)),
        },
        (1, 4, 6),
    ),
    "sd3": Tiny(
        "SD3Transformer2DModel",
        {
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "num_layers": 4,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": TEXT_DIM,
            "caption_projection_dim": 32,
            "pooled_projection_dim": 8,
            "pos_embed_max_size": 8,
            "dual_attention_layers": (0, 1),
            "qk_norm": "rms_norm",
        },
        lambda: {
            "hidden_states": torch.randn(1, 4, HEIGHT, WIDTH),
            "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": text(),
            "pooled_projections": torch.randn(1, 8),
        },
        (1, 2, 3),
    ),
    "minimax": Tiny(
        "MiniMaxH3Transformer3DModel",
        {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "hidden_size": 32,
            "num_layers": 4,
            "num_refiner_layers": 1,
            "ffn_dim": 32,
            "in_channels": 4,
            "audio_in_channels": 3,
            "text_dim": TEXT_DIM,
            "freq_dim": 8,
            "time_embed_hidden_dim": 16,
            "time_embed_dim": 8,
            "rope_freq_dim": 2,
        },
        packed,
        (3, 2, 3),
    ),
    "qwen": Tiny(
        "QwenImageTransformer2DModel",
        {
            "in_channels": 4,
            "out_channels": 1,
            "num_layers": 4,
            "attention_head_dim": 16,
            "num_attention_heads": 2,
            "joint_attention_dim": TEXT_DIM,
            "axes_dims_rope": (4, 6, 6),
        },
        lambda: {
            "hidden_states": torch.randn(1, HEIGHT * WIDTH, 4),
            "timestep": torch.tensor([0.5]),
            "encoder_hidden_states": text(),
            "img_shapes": [[(1, HEIGHT, WIDTH)]],
            "txt_seq_lens": [TEXT],
        },
        (1, 4, 6),
    ),
}
