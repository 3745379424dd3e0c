"""Which transformers of diffusers the hooks read, and how concept tokens enter each.

A new family is one entry in `FAMILIES`, under the name of its transformer's class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
from diffusers.models.modeling_utils import get_parameter_dtype
from torch import Tensor, nn

from vidconcept.attention.blocks.cogvideox import CogVideoXKind
from vidconcept.attention.blocks.cross import CrossKind
from vidconcept.attention.blocks.dual import DualKind, Flux2DualKind, MochiKind, QwenKind
from vidconcept.attention.blocks.kinds import BlockKind
from vidconcept.attention.blocks.packed import VIDEO, PackedKind
from vidconcept.attention.blocks.single import Flux2SingleKind, SingleKind
from vidconcept.attention.method_names import METHODS, OF_CROSS_ATTENTION, OF_STILLS, REFUSED, Method
from vidconcept.errors import ModelError

# The arguments of the transformer's forward pass, by name.
Call = Mapping[str, Any]


def project_text(transformer: Any, family: Family, embeds: Tensor, counts: Sequence[int], call: Call) -> Tensor:
    """One projection from the text encoder's width to the transformer's."""
    return family.entrance(transformer).forward(embeds)


def refine_text(transformer: Any, family: Family, embeds: Tensor, counts: Sequence[int], call: Call) -> Tensor:
    """HunyuanVideo's token refiner, in which the tokens of a text see each other: each concept is a text by itself."""
    timestep = call["timestep"].expand(embeds.shape[0])
    texts = embeds.split(list(counts), dim=1)
    refined = torch.cat([family.entrance(transformer).forward(text, timestep, None) for text in texts], dim=1)
    # HunyuanVideo 1.5 marks which of its encoders a token is from; this is the first.
    kind_of_text = getattr(transformer, "cond_type_embed", None)
    if kind_of_text is None:
        return refined
    return refined + kind_of_text.forward(torch.zeros(1, dtype=torch.long, device=refined.device))


def norm_text(transformer: Any, family: Family, embeds: Tensor, counts: Sequence[int], call: Call) -> Tensor:
    """Qwen-Image's projection, with a norm before it."""
    return family.entrance(transformer).forward(transformer.txt_norm.forward(embeds))


def refine_rows(transformer: Any, family: Family, embeds: Tensor, counts: Sequence[int], call: Call) -> Tensor:
    """MiniMax-H3's projection and refiner, in which the tokens of a text see each other: each concept by itself."""
    entrance = family.entrance(transformer)
    # The model takes a prompt of any precision.
    texts = entrance.forward(embeds.to(get_parameter_dtype(entrance))).split(list(counts), dim=1)
    return torch.cat([transformer.token_refiner.forward(text) for text in texts], dim=1)


class KeptBlocks(nn.ModuleList):
    """What an early stop leaves of a transformer's list of blocks while its context is open."""


@dataclass(frozen=True)
class Family:
    """One class of transformer.

    blocks: for each list of blocks its attribute and kind, in the order in which they run; layers are numbered through.
    entrance: path of the module that texts enter by; text_width: of its first linear layer. patch_t: the number of
    latent frames that a token spans, as the configuration names it; None for stills.
    """

    blocks: tuple[tuple[str, BlockKind], ...]
    text_entrance: str
    text_width: Callable[[Any], int]
    frames: Callable[[Any, Call], int]
    enter_text: Callable[..., Tensor] = project_text
    methods: tuple[Method, ...] = field(default=METHODS)

    def entrance(self, transformer: Any) -> Any:
        return attrgetter(self.text_entrance)(transformer)

    def enter(self, transformer: Any, embeds: Tensor, counts: Sequence[int], call: Call) -> Tensor:
        return self.enter_text(transformer, self, embeds, counts, call)

    def count_frames(self, transformer: Any, call: Call) -> int:
        return self.frames(transformer, call)

    def layers_of(self, transformer: Any) -> list[tuple[Any, BlockKind]]:
        """Every block and its kind. Raises ModelError while an early stop leaves some of them out."""
        lists = [(getattr(transformer, name), kind) for name, kind in self.blocks]
        if any(isinstance(blocks, KeptBlocks) for blocks, _ in lists):
            raise ModelError(
                "another context with `early_stop=True` is open on this transformer and leaves blocks out. "
                "Next: leave that context first, or give it `early_stop=False`"
            )
        return [(block, kind) for blocks, kind in lists for block in blocks]


