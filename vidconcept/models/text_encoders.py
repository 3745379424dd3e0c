"""The text encoders of the families: T5 and its kin, CLIP's one vector, language models behind an instruction.

Classes are named here: one that a folder names could be code that came with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from vidconcept.errors import ModelError, says_out_of_memory
from vidconcept.models.quiet import silence

# Of every text a dict of tensors: `embeds` (text length, dim); `first` and `tokens`, where its sub-words begin and how
# many they are, without special tokens; `whole`, how many tokens the text would be with all that is around it, of which
# more than the text length are cut off; `unknown`, see `is_unknown`; `mask` (text length); and of encoders that give
# one, `pooled` (dim).
Encoded = dict[str, Tensor]
_OFFLINE: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
# CLIP's own length.
CLIP_LENGTH = 77


class TextEncoder(Protocol):
    """parts: the component folders that it reads. Its `repr` says all else that the embeddings depend on."""

    @property
    def parts(self) -> tuple[str, ...]: ...

    def encode(
        self, folder: Path, texts: Sequence[str], length: int, dtype: torch.dtype, device: torch.device
    ) -> list[Encoded]:
        """One dict a text, on the CPU. Raises ModelError."""
        ...


@dataclass(frozen=True)
class T5Text:
    """T5 (or UMT5), padded to the length.

    number: of its folders, "" for `text_encoder`. masked: whether the encoder is told what is padding. zero_padding:
    whether padding is zero afterwards. nothing_for_empty: an empty text is no token at all.
    """

    kind: str = "T5EncoderModel"
    number: str = ""
    masked: bool = False
    zero_padding: bool = False
    nothing_for_empty: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        return name_parts(self.number)

    def encode(
        self, folder: Path, texts: Sequence[str], length: int, dtype: torch.dtype, device: torch.device
    ) -> list[Encoded]:
        tokenizer = load_tokenizer("T5TokenizerFast", folder, self.parts[1])
        encoder = load_encoder(self.kind, folder, self.parts[0], dtype, device)
        return [self._encode(text, tokenizer, encoder, folder, length, dtype) for text in texts]

    def _encode(
        self, text: str, tokenizer: Any, encoder: Any, folder: Path, length: int, dtype: torch.dtype
    ) -> Encoded:
        def run() -> tuple[Tensor, Tensor, Tensor]:
            found = tokenize(tokenizer, text, length)
            ids, mask = found.input_ids, found.attention_mask
            check_ids(ids, encoder.config.vocab_size)
            if self.nothing_for_empty and not text:
                ids, mask = torch.zeros_like(ids), torch.zeros_like(mask)
            options = {"attention_mask": mask.to(encoder.device)} if self.masked else {}
            embeds = encoder(ids.to(encoder.device), **options)[0][0].to("cpu", dtype)
            return ids, mask[0], embeds * mask[0, :, None].to(dtype) if self.zero_padding else embeds

        ids, mask, embeds = run_checked(run, folder, text, dtype)
        special = torch.tensor([i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None])
        return {
            "embeds": embeds.contiguous(),
            "first": torch.tensor(0),
            "tokens": (~torch.isin(ids, special)).sum(),
            "whole": torch.tensor(count_tokens(tokenizer, text)),
            "unknown": is_unknown(tokenizer, text),
            "mask": mask,
        }


@dataclass(frozen=True)
class ChatText:
    """A language model that reads the text after an instruction.

    kind: its class. ending: what follows the text. layers: whose hidden states are taken, side by side. is_cut: whether
    what it says of the instruction is cut off; else it counts for the length. for_empty: what an empty text is.
    tokenizer: its class, where the folder holds no file that says all.
    """

    kind: str
    instruction: str
    ending: str
    layers: tuple[int, ...]
    is_cut: bool = True
    for_empty: str = ""
    tokenizer: str = "PreTrainedTokenizerFast"

    @property
    def parts(self) -> tuple[str, ...]:
        return name_parts()

    def encode(
        self, folder: Path, texts: Sequence[str], length: int, dtype: torch.dtype, device: torch.device
    ) -> list[Encoded]:
        tokenizer = load_tokenizer(self.tokenizer, folder, self.parts[1])
        encoder = load_encoder(self.kind, folder, self.parts[0], dtype, device)
        if self.is_cut:
            tokenizer.padding_side = "right"
        return [self._encode(text, tokenizer, encoder, folder, length, dtype) for text in texts]

    def _encode(
        self, text: str, tokenizer: Any, encoder: Any, folder: Path, length: int, dtype: torch.dtype
    ) -> Encoded:
        # An instruction ends at a mark or a line, which no tokenizer joins with the word after it.
        start = len(tokenizer(self.instruction).input_ids)
        end = len(tokenizer(self.ending, add_special_tokens=False).input_ids)
        cut = start if self.is_cut else 0
        whole = self.instruction + (text or self.for_empty) + self.ending

        def run() -> tuple[Tensor, Tensor]:
            found = tokenize(tokenizer, whole, length + cut)
            ids, mask = found.input_ids, found.attention_mask
            check_ids(ids, encoder.config.get_text_config().vocab_size)
            given = {"input_ids": ids.to(encoder.device), "attention_mask": mask.to(encoder.device)}
            states = encoder(**given, output_hidden_states=True, use_cache=False).hidden_states
            embeds = torch.cat([states[layer][0] for layer in self.layers], dim=-1)
            return mask[0], embeds.to("cpu", dtype)

        mask, embeds = run_checked(run, folder, text, dtype)
        # Where padding is in front, everything begins later.
        first, tokens = int(mask.argmax()) + start, int(mask.sum()) - start - end
        return {
            "embeds": embeds[cut:].contiguous(),
            "first": torch.tensor(first - cut),
            "tokens": torch.tensor(max(tokens, 0)),
            "whole": torch.tensor(count_tokens(tokenizer, whole) - cut),
            "unknown": is_unknown(tokenizer, text),
            "mask": mask[cut:].contiguous(),
        }


@dataclass(frozen=True)
class ClipPooled:
    """CLIP's one vector of a text. number: of its folders. projected: whether it is taken after CLIP's projection."""

    number: str
    projected: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        return name_parts(self.number)

    def encode(
        self, folder: Path, texts: Sequence[str], length: int, dtype: torch.dtype, device: torch.device
    ) -> list[Encoded]:
        """Of each text also `embeds`, the layer before the last, which SD3 takes."""
        tokenizer = load_tokenizer("CLIPTokenizer", folder, self.parts[1])
        kind = "CLIPTextModelWithProjection" if self.projected else "CLIPTextModel"
        encoder = load_encoder(kind, folder, self.parts[0], dtype, device)
        return [self._encode(text, tokenizer, encoder, folder, dtype) for text in texts]

    def _encode(self, text: str, tokenizer: Any, encoder: Any, folder: Path, dtype: torch.dtype) -> Encoded:
        def run() -> tuple[Tensor, Tensor]:
            ids = tokenize(tokenizer, text, CLIP_LENGTH).input_ids
            check_ids(ids, encoder.config.vocab_size)
            output = encoder(ids.to(encoder.device), output_hidden_states=True)
            pooled = output.text_embeds if self.projected else output.pooler_output
            return output.hidden_states[-2][0].to("cpu", dtype), pooled[0].to("cpu", dtype)

        embeds, pooled = run_checked(run, folder, text, dtype)
        return {"embeds": embeds.contiguous(), "pooled": pooled.contiguous()}


@dataclass(frozen=True)
class Together:
    """An encoder of the sub-words and others of whole texts, whose vectors are joined. in_front: whether the tokens of
    these, joined and filled up with zeros, stand before the sub-words, as in SD3.
    """

    main: TextEncoder
    pooled: tuple[ClipPooled, ...]
    in_front: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        return (*self.main.parts, *(part for encoder in self.pooled for part in encoder.parts))

    def encode(
        self, folder: Path, texts: Sequence[str], length: int, dtype: torch.dtype, device: torch.device
    ) -> list[Encoded]:
        found = self.main.encode(folder, texts, length, dtype, device)
        others = [encoder.encode(folder, texts, length, dtype, device) for encoder in self.pooled]
        for number, encoded in enumerate(found):
            encoded["pooled"] = torch.cat([other[number]["pooled"] for other in others])
            if self.in_front:
                front = torch.cat([other[number]["embeds"] for other in others], dim=-1)
                front = torch.nn.functional.pad(front, (0, encoded["embeds"].shape[-1] - front.shape[-1]))
                encoded["first"] = torch.tensor(len(front))
                encoded["embeds"] = torch.cat([front, encoded["embeds"]])
        return found


def name_parts(number: str = "") -> tuple[str, str]:
    """The component folders of an encoder and its tokenizer."""
    return f"text_encoder{number}", f"tokenizer{number}"


@contextmanager
def silence_transformers() -> Iterator[None]:
    """See `silence`."""
    # It takes half a second to import, and texts that were encoded before do without it.
    from transformers.utils import logging

    with silence(logging):
        yield


def _find_class(kind: str) -> Any:
    import transformers

    return getattr(transformers, kind)


def load_tokenizer(kind: str, folder: Path, part: str) -> Any:
    """Raises ModelError, also for one that knows no word: every word would be to blame for it."""
    try:
        tokenizer = _find_class(kind).from_pretrained(folder / part, **_OFFLINE)
        # Beside its marks it may have the one that a word begins with.
        if len(tokenizer) <= len(tokenizer.all_special_tokens) + 1:
            raise ValueError("it knows no word, for its vocabulary is empty or not there")
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # The library takes a damaged file for one of another kind, and asks for a package that reads that.
        reason = "its files are damaged" if "tiktoken" in str(error) else summarise_error(error)
        raise ModelError(f"cannot load {folder / part}: {reason}. Next: fetch the model again") from error
    return tokenizer


def load_encoder(kind: str, folder: Path, part: str, dtype: torch.dtype, device: torch.device) -> Any:
    """A text encoder in evaluation mode. Raises ModelError when it cannot be loaded or weights are missing."""
    try:
        # With loading information asked for, transformers gives a pair, which its annotation does not say.
        encoder, info = _find_class(kind).from_pretrained(
            folder / part, dtype=dtype, use_safetensors=True, output_loading_info=True, **_OFFLINE
        )
        if missing := sorted(info["missing_keys"]):
            raise ValueError(f"{len(missing)} weights are missing, {missing[0]} among them")
    except Exception as error:
        if is_out_of_memory(error):
            raise
        # Of damaged files the libraries raise whatever their inside came upon.
        reason = summarise_error(error)
        raise ModelError(f"cannot load the text encoder in {folder}: {reason}. Next: fetch the model again") from error
    return encoder.eval().to(device)


def tokenize(tokenizer: Any, text: str, length: int) -> Any:
    return tokenizer(
        text, padding="max_length", max_length=length, truncation=True, add_special_tokens=True, return_tensors="pt"
    )


def count_tokens(tokenizer: Any, text: str) -> int:
    """Of the whole text, with special tokens. The library's own warning of a long one is not asked for."""
    return len(tokenizer(text, verbose=False).input_ids)


