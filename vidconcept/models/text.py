"""Texts to embeddings: T5 loads once, encodes everything, and is freed before the transformer loads."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor
from transformers import T5EncoderModel, T5TokenizerFast  # pyright: ignore[reportAttributeAccessIssue]

from vidconcept.errors import ModelError, OutputError, UsageError
from vidconcept.files import open_regular, open_replacing_bytes
from vidconcept.models.configs import component_files

log = logging.getLogger(__name__)
# 4096 tokens of 4096 numbers are 67 MB.
CACHED_BYTES = 256 << 20


@dataclass(frozen=True)
class TextEmbeds:
    """Text encoder output. prompt: `(1, text length, dim)`, padded as the pipeline does.

    words: for each concept `(sub-word, dim)`, without `</s>` and padding.
    """

    prompt: Tensor = field(repr=False)
    words: tuple[Tensor, ...] = field(repr=False)


def encode_texts(
    folder: Path, prompt: str, words: Sequence[str], *, text_length: int, dtype: torch.dtype, device: torch.device
) -> TextEmbeds:
    """Encode the prompt and the concept words with the folder's T5, or take them from the cache on disk.

    Every text is padded to `text_length` and encoded without a mask, as CogVideoX's own pipeline does, so that words
    look to the transformer as its training texts did. Raises ModelError when the tokenizer or encoder cannot be loaded,
    UsageError for a word with letters that the tokenizer does not have: all such words would be one and the same.
    """
    texts = [prompt, *words]
    identity = _identity(folder, text_length, dtype)
    paths = [cache_dir() / "text" / f"{_digest(identity, text)}.safetensors" for text in texts]
    cached = [_read_cached(path) for path in paths]
    missing = [text for text, tensor in zip(texts, cached, strict=True) if tensor is None]
    if missing:
        fresh = dict(zip(missing, _encode(folder, missing, text_length, dtype, device), strict=True))
        for index, (text, path) in enumerate(zip(texts, paths, strict=True)):
            if cached[index] is None:
                cached[index] = fresh[text]
                _write_cached(path, fresh[text])
    parts = [part for part in cached if part is not None]
    for word, part in zip(words, parts[1:], strict=True):
        if part["unknown"]:
            raise UsageError(f"the text encoder of this model cannot read {word!r}. Next: say it in English")
    return TextEmbeds(parts[0]["embeds"][None], tuple(p["embeds"][: int(p["tokens"])] for p in parts[1:]))


def cache_dir() -> Path:
    """VIDCONCEPT_CACHE_DIR, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("VIDCONCEPT_CACHE_DIR") or Path(base) / "vidconcept")


def _encode(
    folder: Path, texts: list[str], text_length: int, dtype: torch.dtype, device: torch.device
) -> list[dict[str, Tensor]]:
    """One dict a text: `embeds` (text length, dim), `tokens` sub-words without `</s>`, `unknown` whether any is."""
    # Classes named here: one that the folder names could be code that came with it.
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = T5TokenizerFast.from_pretrained(folder / "tokenizer", **options)
    except MemoryError:
        raise
    except Exception as error:
        # The library takes a damaged file for one of another kind, and asks for a package that reads that.
        reason = "its files are damaged" if "tiktoken" in str(error) else summarise_error(error)
        raise ModelError(f"cannot load {folder / 'tokenizer'}: {reason}. Next: fetch the model again") from error
    try:
        # With loading information asked for, transformers gives a pair, which its annotation does not say.
        encoder_class: Any = T5EncoderModel
        encoder, info = encoder_class.from_pretrained(
            folder / "text_encoder", dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"{len(missing)} weights are missing, {missing[0]} among them")
    except MemoryError:
        raise
    except Exception as error:
        # Of damaged files the libraries raise whatever their inside came upon.
        raise ModelError(
            f"cannot load the text encoder in {folder}: {summarise_error(error)}. Next: fetch the model again"
        ) from error
    torch.nn.Module.to(encoder.eval(), device)
    results = []
    with torch.inference_mode():
        for text in texts:
            try:
                ids = tokenizer(
                    text,
                    padding="max_length",
                    max_length=text_length,
                    truncation=True,
                    add_special_tokens=True,
                    return_tensors="pt",
                ).input_ids
                if not 0 <= int(ids.min()) <= int(ids.max()) < encoder.config.vocab_size:
                    raise ValueError("the tokenizer has words that the encoder does not have")
                embeds = encoder(ids.to(device))[0][0].to("cpu", dtype)
            except Exception as error:
                if isinstance(error, MemoryError | torch.OutOfMemoryError) or "memory" in str(error):
                    raise
                raise ModelError(
                    f"the text encoder in {folder} cannot encode {text[:40]!r}: {summarise_error(error)}. "
                    "Next: fetch the model again"
                ) from error
            special = torch.tensor([i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None])
            tokens = int((~torch.isin(ids, special)).sum())
            if not embeds.isfinite().all():
                raise ModelError(
                    f"the text encoder in {folder} gives no numbers (NaN or infinity) in "
                    f"{str(dtype).removeprefix('torch.')}. Next: `dtype=float32` or bfloat16"
                )
            unknown = (ids == (-1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id)).any()
            results.append({"embeds": embeds.contiguous(), "tokens": torch.tensor(tokens), "unknown": unknown})
    return results


def summarise_error(error: Exception) -> str:
    """What a library's error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _identity(folder: Path, text_length: int, dtype: torch.dtype) -> str:
    """What the embeddings depend on beside the text: the files, by name, size and, where small, content."""
    files = []
    for part in ("text_encoder", "tokenizer"):
        for path in component_files(folder, part):
            stat = path.stat()
            small = stat.st_size < 32_000_000
            content = hashlib.sha256(path.read_bytes()).hexdigest() if small else str(stat.st_mtime_ns)
            files.append([part, path.name, stat.st_size, content])
    return json.dumps([files, text_length, str(dtype), "unknown"])


def _digest(identity: str, text: str) -> str:
    return hashlib.sha256(json.dumps([identity, text]).encode()).hexdigest()[:32]


def _read_cached(path: Path) -> dict[str, Tensor] | None:
    """None for what is not there or is not what `_encode` gives: a cache may be damaged, and never ends a run."""
    try:
        if not path.is_file():
            return None
        with open_regular(path, CACHED_BYTES) as file:
            tensors = load(file.read())
        embeds, tokens = tensors["embeds"], int(tensors["tokens"])
        usable = embeds.ndim == 2 and 0 <= tokens <= len(embeds) and bool(embeds.isfinite().all())
        if not usable or tensors["unknown"].numel() != 1:
            raise ValueError("it does not hold embeddings")
        return tensors
    except Exception as error:
        log.warning("ignoring the damaged cache file %s: %s", path, summarise_error(error))
        return None


def _write_cached(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        with open_replacing_bytes(path) as file:
            file.write(save(tensors))
    except (OutputError, OSError, ValueError) as error:
        log.warning("text embeddings are not cached: %s", summarise_error(error))