def _frames_at(axis: int) -> Callable[[Any, Call], int]:
    """Steps in time of latents that have them on this axis."""

    def count(transformer: Any, call: Call) -> int:
        config = transformer.config
        patch = getattr(config, "patch_size_t", None) or 1
        if isinstance(config.patch_size, tuple | list):
            patch = config.patch_size[0]
        return call["hidden_states"].shape[axis] // patch

    return count


def _frames_of_rows(transformer: Any, call: Call) -> int:
    """Steps in time of the video rows of a packed sequence."""
    return len(call["position_ids"][call["token_tags"] == VIDEO, 0].unique())


def _one_frame(transformer: Any, call: Call) -> int:
    return 1


FAMILIES: dict[str, Family] = {
    "CogVideoXTransformer3DModel": Family(
        (("transformer_blocks", CogVideoXKind()),),
        "patch_embed.text_proj",
        lambda transformer: transformer.patch_embed.text_proj.in_features,
        _frames_at(1),
    ),
    "HunyuanVideoTransformer3DModel": Family(
        (
            ("transformer_blocks", DualKind("freqs_cis")),
            ("single_transformer_blocks", SingleKind(rope_of_text=False)),
        ),
        "context_embedder",
        lambda transformer: transformer.config.text_embed_dim,
        _frames_at(2),
        refine_text,
    ),
    "HunyuanVideo15Transformer3DModel": Family(
        (("transformer_blocks", DualKind("freqs_cis")),),
        "context_embedder",
        lambda transformer: transformer.config.text_embed_dim,
        _frames_at(2),
        refine_text,
    ),
    "MochiTransformer3DModel": Family(
        (("transformer_blocks", MochiKind("image_rotary_emb")),),
        "time_embed.caption_proj",
        lambda transformer: transformer.config.text_embed_dim,
        lambda transformer, call: call["hidden_states"].shape[2],
    ),
    "MiniMaxH3Transformer3DModel": Family(
        (("transformer_blocks", PackedKind()),),
        "context_embedder",
        lambda transformer: transformer.config.text_dim,
        _frames_of_rows,
        refine_rows,
    ),
    "WanTransformer3DModel": Family(
        (("blocks", CrossKind()),),
        "condition_embedder.text_embedder",
        lambda transformer: transformer.config.text_dim,
        _frames_at(2),
        methods=OF_CROSS_ATTENTION,
    ),
    "LTXVideoTransformer3DModel": Family(
        (("transformer_blocks", CrossKind()),),
        "caption_projection",
        lambda transformer: transformer.config.caption_channels,
        lambda transformer, call: call["num_frames"],
        methods=OF_CROSS_ATTENTION,
    ),
    "FluxTransformer2DModel": Family(
        (
            ("transformer_blocks", DualKind("image_rotary_emb", rope_of_text=True)),
            ("single_transformer_blocks", SingleKind(rope_of_text=True)),
        ),
        "context_embedder",
        lambda transformer: transformer.config.joint_attention_dim,
        _one_frame,
        methods=OF_STILLS,
    ),
    "Flux2Transformer2DModel": Family(
        (
            ("transformer_blocks", Flux2DualKind("image_rotary_emb", rope_of_text=True)),
            ("single_transformer_blocks", Flux2SingleKind(rope_of_text=True)),
        ),
        "context_embedder",
        lambda transformer: transformer.config.joint_attention_dim,
        _one_frame,
        methods=OF_STILLS,
    ),
    "SD3Transformer2DModel": Family(
        (("transformer_blocks", DualKind(heads_first=True)),),
        "context_embedder",
        lambda transformer: transformer.config.joint_attention_dim,
        _one_frame,
        methods=OF_STILLS,
    ),
    "QwenImageTransformer2DModel": Family(
        (("transformer_blocks", QwenKind("image_rotary_emb")),),
        "txt_in",
        lambda transformer: transformer.config.joint_attention_dim,
        _one_frame,
        norm_text,
        methods=OF_STILLS,
    ),
}


def find_family(transformer: Any) -> Family:
    """The family of a loaded transformer, by its class or one that it derives from.

    Raises ValueError for one that is not read, with the reason.
    """
    # What torch.compile wraps is known by what is inside; whether it can be read is not asked here.
    names = [cls.__name__ for cls in type(getattr(transformer, "_orig_mod", transformer)).__mro__]
    for name in names:
        if name in FAMILIES:
            return FAMILIES[name]
        if name in REFUSED:
            raise ValueError(f"{name} cannot be read: {REFUSED[name]}. Transformers that can: {', '.join(FAMILIES)}")
    raise ValueError(f"{names[0]} is no transformer that is read here: {', '.join(FAMILIES)}")
