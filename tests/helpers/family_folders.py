"""Complete pipeline folders of the flow-matching families with random weights, laid out as they are published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.helpers.diffusers_at_hand import find_class
from tests.helpers.model_folders import write_t5_tokenizer
from tests.helpers.tiny_inputs import TEXT_DIM
from tests.helpers.tiny_transformers import TINY

_WORDS = ["a", "long", "thin", "scratch", "dent", "surface", "round", "metal", "machine", "part", "clean", "background"]


def write_t5(path: Path, kind: str = "T5", number: str = "", dim: int = TEXT_DIM) -> None:
    vocabulary = write_t5_tokenizer(path / f"tokenizer{number}")
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=vocabulary, d_model=dim, d_kv=8, d_ff=32, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu"
    )
    getattr(transformers, f"{kind}EncoderModel")(config).save_pretrained(path / f"text_encoder{number}")


def write_chat(
    path: Path,
    kind: str = "LlamaModel",
    config: str = "LlamaConfig",
    dim: int = TEXT_DIM,
    layers: int = 3,
    nested: dict[str, Any] | None = None,
    write_tokenizer: Callable[[Path], int] | None = None,
    **options: Any,
) -> None:
    """A language model with a tokenizer.

    nested: where its sizes are those of a part of the model, which has another for pictures. write_tokenizer: returns
    the size of the vocabulary.
    """
    vocabulary = (write_tokenizer or write_words)(path / "tokenizer")
    sizes = {
        "vocab_size": vocabulary,
        "hidden_size": dim,
        "intermediate_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "pad_token_id": 4,
        "bos_token_id": 0,
        "eos_token_id": 3,
        **options,
    }
    settings = getattr(transformers, config)(**(sizes if nested is None else {"text_config": sizes, **nested}))
    getattr(transformers, kind)(settings).save_pretrained(path / "text_encoder")


def write_words(path: Path) -> int:
    """A tokenizer of whole words and the marks of a chat."""
    marks = ["<|begin|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<pad>", "<unk>"]
    vocabulary = {word: number for number, word in enumerate([*marks, *_WORDS, "system", "user"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin|>",
        eos_token="<|eot_id|>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<|start_header_id|>", "<|end_header_id|>"],
    ).save_pretrained(path)
    return len(vocabulary)


def write_bytes(path: Path) -> int:
    """A tokenizer as Qwen's is laid out: vocabulary, merges (none here), and the marks of a chat beside them."""
    path.mkdir(parents=True)
    vocabulary = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    added = {
        str(len(vocabulary) + number): {"content": mark, "special": True, "lstrip": False, "rstrip": False}
        | {"normalized": False, "single_word": False}
        for number, mark in enumerate(marks)
    }
    (path / "vocab.json").write_text(json.dumps(vocabulary))
    (path / "merges.txt").write_text("#version: 0.2\n")
    names = {"pad_token": marks[0], "eos_token": marks[2], "additional_special_tokens": marks[1:]}
    config = {"tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added, "unk_token": None, **names}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    return len(vocabulary) + len(marks)


def write_clip(path: Path, number: str, dim: int = 8, *, projected: bool = False) -> None:
    folder = path / f"tokenizer{number}"
    folder.mkdir(parents=True)
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({piece: number for number, piece in enumerate(pieces)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "tokenizer_class": "CLIPTokenizer",
                "bos_token": "<|startoftext|>",
                "eos_token": "<|endoftext|>",
                "unk_token": "<|endoftext|>",
                "pad_token": "<|endoftext|>",
                "model_max_length": 77,
            }
        )
    )
    config = transformers.CLIPTextConfig(
        vocab_size=len(pieces),
        hidden_size=dim,
        intermediate_size=16,
        projection_dim=dim,
        num_hidden_layers=2,
        num_attention_heads=2,
        bos_token_id=len(pieces) - 2,
        eos_token_id=len(pieces) - 1,
    )
    kind = "CLIPTextModelWithProjection" if projected else "CLIPTextModel"
    getattr(transformers, kind)(config).save_pretrained(path / f"text_encoder{number}")


def _wan(path: Path) -> dict[str, Any]:
    write_t5(path, "UMT5")
    find_class("AutoencoderKLWan")(
        base_dim=4, z_dim=4, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.1] * 4, latents_std=[2.0] * 4
    ).save_pretrained(path / "vae")
    UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0).save_pretrained(
        path / "scheduler"
    )
    return {}


def _wan22(path: Path) -> dict[str, Any]:
    _wan(path)
    torch.manual_seed(7)
    find_class(TINY["wan"].kind)(**TINY["wan"].config).save_pretrained(path / "transformer_2")
    return {"boundary_ratio": 0.875, "transformer_2": ["diffusers", "WanTransformer3DModel"]}


def _ltx(path: Path) -> dict[str, Any]:
    write_t5(path)
    find_class("AutoencoderKLLTXVideo")(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
    ).save_pretrained(path / "vae")
    FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.95, max_shift=2.05, base_image_seq_len=1024, shift_terminal=0.1
    ).save_pretrained(path / "scheduler")
    return {}


