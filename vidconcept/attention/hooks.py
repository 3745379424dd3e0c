"""Concept stream beside a diffusion transformer: hooks that read the model and never write to it.

ConceptAttention (Helbling et al., ICML 2025, arXiv 2502.04320, section 4) on stock blocks of diffusers. The model's own
forward pass runs untouched, so its output stays what it was bit for bit. Hooks pick up each block's video keys, values,
queries and attention outputs; the concept tokens then take the same step with the text side's weights, attending to
[concept, video] and never to the prompt. What differs between models is in `families` and `blocks`.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from operator import index
from threading import get_ident
from typing import Any, SupportsIndex

from torch import Tensor, nn

from vidconcept.attention.blocks.kinds import BlockKind
from vidconcept.attention.families import Family, KeptBlocks, find_family
from vidconcept.attention.method_names import METHODS, Method, why_missing
from vidconcept.attention.methods import MOTION_HEADS, NEED_QUERIES
from vidconcept.attention.recorder import Recorder, Vectors
from vidconcept.attention.stream import ConceptStream
from vidconcept.attention.undisturbed import (
    UnheededBackend,
    check_computed_once,
    check_undisturbed,
    find_unheeded_backend,
)
from vidconcept.errors import ModelError

__all__ = ["METHODS", "ConceptStream", "Method", "Recorder", "Vectors", "concept_attention", "resolve_layers"]


def resolve_layers(layers: Sequence[int] | None, num_layers: int) -> tuple[int, ...]:
    """Sorted layer indices; None is the deep half, negative numbers count from the end.

    Raises ValueError for an empty choice, a layer that the model does not have, and what is no sequence of numbers.
    """
    try:
        chosen = [index(layer) for layer in (range(num_layers // 2, num_layers) if layers is None else layers)]
    except TypeError as error:
        raise ValueError(f"layers are a sequence of whole numbers, got {layers!r}") from error
    resolved = sorted({layer + num_layers if layer < 0 else layer for layer in chosen})
    if not resolved or resolved[0] < 0 or resolved[-1] >= num_layers:
        raise ValueError(f"layers must lie in 0..{num_layers - 1}, got {chosen}")
    return tuple(resolved)


@contextmanager
def concept_attention(
    transformer: Any,
    concept_embeds: Tensor,
    *,
    layers: Sequence[int] | None = None,
    methods: Sequence[Method] | None = None,
    vectors: Vectors = False,
    early_stop: bool = False,
    concepts: int | Sequence[int] | None = None,
    motion_heads: int = MOTION_HEADS,
) -> Iterator[Recorder]:
    """Record concept maps of every forward pass of a loaded transformer that runs inside the context.

    transformer: of a class in `families.FAMILIES`; layers are numbered through all its blocks, in the order in which
        they run.
    concept_embeds: `(concept token, text dim)` or `(1 or b, concept token, text dim)`, the text encoder's output for
        the concept's sub-words, unpadded. layers: which layers to read, None for the deep half.
    methods: None for the first that the transformer offers, `concept-attention` wherever text attends to video.
    early_stop: leave out the blocks after the last layer read. The noise prediction then means nothing, and no other
        context can be opened on the transformer meanwhile, and none that is open may read later layers.
    concepts: how many concepts the tokens spell, or how many tokens each of them takes, None for one each.
    motion_heads: how many heads of a layer `imap` keeps. Both as of `attention.methods`.
    vectors: whether attention outputs are recorded, of all layers read or of the "last"; see `Recorder`.
    Yields a `Recorder`. On leaving, also by an exception, the model is as it was. Raises ValueError for a transformer
    that is not read, a layer or a method that it does not have, embeddings of the wrong width or no tensor, or another
    `vectors`, and ModelError where caches, skipped layers, another context's early stop, several devices or
    torch.compile change what hooks see. A pass that keeps gradients with gradient checkpointing raises ModelError, too,
    and so does one in another thread than the context's (`asyncio.to_thread` belongs to it), or beside another. Warns
    of an attention backend without effect.
    """
    family = find_family(transformer)
    blocks = family.layers_of(transformer)
    chosen = resolve_layers(layers, len(blocks))
    if isinstance(methods, str):
        raise ValueError(f"methods are a sequence of names, got {methods!r}")
    methods = tuple(family.methods[:1] if methods is None else methods)
    _check_methods(type(transformer).__name__, family, methods)
    if not isinstance(motion_heads, SupportsIndex) or motion_heads < 1:
        raise ValueError(f"motion_heads is a whole number of at least 1, got {motion_heads!r}")
    if vectors not in (True, False, "last"):
        raise ValueError(f'vectors are True, False or "last", got {vectors!r}')
    if not isinstance(concept_embeds, Tensor):
        raise ValueError(f"concept_embeds are a torch tensor, got {type(concept_embeds).__name__}")
    embeds = concept_embeds if concept_embeds.ndim == 3 else concept_embeds[None]
    text_dim = family.text_width(transformer)
    if embeds.ndim != 3 or embeds.shape[1] == 0 or embeds.shape[2] != text_dim:
        raise ValueError(f"concept_embeds are (concept token, {text_dim}), got {tuple(concept_embeds.shape)}")
    counts = _token_counts(concepts, embeds.shape[1])

    if unheeded := find_unheeded_backend(transformer):
        # Two frames of the standard library's lie between here and the caller.
        warnings.warn(unheeded, UnheededBackend, stacklevel=3)
    recorder = Recorder(chosen)
    stream = ConceptStream(family, embeds, recorder, methods, vectors, counts=counts, motion_heads=motion_heads)
    with attached(transformer, stream, early_stop=early_stop):
        yield recorder


@contextmanager
def attached(transformer: Any, stream: ConceptStream, *, early_stop: bool) -> Iterator[None]:
    """Send a stream through every forward pass that runs inside the context; see `concept_attention`."""
    check_undisturbed(transformer)
    blocks, last = stream.family.layers_of(transformer), stream.recorder.layers[-1]
    if early_stop:
        _check_unread(transformer, last)
    names = {"query", "key", "value"} if NEED_QUERIES & set(stream.methods) else {"key", "value"}
    with ExitStack() as undo:
        undo.enter_context(_opened(transformer, stream))
        _watch_call(undo, transformer, stream)
        for layer, (block, kind) in enumerate(blocks[: last + 1]):
            _watch_block(undo, transformer, kind, block, layer, stream, names)
        if early_stop:
            _leave_out(undo, transformer, stream.family, last + 1)
        yield


def _check_methods(name: str, family: Family, methods: Sequence[str]) -> None:
    unknown = sorted({str(method) for method in methods} - set(METHODS))
    if unknown or not methods:
        raise ValueError(f"methods are {', '.join(METHODS)}; got {', '.join(unknown) or 'none'}")
    missing = [method for method in methods if method not in family.methods]
    if missing:
        why, offered = why_missing(family.methods), ", ".join(family.methods)
        raise ValueError(f"{name} has no {', '.join(missing)}: {why}. It has {offered}")


def _token_counts(concepts: int | Sequence[int] | None, tokens: int) -> tuple[int, ...]:
    """How many tokens each concept takes. A bare number of concepts does not say; they are taken as even as can be.

    Raises ValueError for counts that do not add up, or are no whole numbers.
    """
    if concepts is None:
        return (1,) * tokens
    try:
        counts = tuple(map(index, concepts)) if isinstance(concepts, Iterable) else index(concepts)
    except TypeError as error:
        raise ValueError(f"concepts are a whole number or a sequence of them, got {concepts!r}") from error
    if isinstance(counts, int):
        if not 1 <= counts <= tokens:
            raise ValueError(f"{tokens} concept tokens spell 1 to {tokens} concepts, got {counts}")
        return tuple(tokens // counts + (number < tokens % counts) for number in range(counts))
    if sum(counts) != tokens or min(counts, default=0) < 1:
        raise ValueError(f"{list(counts)} tokens do not add up to the {tokens} concept tokens")
    return counts


def _by_name(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a module's forward pass by their names, whatever has been wrapped around it."""
    return inspect.signature(type(module).forward).bind(module, *args, **kwargs).arguments


