"""Texts to embeddings: T5 loads once, encodes everything, and is freed before the transformer loads."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, T5EncoderModel

from vidconcept.errors import ModelError, UsageError

log = logging.getLogger(__name__)


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
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vidconcept"
    return Path(os.environ.get("VIDCONCEPT_CACHE_DIR") or default)


def _encode(
    folder: Path, texts: list[str], text_length: int, dtype: torch.dtype, device: torch.device
) -> list[dict[str, Tensor]]:
    """One dict a text: `embeds` (text length, dim), `tokens` sub-words without `</s>`, `unknown` whether any is."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        encoder = T5EncoderModel.from_pretrained(
            folder / "text_encoder", dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise ModelError(
            f"cannot load the text encoder in {folder}: {str(error).splitlines()[0]}. Next: fetch the model again"
        ) from error
    torch.nn.Module.to(encoder.eval(), device)
    results = []
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer(
                text,
                padding="max_length",
                max_length=text_length,
                truncation=True,
                add_special_tokens=True,
                return_tensors="pt",
            ).input_ids
            special = torch.tensor([i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None])
            tokens = int((~torch.isin(ids, special)).sum())
            embeds = encoder(ids.to(device))[0][0].to("cpu", dtype)
            unknown = (ids == (-1 if tokenizer.unk_token_id is None else tokenizer.unk_token_id)).any()
            results.append({"embeds": embeds.contiguous(), "tokens": torch.tensor(tokens), "unknown": unknown})
    return results


def _identity(folder: Path, text_length: int, dtype: torch.dtype) -> str:
    """What the embeddings depend on beside the text: the files, by name, size and, where small, content."""
    files = []
    for part in ("text_encoder", "tokenizer"):
        for path in sorted((folder / part).iterdir()):
            stat = path.stat()
            small = stat.st_size < 32_000_000
            content = hashlib.sha256(path.read_bytes()).hexdigest() if small else str(stat.st_mtime_ns)
            files.append([part, path.name, stat.st_size, content])
    return json.dumps([files, text_length, str(dtype), "unknown"])


def _digest(identity: str, text: str) -> str:
    return hashlib.sha256(json.dumps([identity, text]).encode()).hexdigest()[:32]


def _read_cached(path: Path) -> dict[str, Tensor] | None:
    try:
        return load_file(path) if path.is_file() else None
    except Exception as error:
        log.warning("ignoring the damaged cache file %s: %s", path, error)
        return None


def _write_cached(path: Path, tensors: dict[str, Tensor]) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        log.warning("text embeddings are not cached: %s: %s", path.parent, error.strerror or error)
