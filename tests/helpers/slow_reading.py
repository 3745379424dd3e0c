"""A slow reading of ConceptAttention's equations, made with the stock blocks themselves.

It takes no hook of the package. It runs the model plainly and notes what each block is given and what each attention
sees. Then it gives each block the concept tokens *in place of the prompt*, beside the same video tokens: what the block
does with them is what ConceptAttention asks for, at twice the cost.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.tiny_inputs import TEXT_DIM
from tests.helpers.tiny_transformers import TINY
from vidconcept.attention.families import find_family

# Two words of two and one sub-words, and a third of one.
COUNTS = (2, 1, 1)
# Which of the two comes first in the attention of each family; the reading is told, the hooks are not.
VIDEO_FIRST = {"hunyuan", "hunyuan15", "mochi", "sd3"}


def make_concepts() -> Tensor:
    return torch.randn(sum(COUNTS), TEXT_DIM, generator=torch.Generator().manual_seed(2))


class Tape:
    """Notes queries, keys and values of every attention, and what every block is given."""

    def __init__(self, monkeypatch) -> None:
        self.attentions: list[tuple[Tensor, Tensor, Tensor]] = []
        self.calls: list[dict[str, Any]] = []
        plain = F.scaled_dot_product_attention

        def noted(query, key, value, *args, **kwargs):
            self.attentions.append((query, key, value))
            return plain(query, key, value, *args, **kwargs)

        monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
        monkeypatch.setattr(
            "diffusers.models.attention_dispatch.torch.nn.functional.scaled_dot_product_attention", noted
        )

    def follow(self, block) -> None:
        names = list(type(block).forward.__code__.co_varnames[1 : type(block).forward.__code__.co_argcount])

        def note(_module, args, kwargs):
            start = len(self.attentions)
            self.calls.append(dict(zip(names, args, strict=False)) | kwargs | {"attentions from": start})

        block.register_forward_pre_hook(note, with_kwargs=True)


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention by its definition, `(b, heads, token, dim)`."""
    weights = torch.einsum("bhqd,bhkd->bhqk", query.double(), key.double()) / math.sqrt(query.shape[-1])
    return torch.einsum("bhqk,bhkd->bhqd", weights.exp() / weights.exp().sum(-1, keepdim=True), value.double())


def dots(ones: Tensor, others: Tensor) -> Tensor:
    """Sum over heads of dot products of `(b, heads, token, dim)`: `(b, token, token)`."""
    return sum(ones[:, h].double() @ others[:, h].double().transpose(1, 2) for h in range(ones.shape[1]))


def enter_by_hand(name: str, transformer, call: dict[str, Any]) -> Tensor:
    words = make_concepts()[None].split(COUNTS, dim=1)
    if name.startswith("hunyuan"):
        ones = [torch.ones(1, word.shape[1]) for word in words]
        refined = [transformer.context_embedder(w, call["timestep"], o) for w, o in zip(words, ones, strict=True)]
        tokens = torch.cat(refined, dim=1)
        return tokens + transformer.cond_type_embed(torch.tensor(0)) if name == "hunyuan15" else tokens
    if name == "minimax":
        return torch.cat([transformer.token_refiner(transformer.context_embedder(word)) for word in words], dim=1)
    if name == "qwen":
        return transformer.txt_in(transformer.txt_norm(torch.cat(words, dim=1)))
    module = transformer.time_embed.caption_proj if name == "mochi" else transformer.context_embedder
    return module(torch.cat(words, dim=1))


def at_no_position(rope, count: int, video: int):
    """Rotary tables of an image, with `count` tokens at position 0 in front in place of the prompt's."""
    cos, sin = (table[-video:] for table in rope)
    return torch.cat([torch.ones(count, cos.shape[1]), cos]), torch.cat([torch.zeros(count, sin.shape[1]), sin])