def _mochi(path: Path) -> dict[str, Any]:
    write_t5(path)
    find_class("AutoencoderKLMochi")(
        encoder_block_out_channels=(32, 32, 32, 32),
        decoder_block_out_channels=(32, 32, 32, 32),
        latent_channels=4,
        layers_per_block=(1, 1, 1, 1, 1),
        latents_mean=[0.1] * 4,
        latents_std=[2.0] * 4,
    ).save_pretrained(path / "vae")
    FlowMatchEulerDiscreteScheduler(invert_sigmas=True).save_pretrained(path / "scheduler")
    return {}


def _hunyuan(path: Path) -> dict[str, Any]:
    write_chat(path)
    write_clip(path, "_2")
    find_class("AutoencoderKLHunyuanVideo")(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2
    ).save_pretrained(path / "vae")
    FlowMatchEulerDiscreteScheduler(shift=7.0).save_pretrained(path / "scheduler")
    return {}


def _hunyuan15(path: Path) -> dict[str, Any]:
    sections = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]}
    write_chat(path, "Qwen2_5_VLTextModel", "Qwen2_5_VLTextConfig", rope_parameters=sections)
    write_t5(path, number="_2", dim=10)
    find_class("AutoencoderKLHunyuanVideo15")(
        latent_channels=4, block_out_channels=(16, 16, 16, 16, 16), layers_per_block=1
    ).save_pretrained(path / "vae")
    FlowMatchEulerDiscreteScheduler(shift=5.0).save_pretrained(path / "scheduler")
    return {}


def write_picture_vae(path: Path, channels: int) -> None:
    find_class("AutoencoderKL")(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=channels,
        norm_num_groups=2,
        shift_factor=0.1,
        scaling_factor=0.4,
    ).save_pretrained(path / "vae")


def _flux(path: Path) -> dict[str, Any]:
    write_clip(path, "")
    write_t5(path, number="_2")
    write_picture_vae(path, 1)
    FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0).save_pretrained(path / "scheduler")
    return {}


def _flux2(path: Path) -> dict[str, Any]:
    write_chat(path, "Qwen3ForCausalLM", "Qwen3Config", TEXT_DIM // 3, layers=28)
    vae = find_class("AutoencoderKLFlux2")(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=1,
        layers_per_block=1,
        norm_num_groups=2,
    )
    vae.bn.running_mean.fill_(0.1)
    vae.bn.running_var.fill_(4.0)
    vae.save_pretrained(path / "vae")
    FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0).save_pretrained(path / "scheduler")
    return {}


def _sd3(path: Path) -> dict[str, Any]:
    write_clip(path, "", 4, projected=True)
    write_clip(path, "_2", 4, projected=True)
    write_t5(path, number="_3")
    write_picture_vae(path, 4)
    FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(path / "scheduler")
    return {}


def _qwen(path: Path) -> dict[str, Any]:
    sections = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]}
    pictures = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": TEXT_DIM}
    write_chat(
        path,
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen2_5_VLConfig",
        # Older releases of transformers do not have these by themselves, as published folders do.
        nested={"vision_config": pictures, "vision_start_token_id": 151652, "vision_end_token_id": 151653},
        write_tokenizer=write_bytes,
        **{"rope_parameters" if hasattr(transformers, "TokenizersBackend") else "rope_scaling": sections},
    )
    find_class("AutoencoderKLQwenImage")(
        base_dim=4, z_dim=1, dim_mult=[1, 1, 1, 1], num_res_blocks=1, latents_mean=[0.1], latents_std=[2.0]
    ).save_pretrained(path / "vae")
    FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.5, max_shift=0.9, max_image_seq_len=8192, shift_terminal=0.02
    ).save_pretrained(path / "scheduler")
    return {}


# Name of a folder -> what is beside its transformer, and the transformer's name in `TINY`.
FOLDERS: dict[str, tuple[Callable[[Path], dict[str, Any]], str]] = {
    "wan": (_wan, "wan"),
    "wan22": (_wan22, "wan"),
    "ltx": (_ltx, "ltx"),
    "mochi": (_mochi, "mochi"),
    "hunyuan": (_hunyuan, "hunyuan"),
    "hunyuan15": (_hunyuan15, "hunyuan15"),
    "flux": (_flux, "flux"),
    "flux2": (_flux2, "flux2"),
    "sd3": (_sd3, "sd3"),
    "qwen": (_qwen, "qwen"),
}


def write_family(path: Path, name: str) -> Path:
    """Save a whole pipeline folder; returns `path`."""
    torch.manual_seed(0)
    write, tiny = FOLDERS[name]
    extra = write(path)
    TINY[tiny].make().save_pretrained(path / "transformer")
    write_index(path, extra)
    return path


def write_index(path: Path, extra: dict[str, Any] | None = None) -> None:
    """`model_index.json` of the parts that are there."""
    index: dict[str, Any] = {"_class_name": "Pipeline"}
    for part in sorted(p.name for p in path.iterdir() if p.is_dir()):
        library = "transformers" if part.startswith(("text_encoder", "tokenizer")) else "diffusers"
        config = next(p for p in (path / part).glob("*config.json") if p.name != "generation_config.json")
        content = json.loads(config.read_text())
        kind = content.get("_class_name") or (content.get("architectures") or [content.get("tokenizer_class")])[0]
        index[part] = [library, kind]
    (path / "model_index.json").write_text(json.dumps(index | (extra or {})))