# The transformers and streams whose context is open where the code runs. Each thread has its own; `asyncio.to_thread`
# hands them on.
_OPEN: ContextVar[tuple[tuple[Any, ConceptStream], ...]] = ContextVar("open concept streams", default=())


@contextmanager
def _opened(transformer: Any, stream: ConceptStream) -> Iterator[None]:
    _OPEN.set((*_OPEN.get(), (transformer, stream)))
    try:
        yield
    finally:
        # Not by a token: a generator can be left from elsewhere than it was entered.
        _OPEN.set(tuple(one for one in _OPEN.get() if one[1] is not stream))


_MIXED = (
    "this transformer is being read in another thread, and this pass would mix with what is read. Next: let threads "
    "take turns, or give each a transformer; passes of one context run in its thread, or in `asyncio.to_thread`, one "
    "after the other"
)


def _check_own(stream: ConceptStream) -> None:
    if all(one is not stream for _, one in _OPEN.get()):
        raise ModelError(_MIXED)


def _check_unread(transformer: Any, last: int) -> None:
    """Raises ModelError where another open context reads layers after the last one that is kept."""
    latest = max((one.recorder.layers[-1] for module, one in _OPEN.get() if module is transformer), default=last)
    if latest > last:
        raise ModelError(
            f"another context on this transformer reads layer {latest}, which `early_stop=True` after layer {last} "
            "leaves out. Next: leave that context first, or do without `early_stop`"
        )


