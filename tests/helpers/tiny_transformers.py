"""The transformer of each family at small widths with random weights, and what it is called with."""

from typing import Any

import torch

from tests.helpers.tiny_inputs import FRAMES, HEIGHT, TEXT, TEXT_DIM, WIDTH, Tiny, latents, mask, text
from tests.helpers.tiny_stills import STILLS


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
    **STILLS,
}
