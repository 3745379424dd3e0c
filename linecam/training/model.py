"""The embedded model's parts: architecture, tokenizer, and the pipeline folder that they are saved to and read from."""

import io
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel
from diffusers.schedulers.scheduling_ddim_cogvideox import CogVideoXDDIMScheduler
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from linecam.footage.clips import caption
from linecam.vocabulary import read_synonyms
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.painting.kinds import CONCEPTS, DEFECTS
from vidconcept.painting.textures import SURFACES

TEXT_LENGTH = 24
TEXT_DIM = 64
# Latent rows and columns of the size in use, 256×448 px: what rotary positions are laid out on.
SAMPLE_HEIGHT, SAMPLE_WIDTH = 64, 112


@dataclass
class Parts:
    """A whole model in memory."""

    # diffusers and transformers give their models as types that no checker follows.
    codec: Any
    transformer: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    tokenizer_folder: Path
    # Whether the codec's net is trained with the transformer; else it is fitted before and stays.
    joint: bool = False

    def collect_trained(self) -> nn.ModuleDict:
        """What `train` changes."""
        own = nn.ModuleDict({"transformer": self.transformer, "text_encoder": self.text_encoder})
        if self.joint:
            own["codec_net"] = self.codec.feature_net
        return own

    def embed(self, texts: list[str]) -> tuple[Tensor, list[int]]:
        """Embeddings `(text, TEXT_LENGTH, TEXT_DIM)` padded as the pipeline does, and how many sub-words each has."""
        ids = self.tokenizer(
            texts, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt"
        ).input_ids
        special = torch.tensor([self.tokenizer.pad_token_id, self.tokenizer.eos_token_id])
        return self.text_encoder(ids.to(self.text_encoder.device))[0], (~torch.isin(ids, special)).sum(1).tolist()


def encode_clip(codec: Any, video: Tensor, *, trained: bool = False) -> Tensor:
    """Latents `(b, c, t_lat, h/4, w/4)`; frames go through the feature net in half precision, the picture in full.

    trained: with the gradients of the feature net.
    """
    with torch.set_grad_enabled(trained):
        with torch.autocast(video.device.type, torch.bfloat16):
            features = codec.feature_latents(codec.classify_cells(video)[0])
        return torch.cat([codec.encode_picture(video), features.float()], 1)


def write_tokenizer(folder: Path) -> None:
    """Train the sentencepiece model on the vocabulary and the captions, and write `spiece.model` with its config."""
    folder.mkdir(parents=True, exist_ok=True)
    sentences = [word for words in read_synonyms().values() for word in words]
    sentences += [
        caption(colour, style, pair)
        for colour in (True, False)
        for style in SURFACES
        for a in DEFECTS
        for pair in ((), (a,), (a, "rust"))
    ]
    sentences = (
        4 * sentences
        + [word for text in sentences for word in text.split()]
        + [word for word in CONCEPTS for _ in range(2000)]
    )
    # Written by way of memory: a model that is written to a file names the file's path in itself.
    trained = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(sentences), model_writer=trained, vocab_size=480, hard_vocab_limit=False,
        model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(trained.getvalue())
    config = {
        "tokenizer_class": "T5Tokenizer",
        "extra_ids": 0,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": TEXT_LENGTH,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def make_parts(codec: PatchCodec, tokenizer_folder: Path, *, layers: int, heads: int, seed: int) -> Parts:
    """A model with random weights around a fitted codec. A tokenizer that is there is kept: weights depend on it."""
    torch.manual_seed(seed)
    if not (tokenizer_folder / "spiece.model").exists():
        write_tokenizer(tokenizer_folder)
    tokenizer = T5Tokenizer.from_pretrained(tokenizer_folder)
    transformer = CogVideoXTransformer3DModel(
        num_attention_heads=heads, attention_head_dim=64, in_channels=16, out_channels=16, time_embed_dim=256,
        text_embed_dim=TEXT_DIM, num_layers=layers, sample_width=SAMPLE_WIDTH, sample_height=SAMPLE_HEIGHT,
        sample_frames=9, max_text_seq_length=TEXT_LENGTH, use_rotary_positional_embeddings=True,
    )  # fmt: skip
    blocks: Any = transformer.transformer_blocks
    for block in blocks:
        # Blocks start as the identity: their modulation, gates included, is zero at first but for the gates' bias.
        for norm in (block.norm1, block.norm2):
            nn.init.zeros_(norm.linear.weight)
            nn.init.zeros_(norm.linear.bias)
            dim = norm.linear.bias.numel() // 6
            with torch.no_grad():
                norm.linear.bias[2 * dim : 3 * dim] = 0.3
                norm.linear.bias[5 * dim :] = 0.3
    nn.init.zeros_(transformer.proj_out.weight)
    text_encoder = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizer), d_model=TEXT_DIM, d_kv=32, d_ff=128, num_layers=2, num_heads=2, dropout_rate=0.0
        )
    )
    scheduler = CogVideoXDDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type="v_prediction",
        rescale_betas_zero_snr=True, snr_shift_scale=1.0, timestep_spacing="trailing", set_alpha_to_one=True,
    )  # fmt: skip
    return Parts(codec, transformer, text_encoder, tokenizer, scheduler, tokenizer_folder)


