"""Complete pipeline folders with random weights, in the layouts in which CogVideoX is published, at small widths."""

from __future__ import annotations

import io
import json
from pathlib import Path

import sentencepiece
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXDPMScheduler, CogVideoXTransformer3DModel
from transformers import T5Config, T5EncoderModel

# What differs between the published layouts; everything else is small and shared.
LAYOUTS = {
    "2b": {
        "scheduler": CogVideoXDDIMScheduler,
        "transformer": {"sample_frames": 9, "spatial_interpolation_scale": 1.875},
    },
    "5b": {
        "scheduler": CogVideoXDPMScheduler,
        "transformer": {"sample_frames": 9, "use_rotary_positional_embeddings": True},
    },
    "1.5": {
        "scheduler": CogVideoXDPMScheduler,
        "transformer": {
            "sample_frames": 17,
            "use_rotary_positional_embeddings": True,
            "patch_size_t": 2,
            "patch_bias": False,
        },
    },
}
_TEXT = "a long thin scratch on the metal surface near a round dent of a machine part with clean background"


def write_folder(path: Path, layout: str = "2b", *, height: int = 64, width: int = 96, shards: bool = True) -> Path:
    """Save tokenizer (`spiece.model` alone), T5 encoder, transformer, KL VAE and scheduler; returns `path`."""
    torch.manual_seed(0)
    spec = LAYOUTS[layout]
    text_dim, text_length = 32, 24
    vocab = write_t5_tokenizer(path / "tokenizer")
    size = "40KB" if shards else "5GB"
    t5 = T5Config(
        vocab_size=vocab, d_model=text_dim, d_kv=8, d_ff=64, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu"
    )
    T5EncoderModel(t5).save_pretrained(path / "text_encoder", max_shard_size=size)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=32,
        text_embed_dim=text_dim,
        num_layers=4,
        sample_width=width // 8,
        sample_height=height // 8,
        max_text_seq_length=text_length,
        **spec["transformer"],
    )
    transformer.save_pretrained(path / "transformer", max_shard_size=size)
    vae = AutoencoderKLCogVideoX(
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    vae.save_pretrained(path / "vae")
    spec["scheduler"]().save_pretrained(path / "scheduler")
    index = {
        "_class_name": "CogVideoXPipeline",
        "scheduler": ["diffusers", spec["scheduler"].__name__],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "transformer": ["diffusers", "CogVideoXTransformer3DModel"],
        "vae": ["diffusers", "AutoencoderKLCogVideoX"],
    }
    (path / "model_index.json").write_text(json.dumps(index))
    return path


def write_t5_tokenizer(path: Path) -> int:
    """As CogVideoX publishes it: `spiece.model` and small JSON files, no `tokenizer.json`. Returns its size."""
    path.mkdir(parents=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_TEXT.split() * 20),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        model_type="unigram",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (path / "spiece.model").write_bytes(model.getvalue())
    names = {
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "extra_ids": 0,
        "tokenizer_class": "T5Tokenizer",
    }
    (path / "tokenizer_config.json").write_text(json.dumps(names))
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
