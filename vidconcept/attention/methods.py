"""Ways to read a concept's map from one layer's tokens: pure maths on tensors, all from the same forward pass.

`concept-attention`, `value-space` and `cross-attention` are dot products (ConceptAttention, arXiv 2502.04320).
`gramcol` and `imap` are those of IMAP (Jun et al., CVPR 2026, arXiv 2603.02919): a concept picks a patch of each frame,
and its map is how much every other patch of the frame resembles it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from vidconcept.attention.method_names import Method

# IMAP takes the five best heads of each layer.
MOTION_HEADS = 5
# Two values standardised against each other leave only which of them is larger.
FEWEST_CONCEPTS = 3


@dataclass(frozen=True)
class Tokens:
    """What an attention shows of some tokens. query, key, value: `(b, heads, token, dim)`, None where not picked up.

    output: `(b, token, heads·dim)`, before `to_out`; None of concept tokens that do not attend.
    """

    query: Tensor | None
    key: Tensor | None
    value: Tensor | None
    output: Tensor | None


@dataclass(frozen=True)
class LayerTokens:
    """A layer's concept tokens beside its video tokens, the latter ordered (time, row, column).

    frames: how many steps in time the video tokens span. concepts: how many concepts the concept tokens spell, where
    some take several. motion_heads: how many heads `imap` keeps.
    """

    concept: Tokens
    video: Tokens
    frames: int
    concepts: int
    motion_heads: int = MOTION_HEADS


def dot_outputs(layer: LayerTokens) -> Tensor:
    """<o_c, o_x>, summed over heads: `(b, concept token, video token)` float32."""
    concept, video = layer.concept.output, layer.video.output
    assert concept is not None
    assert video is not None
    return concept.float() @ video.float().transpose(1, 2)


def dot_values(layer: LayerTokens) -> Tensor:
    """<v_c, v_x>, summed over heads: `(b, concept token, video token)` float32."""
    return _join_heads(layer.concept.value) @ _join_heads(layer.video.value).transpose(1, 2)


def dot_queries_keys(layer: LayerTokens) -> Tensor:
    """<k_c, q_x>, the mean over heads: `(b, concept token, video token)` float32."""
    assert layer.video.query is not None
    # The mean over heads of dot products is the dot product of the concatenated heads, divided by their number.
    heads = layer.video.query.shape[1]
    return _join_heads(layer.concept.key) @ _join_heads(layer.video.query).transpose(1, 2) / heads


def _join_heads(tokens: Tensor | None) -> Tensor:
    assert tokens is not None
    return rearrange(tokens, "b heads token dim -> b token (heads dim)").float()


def gram_columns(layer: LayerTokens) -> Tensor:
    """GramCol, summed over heads: `(b, concept token, video token)` float32."""
    return rearrange(standardise_columns(layer).sum(1), "b c f p -> b c (f p)")


def motion_columns(layer: LayerTokens) -> Tensor:
    """IMAP: the mean of GramCol over the motion heads, `(b, concept token, video token)` float32."""
    columns = standardise_columns(layer)
    chosen = motion_heads(frame_separation(split_by_frame(layer)), layer.motion_heads)
    chosen = chosen[:, :, None, None, None].expand(-1, -1, *columns.shape[2:])
    return rearrange(columns.gather(1, chosen).mean(1), "b c f p -> b c (f p)")


READERS: dict[Method, Callable[[LayerTokens], Tensor]] = {
    "concept-attention": dot_outputs,
    "cross-attention": dot_queries_keys,
    "value-space": dot_values,
    "gramcol": gram_columns,
    "imap": motion_columns,
}
NEED_QUERIES: frozenset[Method] = frozenset({"cross-attention", "gramcol", "imap"})
# Maps that tell concepts apart and say nothing by themselves: where concepts agree everywhere, they are 0 everywhere.
STANDARDISED: frozenset[Method] = frozenset({"gramcol", "imap"})


def split_by_frame(layer: LayerTokens) -> Tensor:
    """Attention outputs of the video tokens, `(b, heads, frame, patch, dim)` float32."""
    assert layer.concept.key is not None
    assert layer.video.output is not None
    heads = layer.concept.key.shape[1]
    return rearrange(layer.video.output, "b (f p) (heads d) -> b heads f p d", f=layer.frames, heads=heads).float()


def pick_patches(layer: LayerTokens) -> Tensor:
    """Number within its frame of the patch with the largest <k_c, q_x>: `(b, heads, concept, frame)`."""
    assert layer.concept.key is not None
    assert layer.video.query is not None
    products = layer.concept.key.float() @ layer.video.query.float().transpose(2, 3)
    return rearrange(products, "b heads c (f p) -> b heads c f p", f=layer.frames).argmax(-1)


def standardise_columns(layer: LayerTokens) -> Tensor:
    """Column of the Gram matrix of attention outputs that each picked patch has, `(b, heads, concept, frame, patch)`.

    Each value is standardised (less a mean, over a standard deviation): with `FEWEST_CONCEPTS` concepts or more against
    those of all concept tokens; with fewer, which would leave nothing or a sign, against the columns of all patches of
    the same frame, that is against a patch picked by chance. Where these do not differ the value is 0, so a head in
    which every concept picks the same patch has no say.
    """
    outputs, picked = split_by_frame(layer), pick_patches(layer)
    picks = rearrange(picked, "b heads c f -> b heads f c 1").expand(-1, -1, -1, -1, outputs.shape[-1])
    columns = rearrange(outputs.gather(3, picks) @ outputs.transpose(3, 4), "b heads f c p -> b heads c f p")
    if layer.concepts >= FEWEST_CONCEPTS:
        mean, deviation = columns.mean(2, keepdim=True), columns.std(2, keepdim=True)
        is_same = (picked == picked[:, :, :1]).all(2)[:, :, None, :, None]
    else:
        mean, deviation = (x[:, :, None] for x in _gram_statistics(outputs))
        is_same = torch.zeros((), dtype=torch.bool, device=columns.device)
    # What rounding alone makes differ counts as the same.
    is_same = is_same | (deviation <= 16 * torch.finfo(columns.dtype).eps * columns.abs().amax(2, keepdim=True))
    return torch.where(is_same, 0.0, (columns - mean) / torch.where(is_same, 1.0, deviation))


def _gram_statistics(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the Gram matrix's columns in each frame, `(b, heads, frame, patch)`."""
    patches = outputs.shape[3]
    mean = outputs.mean(3, keepdim=True)
    centred = outputs - mean
    covariance = centred.transpose(3, 4) @ centred / max(patches - 1, 1)
    variance = ((outputs @ covariance) * outputs).sum(-1)
    return (outputs * mean).sum(-1), variance.clamp(min=0).sqrt()


def frame_separation(outputs: Tensor) -> Tensor:
    """Calinski-Harabasz index of tokens `(b, heads, frame, patch, dim)` labelled by their frame: `(b, heads)`.

    The variance between frames over that within them, each by its degrees of freedom. A single frame is not separated
    from anything: 0. Infinite where frames differ and nothing differs within them.
    """
    frames, patches = outputs.shape[2:4]
    if frames == 1:
        return outputs.new_zeros(outputs.shape[:2])
    centres = outputs.mean(3, keepdim=True)
    between = patches * (centres - centres.mean(2, keepdim=True)).square().sum((2, 3, 4)) / (frames - 1)
    within = (outputs - centres).square().sum((2, 3, 4)) / max(frames * (patches - 1), 1)
    return torch.where(between > 0, between / within, 0.0)


def motion_heads(separation: Tensor, count: int) -> Tensor:
    """Numbers of the `count` heads that separate frames best, the best first; of fewer heads all: `(b, count)`."""
    return separation.topk(min(count, separation.shape[1]), dim=1).indices