def load_parts(folder: Path) -> Parts:
    """Read a pipeline folder in float32, as `save_parts` writes it."""
    return Parts(
        PatchCodec.from_pretrained(folder / "vae", torch_dtype=torch.float32),
        CogVideoXTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=torch.float32),
        T5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        T5Tokenizer.from_pretrained(folder / "tokenizer"),
        CogVideoXDDIMScheduler.from_pretrained(folder / "scheduler"),
        folder / "tokenizer",
    )


def save_parts(parts: Parts, folder: Path, state: dict[str, Tensor], progress: dict) -> None:
    """Write the pipeline folder with half-precision weights, replacing what is there file by file.

    state: weights of `Parts.collect_trained()` to save in place of the current ones.
    progress goes into `training_state.json`.
    """
    draft = folder.with_name(folder.name + ".partial")
    shutil.rmtree(draft, ignore_errors=True)
    saved = copy_parts(parts)
    saved.collect_trained().load_state_dict(state)
    saved.transformer.half().save_pretrained(draft / "transformer")
    saved.text_encoder.half().save_pretrained(draft / "text_encoder")
    parts.scheduler.save_pretrained(draft / "scheduler")
    saved.codec.half().save_pretrained(draft / "vae")
    shutil.copytree(parts.tokenizer_folder, draft / "tokenizer")
    index = {
        "_class_name": "CogVideoXPipeline",
        "_diffusers_version": "0.35.0",
        "scheduler": ["diffusers", "CogVideoXDDIMScheduler"],
        "text_encoder": ["transformers", "T5EncoderModel"],
        "tokenizer": ["transformers", "T5Tokenizer"],
        "transformer": ["diffusers", "CogVideoXTransformer3DModel"],
        "vae": ["vidconcept.models.linecam_codec", "PatchCodec"],
    }
    (draft / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    (draft / "training_state.json").write_text(json.dumps(progress, indent=2) + "\n", encoding="utf-8")
    for path in sorted(p for p in draft.rglob("*") if p.is_file()):
        target = folder / path.relative_to(draft)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    shutil.rmtree(draft)


def copy_parts(parts: Parts) -> Parts:
    """A copy of the weights, so that saving in half precision leaves the training's own untouched."""
    codec: Any = PatchCodec.from_config(_drop_place(parts.codec.config))
    codec.load_state_dict(parts.codec.state_dict())
    transformer = CogVideoXTransformer3DModel.from_config(_drop_place(parts.transformer.config))
    return Parts(
        codec,
        transformer,
        T5EncoderModel(parts.text_encoder.config),
        parts.tokenizer,
        parts.scheduler,
        parts.tokenizer_folder,
        parts.joint,
    )


def _drop_place(config: Any) -> dict[str, Any]:
    """The config without the folder that it was loaded from, which is nobody's concern."""
    return {key: value for key, value in config.items() if key != "_name_or_path"}
