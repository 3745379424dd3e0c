"""The published configurations of CogVideoX: what is known of a model before its folder is on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidconcept.files import read_json
from vidconcept.models.configs import SMALL_FILE_BYTES, model_errors
from vidconcept.models.fit import Needs


@dataclass(frozen=True)
class Architecture:
    """What the classes of diffusers and transformers are built from; what is left out has their defaults.

    The defaults of the transformer and of the VAE are those of CogVideoX-2B.
    """

    transformer: Mapping[str, Any]
    codec: Mapping[str, Any]
    text_encoder: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Architecture:
        """Of a pipeline folder. Raises ModelError for a file that is none."""
        with model_errors(folder):
            return cls(
                *(
                    read_json(folder / part / "config.json", SMALL_FILE_BYTES)
                    for part in ("transformer", "vae", "text_encoder")
                )
            )


# T5 v1.1 XXL, of which the encoder alone is used.
_T5 = {"vocab_size": 32_128, "d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_layers": 24, "num_heads": 64}
_5B = {"num_attention_heads": 48, "num_layers": 42, "use_rotary_positional_embeddings": True}
_CODEC = {"block_out_channels": (128, 256, 256, 512)}

# By the name of the preset.
PUBLISHED: dict[str, Architecture] = {
    "cogvideox-2b": Architecture({}, _CODEC, _T5),
    "cogvideox-5b": Architecture(_5B, _CODEC, _T5),
    "cogvideox1.5-5b": Architecture(
        {**_5B, "patch_size_t": 2, "patch_bias": False, "sample_height": 300, "sample_width": 300, "sample_frames": 81},
        _CODEC,
        _T5,
    ),
}

# What `models.memory` finds of these at the sizes of their presets, by preset and precision. `models` and `doctor` show
# them at once, where to build and run the shapes takes seconds.
NEEDS: dict[tuple[str, str], Needs] = {
    ("cogvideox-2b", "float16"): Needs(
        itemsize=2,
        text_encoder=9_524_621_312,
        codec=431_167_814,
        codec_pass=7_573_132_800,
        codec_pass_tiled=2_138_568_960,
        transformer=3_455_827_584,
        transformer_pass=980_010_696,
        block=112_163_072,
        rest=90_935_424,
        linear=(1_680_998_400, 56_033_280, 14_745_600),
    ),
    ("cogvideox-2b", "float32"): Needs(
        itemsize=4,
        text_encoder=19_049_242_624,
        codec=862_335_628,
        codec_pass=15_146_265_600,
        codec_pass_tiled=4_277_137_920,
        transformer=6_911_655_168,
        transformer_pass=1_943_165_384,
        block=224_326_144,
        rest=181_870_848,
        linear=(1_680_998_400, 56_033_280, 14_745_600),
    ),
    ("cogvideox-5b", "bfloat16"): Needs(
        itemsize=2,
        text_encoder=9_524_621_312,
        codec=431_167_814,
        codec_pass=7_573_132_800,
        codec_pass_tiled=2_138_568_960,
        transformer=11_140_566_144,
        transformer_pass=1_666_591_560,
        block=264_395_264,
        rest=35_965_056,
        linear=(5_549_064_192, 132_120_576, 37_748_736),
    ),
    ("cogvideox1.5-5b", "bfloat16"): Needs(
        itemsize=2,
        text_encoder=9_524_621_312,
        codec=431_167_814,
        codec_pass=24_433_520_640,
        codec_pass_tiled=2_968_254_720,
        transformer=11_141_352_704,
        transformer_pass=4_252_785_480,
        block=264_395_264,
        rest=36_751_616,
        linear=(5_549_064_192, 132_120_576, 37_748_736),
    ),
}


def find_needs(preset: str, dtype: str, *, has_gpu: bool) -> Needs | None:
    """None for a model that is not known so well. dtype: of the preset; a processor runs float16 as float32."""
    return NEEDS.get((preset, "float32" if dtype == "float16" and not has_gpu else dtype))
