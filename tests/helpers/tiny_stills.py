"""The transformers of the picture families at small widths."""

import torch
from torch import Tensor

from tests.helpers.tiny_inputs import HEIGHT, TEXT, TEXT_DIM, WIDTH, Tiny, text


def grid_ids(axes: int) -> Tensor:
    """Positions of an image's tokens, row and column on the second and third axis."""
    ids = torch.zeros(HEIGHT, WIDTH, axes)
    ids[..., 1], ids[..., 2] = torch.arange(HEIGHT)[:, None], torch.arange(WIDTH)[None]
    return ids.reshape(-1, axes)


STILLS: dict[str, Tiny] = {
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