def check_ids(ids: Tensor, vocabulary: int) -> None:
    if not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary:
        raise ValueError("the tokenizer has words that the encoder does not have")


def is_unknown(tokenizer: Any, text: str) -> Tensor:
    """Whether a part of the text is no sub-word: letters that the tokenizer lacks, or a mark of its own (`</s>`)."""
    ids = torch.tensor(tokenizer(text, add_special_tokens=False, verbose=False).input_ids, dtype=torch.long)
    return torch.isin(ids, torch.tensor(tokenizer.all_special_ids, dtype=torch.long)).any()


def run_checked(run: Any, folder: Path, text: str, dtype: torch.dtype) -> Any:
    """What an encoder gives, without gradients. Raises ModelError where it fails, or gives no numbers."""
    try:
        with torch.inference_mode():
            found = run()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"the text encoder in {folder} cannot encode {text[:40]!r}: {summarise_error(error)}. "
            "Next: fetch the model again"
        ) from error
    if not all(tensor.isfinite().all() for tensor in found):
        raise ModelError(
            f"the text encoder in {folder} gives no numbers (NaN or infinity) in "
            f"{str(dtype).removeprefix('torch.')}. Next: `dtype=float32` or bfloat16"
        )
    return found


def is_out_of_memory(error: Exception) -> bool:
    """A GPU has a type of error for it; the allocators of the systems say it in words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or says_out_of_memory(str(error))


def summarise_error(error: Exception) -> str:
    """What a library's error says, without a full stop, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).removesuffix(".")
