"""Texts to embeddings: an encoder loads once, encodes everything, and is freed before the transformer loads."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from vidconcept.errors import InputError, OutputError, UsageError
from vidconcept.files import open_regular, open_replacing_bytes
from vidconcept.models.configs import component_files
from vidconcept.models.learnt import read_learnt
from vidconcept.models.text_encoders import T5Text, TextEncoder, silence_transformers, summarise_error

log = logging.getLogger(__name__)
# 4096 tokens of 4096 numbers are 67 MB.
CACHED_BYTES = 256 << 20
# Another number whenever what is kept of a text is another.
_CACHE_FORMAT = 3


@dataclass(frozen=True)
class TextEmbeds:
    """Text encoder output. prompt: `(1, text length, dim)`, padded as the pipeline does.

    words: for each concept `(sub-word, dim)`, without special tokens and padding. mask: `(1, text length)`, which of
    the prompt's tokens are no padding. pooled: one vector of the whole prompt, `(1, dim)`, where the family has one.
    """

    prompt: Tensor = field(repr=False)
    words: tuple[Tensor, ...] = field(repr=False)
    mask: Tensor | None = field(default=None, repr=False)
    pooled: Tensor | None = field(default=None, repr=False)


def encode_texts(
    folder: Path,
    prompt: str,
    words: Sequence[str],
    *,
    text_length: int,
    dtype: torch.dtype,
    device: torch.device,
    encoder: TextEncoder | None = None,
    report: Callable[[str], None] = log.warning,
) -> TextEmbeds:
    """Encode the prompt and the concept words with the folder's text encoder, or take them from the cache on disk.

    encoder: how the family encodes; None is T5 without a mask, as CogVideoX's own pipeline has it. Every text is
    encoded as the family's prompts are, so that words look to the transformer as its training texts did. A word that
    begins with `@` names a file of a learnt concept, whose vectors are taken as they are. report: told of a prompt with
    letters that the tokenizer does not have, and of one that is longer than text_length, of which the rest is left out.
    Raises ModelError when the tokenizer or encoder cannot be loaded,
    UsageError for a word with letters that the tokenizer does not have or with a mark of its own such as `</s>`, or one
    longer than text_length: words that differ only there would be one and the same.
    """
    learnt = {word: torch.from_numpy(read_learnt(Path(word[1:]))) for word in words if word.startswith("@")}
    texts = [prompt, *(word for word in words if word not in learnt)]
    encoder = T5Text() if encoder is None else encoder
    identity = _identity(folder, text_length, dtype, encoder)
    paths = [cache_dir() / "text" / f"{_digest(identity, text)}.safetensors" for text in texts]
    cached = [_read_cached(path) for path in paths]
    missing = [text for text, tensor in zip(texts, cached, strict=True) if tensor is None]
    if missing:
        with silence_transformers():
            encoded = encoder.encode(folder, missing, text_length, dtype, device)
        fresh = dict(zip(missing, encoded, strict=True))
        for index, text in enumerate(texts):
            if cached[index] is None:
                cached[index] = fresh[text]
        _write_cached({path: fresh[text] for text, path in zip(texts, paths, strict=True) if text in fresh})
    parts = [part for part in cached if part is not None]
    embeds = {}
    for word, part in zip(texts[1:], parts[1:], strict=True):
        if part["unknown"]:
            raise UsageError(
                f"the text encoder of this model cannot read {word!r}. "
                "Next: say it in English; if it is none of your concepts, change `background`, `distractors` or "
                "`sinks`, whichever has it"
            )
        if int(part["tokens"]) == 0:
            raise UsageError(f"{word!r} is not a word for the text encoder of this model. Next: another word")
        if int(part["whole"]) > text_length:
            raise UsageError(
                f"{word[:40]!r}... is {int(part['whole'])} tokens long, and this model reads {text_length}. "
                "Next: say it in fewer words"
            )
        embeds[word] = part["embeds"][int(part["first"]) :][: int(part["tokens"])]
    first = parts[0]
    if first["unknown"]:
        report("the text encoder of this model cannot read all of the prompt. Next: say it in English")
    if int(first["whole"]) > text_length:
        report(f"the prompt is {int(first['whole'])} tokens long, the model reads {text_length}: the rest is left out")
    dim = first["embeds"].shape[1]
    for word, vector in learnt.items():
        if vector.shape[1] != dim:
            raise InputError(
                f"{word[1:]} has vectors of {vector.shape[1]} numbers, this model has {dim}. Next: learn it again"
            )
        embeds[word] = vector.to(dtype)
    return TextEmbeds(
        first["embeds"][None],
        tuple(embeds[word] for word in words),
        first["mask"][None],
        first["pooled"][None] if "pooled" in first else None,
    )


def cache_dir() -> Path:
    """VIDCONCEPT_CACHE_DIR, else the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(os.environ.get("VIDCONCEPT_CACHE_DIR") or Path(base) / "vidconcept")


def _identity(folder: Path, text_length: int, dtype: torch.dtype, encoder: TextEncoder) -> str:
    """What the embeddings depend on beside the text: the files, by name, size and, where small, content."""
    files = []
    for part in encoder.parts:
        for path in component_files(folder, part):
            stat = path.stat()
            small = stat.st_size < 32_000_000
            content = hashlib.sha256(path.read_bytes()).hexdigest() if small else str(stat.st_mtime_ns)
            files.append([part, path.name, stat.st_size, content])
    return json.dumps([_CACHE_FORMAT, files, text_length, str(dtype), repr(encoder)])


def _digest(identity: str, text: str) -> str:
    return hashlib.sha256(json.dumps([identity, text]).encode()).hexdigest()[:32]


def _read_cached(path: Path) -> dict[str, Tensor] | None:
    """None for what is not there or is not what an encoder gives: a cache may be damaged, and never ends a run."""
    try:
        if not path.is_file():
            return None
        with open_regular(path, CACHED_BYTES) as file:
            tensors = load(file.read())
        embeds, tokens = tensors["embeds"], int(tensors["tokens"])
        usable = embeds.ndim == 2 and 0 <= tokens <= len(embeds) and bool(embeds.isfinite().all())
        is_single = all(tensors[name].numel() == 1 for name in ("unknown", "first", "whole"))
        if not usable or not is_single or tensors["mask"].ndim != 1:
            raise ValueError("it does not hold embeddings")
        return tensors
    except Exception as error:
        log.warning("ignoring the damaged cache file %s: %s", path, summarise_error(error))
        return None


def _write_cached(encoded: Mapping[Path, dict[str, Tensor]]) -> None:
    """Ends with one warning at the first file that cannot be written: the others lie in the same folder."""
    try:
        for path, tensors in encoded.items():
            with open_replacing_bytes(path) as file:
                file.write(save(tensors))
    except (OutputError, OSError, ValueError) as error:
        reason = summarise_error(error).partition(". Next: ")[0]
        step = "set VIDCONCEPT_CACHE_DIR to a folder that can be written"
        if getattr(error.__cause__, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            step = f"free some space there, or {step}"
        log.warning("text embeddings are not cached: %s. Next: %s", reason, step)
