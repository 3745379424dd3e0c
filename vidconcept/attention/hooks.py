"""Concept stream beside a video MMDiT: hooks that read the model and never write to it.

ConceptAttention (Helbling et al., ICML 2025, arXiv 2502.04320, section 4) on the blocks of diffusers'
`CogVideoXTransformer3DModel`. The model's own forward pass runs untouched, so its output stays what it was bit for
bit. Hooks pick up each block's video keys, values, queries and attention outputs; after the block, the concept tokens
take the same step with the text branch's weights, attending to [concept, video] and never to the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import apply_rotary_emb
from einops import rearrange
from torch import Tensor, nn

from vidconcept.attention.methods import METHODS, MOTION_HEADS, NEED_QUERIES, READERS, LayerTokens, Method, Tokens

# Whether attention outputs are kept: of no layer, of every one that is read, or of the last one alone.
Vectors = bool | Literal["last"]


@dataclass
class Recorder:
    """Filled by the forward pass that runs inside `concept_attention`; a second pass replaces the first one's records.

    `logits[method]`: `(layer, batch, concept token, video token)` float32, before any softmax.
    `concept_vectors`, `video_vectors`: `(layer, batch, token, dim)` attention outputs before `to_out`, in the model's
    dtype, only with `vectors=True`. Layers come in ascending order, as in `layers`. `last_video_vectors`:
    `(batch, token, dim)` of the last of them, also with `vectors="last"`.
    """

    layers: tuple[int, ...]
    _rows: dict[str, dict[int, Tensor]] = field(default_factory=dict, repr=False)

    def _put(self, name: str, layer: int, value: Tensor) -> None:
        self._rows.setdefault(name, {})[layer] = value

    def _stack(self, name: str) -> Tensor:
        rows = self._rows.get(name, {})
        missing = [layer for layer in self.layers if layer not in rows]
        if missing:
            raise RuntimeError(f"no {name} recorded for layers {missing}: run the transformer inside the context first")
        return torch.stack([rows[layer] for layer in self.layers])

    @property
    def logits(self) -> dict[str, Tensor]:
        return {name: self._stack(name) for name in METHODS if name in self._rows}

    @property
    def concept_vectors(self) -> Tensor:
        return self._stack("concept vectors")

    @property
    def video_vectors(self) -> Tensor:
        return self._stack("video vectors")

    @property
    def last_video_vectors(self) -> Tensor:
        return self._rows["video vectors"][self.layers[-1]]


class ConceptStream:
    """The concept tokens' way through the blocks. One instance serves one attached context."""

    def __init__(
        self,
        embeds: Tensor,
        recorder: Recorder,
        methods: Sequence[Method],
        vectors: Vectors,
        *,
        concepts: int | None = None,
        motion_heads: int = MOTION_HEADS,
    ) -> None:
        self.embeds = embeds
        self.recorder = recorder
        self.methods = methods
        self.vectors = vectors
        self.concepts = embeds.shape[1] if concepts is None else concepts
        self.motion_heads = motion_heads
        self.tokens: Tensor | None = None
        # Steps in time of the video tokens, seen where the model embeds them.
        self.frames = 0

    # `.forward` instead of a call, here and below: the model's own hooks, this context's among them, must not fire.

    def enter(self, transformer: Any, batch: int) -> None:
        """Project the embeddings to tokens: `(b, concept token, dim)`. No positional embedding."""
        embeds = self.embeds.expand(batch, -1, -1) if self.embeds.shape[0] == 1 else self.embeds
        if embeds.shape[0] != batch:
            raise ValueError(f"concept_embeds have batch {embeds.shape[0]}, the transformer runs batch {batch}")
        project = transformer.patch_embed.text_proj
        self.tokens = project.forward(embeds.to(project.weight.device, project.weight.dtype))

    def project(self, attn: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of the concept tokens, `(b, heads, token, dim)`; no rotary embedding."""
        query, key, value = (
            rearrange(linear.forward(tokens), "b token (heads dim) -> b heads token dim", heads=attn.heads)
            for linear in (attn.to_q, attn.to_k, attn.to_v)
        )
        query = attn.norm_q.forward(query) if attn.norm_q is not None else query
        key = attn.norm_k.forward(key) if attn.norm_k is not None else key
        return query, key, value

    def attend(self, query: Tensor, key: Tensor, value: Tensor, seen: Tokens) -> Tensor:
        """Attention of the concept queries over [concept, video]: `(b, token, heads·dim)`, before `to_out`."""
        output = F.scaled_dot_product_attention(
            query, torch.cat([key, seen.key], dim=2), torch.cat([value, seen.value], dim=2)
        )
        return rearrange(output, "b heads token dim -> b token (heads dim)")

    def read(self, attn: Any, layer: int, concept: Tokens, seen: Tokens) -> None:
        """Record what each method reads in the layer."""
        tokens = LayerTokens(concept, seen, self.frames, self.concepts, self.motion_heads)
        for method in self.methods:
            self.recorder._put(method, layer, READERS[method](tokens))
        if self.vectors is True or (self.vectors == "last" and layer == self.recorder.layers[-1]):
            self.recorder._put("concept vectors", layer, concept.output)
            self.recorder._put("video vectors", layer, seen.output)

    def feed_forward(self, block: Any, tokens: Tensor, temb: Tensor) -> Tensor:
        _, normed, _, gate = block.norm2.forward(tokens, tokens, temb)
        return tokens + gate * block.ff.forward(normed)

    def step(self, block: Any, layer: int, temb: Tensor, seen: Tokens) -> None:
        """Take the concept tokens through one block, with the text branch's modulation, gates and feed-forward."""
        tokens = self.tokens
        assert tokens is not None
        # The norm modulates a video and a text argument; the concept tokens go in as text, the other output is unused.
        _, normed, _, gate = block.norm1.forward(tokens, tokens, temb)
        query, key, value = self.project(block.attn1, normed)
        output = self.attend(query, key, value, seen)
        if layer in self.recorder.layers:
            self.read(block.attn1, layer, Tokens(query, key, value, output), seen)
        if layer < self.recorder.layers[-1]:
            tokens = tokens + gate * block.attn1.to_out[0].forward(output)
            self.tokens = self.feed_forward(block, tokens, temb)


def resolve_layers(layers: Sequence[int] | None, num_layers: int) -> tuple[int, ...]:
    """Sorted layer indices; None is the deep half, negative numbers count from the end.

    Raises ValueError for an empty choice or a layer that the model does not have.
    """
    chosen = range(num_layers // 2, num_layers) if layers is None else layers
    resolved = sorted({layer + num_layers if layer < 0 else layer for layer in chosen})
    if not resolved or resolved[0] < 0 or resolved[-1] >= num_layers:
        raise ValueError(f"layers must lie in 0..{num_layers - 1}, got {list(chosen)}")
    return tuple(resolved)


@contextmanager
def concept_attention(
    transformer: Any,
    concept_embeds: Tensor,
    *,
    layers: Sequence[int] | None = None,
    methods: Sequence[Method] = ("concept-attention",),
    vectors: Vectors = False,
    early_stop: bool = False,
    concepts: int | None = None,
    motion_heads: int = MOTION_HEADS,
) -> Iterator[Recorder]:
    """Record concept maps of every forward pass of a loaded CogVideoX transformer that runs inside the context.

    concept_embeds: `(concept token, text dim)` or `(1 or b, concept token, text dim)`, the text encoder's output for
        the concept's sub-words, unpadded. layers: which layers to read, None for the deep half.
    early_stop: leave out the blocks after the last layer read. The noise prediction then means nothing.
    concepts: how many concepts the tokens spell, None for one each. motion_heads: how many heads of a layer `imap`
        keeps. Both as of `attention.methods`.
    Yields a `Recorder`. On leaving, also by an exception, the model is as it was. Raises ValueError for a layer the
    model does not have, an unknown method, or embeddings of the wrong width.
    """
    blocks: nn.ModuleList = transformer.transformer_blocks
    chosen = resolve_layers(layers, len(blocks))
    unknown = sorted(set(methods) - set(METHODS))
    if unknown or not methods:
        raise ValueError(f"methods are {', '.join(METHODS)}; got {', '.join(unknown) or 'none'}")
    if motion_heads < 1:
        raise ValueError(f"motion_heads is at least 1, got {motion_heads}")
    embeds = concept_embeds if concept_embeds.ndim == 3 else concept_embeds[None]
    text_dim = transformer.patch_embed.text_proj.in_features
    if embeds.ndim != 3 or embeds.shape[1] == 0 or embeds.shape[2] != text_dim:
        raise ValueError(f"concept_embeds are (concept token, {text_dim}), got {tuple(concept_embeds.shape)}")

    recorder = Recorder(chosen)
    stream = ConceptStream(embeds, recorder, tuple(methods), vectors, concepts=concepts, motion_heads=motion_heads)
    with ExitStack() as undo:
        undo.callback(_watch_frames(transformer, stream).remove)
        for layer, block in enumerate(blocks[: chosen[-1] + 1]):
            _watch(undo, transformer, block, layer, stream, with_query=bool(NEED_QUERIES & set(methods)))
        if early_stop:
            undo.callback(setattr, transformer, "transformer_blocks", blocks)
            transformer.transformer_blocks = blocks[: chosen[-1] + 1]
        yield recorder


def _watch_frames(transformer: Any, stream: ConceptStream) -> Any:
    """Note how many steps in time the video tokens span, as the model embeds them."""

    def see_latents(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        latents = kwargs["image_embeds"] if "image_embeds" in kwargs else args[1]  # (b, t, c, h, w)
        stream.frames = latents.shape[1] // (transformer.config.patch_size_t or 1)

    return transformer.patch_embed.register_forward_pre_hook(see_latents, with_kwargs=True)


def _watch(
    undo: ExitStack, transformer: Any, block: Any, layer: int, stream: ConceptStream, *, with_query: bool
) -> None:
    """Attach the hooks of one block: see its attention, then take the concept tokens through it."""
    attn = block.attn1
    # Keyed by what is seen, cleared when the block is done, so that at most one block's tensors live.
    seen: dict[str, Tensor] = {}

    def see(name: str):
        def hook(_module: nn.Module, _args: tuple, output: Tensor) -> None:
            # A copy: the stock processor rotates queries and keys in place afterwards.
            seen[name] = output.clone()

        return hook

    def see_fused(_module: nn.Module, _args: tuple, output: Tensor) -> None:
        query, key, value = output.chunk(3, dim=-1)
        seen.update({"query": query, "key": key, "value": value})

    def see_output(_module: nn.Module, args: tuple) -> None:
        seen["output"] = args[0]

    def after_block(module: Any, args: tuple, kwargs: dict, _output: Any) -> None:
        inputs = dict(zip(("hidden_states", "encoder_hidden_states", "temb", "image_rotary_emb"), args, strict=False))
        inputs |= kwargs
        if layer == 0:
            stream.enter(transformer, inputs["hidden_states"].shape[0])
        video = _video_part(seen, attn.heads, inputs["encoder_hidden_states"].shape[1], inputs.get("image_rotary_emb"))
        seen.clear()
        stream.step(module, layer, inputs["temb"], video)

    fused = getattr(attn, "fused_projections", False)
    if fused:
        undo.callback(attn.to_qkv.register_forward_hook(see_fused).remove)
    else:
        undo.callback(attn.to_v.register_forward_hook(see("value")).remove)
    for name in ("query", "key") if with_query else ("key",):
        norm = getattr(attn, f"norm_{name[0]}")
        if norm is not None or not fused:
            source = norm if norm is not None else getattr(attn, f"to_{name[0]}")
            undo.callback(source.register_forward_hook(see(name)).remove)
    undo.callback(attn.to_out[0].register_forward_pre_hook(see_output).remove)
    undo.callback(block.register_forward_hook(after_block, with_kwargs=True).remove)


def _video_part(seen: dict[str, Tensor], heads: int, text_length: int, rope: tuple[Tensor, Tensor] | None) -> Tokens:
    """Cut the prompt off, split heads where that is still to be done, rotate queries and keys as the model does."""

    def split(name: str) -> Tensor:
        tensor = seen[name]
        if tensor.ndim == 3:
            tensor = rearrange(tensor, "b token (heads dim) -> b heads token dim", heads=heads)
        tensor = tensor[:, :, text_length:]
        return tensor if rope is None or name == "value" else apply_rotary_emb(tensor, rope)  # type: ignore[arg-type]

    query = split("query") if "query" in seen else None
    return Tokens(query, split("key"), split("value"), seen["output"][:, text_length:])