def _watch_call(undo: ExitStack, transformer: Any, stream: ConceptStream) -> None:
    """Attach the hooks of the whole pass: note what it is called with, and refuse what would mix with it."""
    # The thread of the pass under way.
    running: dict[str, int] = {}

    def see_call(module: nn.Module, args: tuple, kwargs: dict) -> None:
        if module is not transformer:
            raise ModelError(
                "this transformer was copied while it was being read, and the hooks with it. "
                "Next: copy it before the context is opened"
            )
        _check_own(stream)
        if running.setdefault("thread", get_ident()) != get_ident():
            raise ModelError(_MIXED)
        check_computed_once(transformer)
        stream.start(transformer, _by_name(module, args, kwargs))

    def see_end(module: nn.Module, args: tuple, output: Any) -> None:
        if running.get("thread") == get_ident():
            running.clear()

    undo.callback(transformer.register_forward_pre_hook(see_call, with_kwargs=True).remove)
    # Also where the pass fails.
    undo.callback(transformer.register_forward_hook(see_end, always_call=True).remove)


def _watch_block(
    undo: ExitStack,
    transformer: Any,
    kind: BlockKind,
    block: Any,
    layer: int,
    stream: ConceptStream,
    names: set[str],
) -> None:
    """Attach the hooks of one block: see its attention, then take the concept tokens through it."""
    # Both are cleared when the concept tokens are through, so that at most one block's tensors live.
    seen: dict[str, Tensor] = {}
    inputs: dict[str, Any] = {}

    def see_inputs(module: nn.Module, args: tuple, kwargs: dict) -> None:
        # A pass that began before the context was opened comes here first.
        _check_own(stream)
        inputs.update(_by_name(module, args, kwargs))

    def go_through() -> None:
        _check_own(stream)
        with _evaluating(transformer if layer == 0 else block):
            if layer == 0:
                stream.enter(transformer)
            stream.step(kind, block, layer, {**inputs, "text_tokens": stream.text_tokens}, seen)
        seen.clear()
        inputs.clear()

    undo.callback(block.register_forward_pre_hook(see_inputs, with_kwargs=True).remove)
    kind.watch(block, seen, names, go_through, undo)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """No dropout for the concept tokens: what they drew at random, the model's own would draw no more."""
    in_training = [part for part in module.modules() if part.training]
    for part in in_training:
        part.training = False
    try:
        yield
    finally:
        for part in in_training:
            part.training = True


def _leave_out(undo: ExitStack, transformer: Any, family: Family, kept: int) -> None:
    """Cut the transformer's lists of blocks after the first `kept`, until the context is left."""
    for name, _kind in family.blocks:
        blocks: nn.ModuleList = getattr(transformer, name)
        undo.callback(setattr, transformer, name, blocks)
        setattr(transformer, name, KeptBlocks(blocks[:kept]))
        kept = max(kept - len(blocks), 0)