def give_concepts(name: str, block, call: dict[str, Any], tokens: Tensor, video: int) -> Any:
    """Run a stock block with the concept tokens as its only text."""
    given = {key: value for key, value in call.items() if key != "attentions from"}
    count = tokens.shape[1]
    if name == "minimax":
        given["hidden_states"] = torch.cat([tokens, given["hidden_states"][:, -video:]], dim=1)
        given["rotary_emb"] = at_no_position(given["rotary_emb"], count, video)
        numbers = given["adaln_indices"]
        # The first row is of the prompt.
        given["adaln_indices"] = torch.cat([numbers[:1].expand(count), numbers[-video:]])
    elif given.get("encoder_hidden_states", tokens) is None:  # Flux.2 joins before its single blocks
        given["hidden_states"] = torch.cat([tokens, given["hidden_states"][:, -video:]], dim=1)
    else:
        given["encoder_hidden_states"] = tokens
    if name in ("flux", "flux2"):
        given["image_rotary_emb"] = at_no_position(given["image_rotary_emb"], count, video)
    if name == "qwen":
        picture, prompt = given["image_rotary_emb"]
        given["image_rotary_emb"] = (picture, torch.ones(count, prompt.shape[1], dtype=prompt.dtype))
    if name == "hunyuan":
        given["attention_mask"] = torch.ones(1, 1, 1, video + count, dtype=torch.bool)
    if name == "hunyuan15":
        given["attention_mask"] = torch.ones(1, count, dtype=torch.bool)
    if name == "mochi":
        given["encoder_attention_mask"] = torch.ones(1, count, dtype=torch.bool)
    output = block(**given)
    if isinstance(output, Tensor):
        return output[:, :count]
    return output[1] if name in ("hunyuan", "hunyuan15", "mochi") else output[0]


def read_slowly(name: str, monkeypatch) -> tuple[Tensor, dict[str, Tensor]]:
    """The model's output, and for each method `(layer, concept token, video token)`."""
    tiny, count = TINY[name], sum(COUNTS)
    transformer, video = tiny.make(), math.prod(tiny.tokens)
    tape = Tape(monkeypatch)
    blocks = [block for block, _ in find_family(transformer).layers_of(transformer)]
    for block in blocks:
        tape.follow(block)

    def cut(tensors, first):
        return [t[:, :, :video] if name in VIDEO_FIRST else t[:, :, -video:] for t in tensors], [
            t[:, :, video:] if name in VIDEO_FIRST else t[:, :, :first] for t in tensors
        ]

    found: dict[str, list[Tensor]] = {"concept-attention": [], "cross-attention": [], "value-space": []}
    with torch.no_grad():
        output = transformer(**tiny.arguments(), return_dict=False)[0]
        calls = tape.calls[:]
        tokens = enter_by_hand(name, transformer, tiny.arguments())
        for block, call in zip(blocks, calls, strict=True):
            seen = tape.attentions[call["attentions from"]]
            (query_x, _, value_x), _ = cut(seen, 0)
            outputs_x = attend(query_x, *seen_by_video(name, seen, tiny))
            start = len(tape.attentions)
            tokens = give_concepts(name, block, call, tokens, video)
            given = tape.attentions[start]
            _, (query_c, key_c, value_c) = cut(given, count)
            found["concept-attention"].append(dots(attend(query_c, given[1], given[2]), outputs_x))
            found["cross-attention"].append(dots(key_c, query_x) / query_x.shape[1])
            found["value-space"].append(dots(value_c, value_x))
    return output, {method: torch.cat(rows) for method, rows in found.items()}


def seen_by_video(name: str, seen, tiny) -> tuple[Tensor, Tensor]:
    """Keys and values that the video tokens attend to: padded text is not among them where the model masks it."""
    _, key, value = seen
    if name not in ("hunyuan", "hunyuan15"):
        return key, value
    kept = math.prod(tiny.tokens) + int(tiny.arguments()["encoder_attention_mask"].sum())
    return key[:, :, :kept], value[:, :, :kept]
