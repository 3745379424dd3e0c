"""ConceptAttention inside the training step: the same maps as `vidconcept.attention`, with gradients and faster.

The concept tokens ride at the end of the text stream, so the stock blocks give them the text branch's modulation, gate
and feed-forward; one attention processor keeps them out of everyone else's sight. A test holds the two to be equal.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import apply_rotary_emb, get_1d_rotary_pos_embed
from torch import Tensor

from vidconcept.painting.kinds import IGNORE

# Of one kind of defect in a clip: fewer weigh more each, within limits.
USUAL_TOKENS = 24
LEAST_AND_MOST = (0.7, 2.5)


class ConceptProcessor:
    """Attention of a block over [text, concept, video] where text and video never attend to concepts.

    `logits` is `(b, concept token, video token)` of the last call, <o_c, o_x> before `to_out`. Products run in `dtype`.
    """

    def __init__(self, concepts: int, dtype: torch.dtype) -> None:
        self.concepts, self.dtype = concepts, dtype
        self.logits: Tensor | None = None

    def __call__(
        self, attn, hidden_states: Tensor, encoder_hidden_states: Tensor, attention_mask=None, image_rotary_emb=None
    ):
        text = encoder_hidden_states.shape[1]
        tokens = torch.cat([encoder_hidden_states, hidden_states], 1)
        query, key, value = (
            linear(tokens).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for linear in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = attn.norm_q(query), attn.norm_k(key)
        video_query, video_key = query[:, :, text:], key[:, :, text:]
        if image_rotary_emb is not None:
            video_query, video_key = (_rotate(x, image_rotary_emb) for x in (video_query, video_key))
        prompt = text - self.concepts
        everyone = torch.cat([query[:, :, :prompt], video_query], 2), torch.cat([key[:, :, :prompt], video_key], 2)
        shown = torch.cat([value[:, :, :prompt], value[:, :, text:]], 2)
        output = self._attend(*everyone, shown)  # (b, prompt + video, dim)
        concept_output = self._attend(
            query[:, :, prompt:text], torch.cat([key[:, :, prompt:text], video_key], 2), value[:, :, prompt:]
        )
        with torch.autocast(output.device.type, enabled=False):
            self.logits = concept_output.float() @ output[:, prompt:].float().transpose(1, 2)
        joined = attn.to_out[0](torch.cat([output[:, :prompt], concept_output, output[:, prompt:]], 1))
        return joined[:, text:], joined[:, :text]

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        with torch.autocast(query.device.type, enabled=False):
            if query.device.type == "cuda":
                output = F.scaled_dot_product_attention(query.to(self.dtype), key.to(self.dtype), value.to(self.dtype))
            else:
                # Explicit products beat the fused kernel on a CPU.
                scores = (query * query.shape[-1] ** -0.5).to(self.dtype) @ key.to(self.dtype).transpose(2, 3)
                output = torch.softmax(scores, -1) @ value.to(self.dtype)
        return output.transpose(1, 2).flatten(2)


def _rotate(x: Tensor, rope: Any) -> Tensor:
    rotated: Any = apply_rotary_emb(x, rope)
    return rotated


def attach(transformer: Any, concepts: int, dtype: torch.dtype) -> list[ConceptProcessor]:
    """Give every block its processor; the transformer now expects `concepts` tokens at the end of its text."""
    processors = [ConceptProcessor(concepts, dtype) for _ in transformer.transformer_blocks]
    for block, processor in zip(transformer.transformer_blocks, processors, strict=True):
        block.attn1.set_processor(processor)
    return processors


def read_logits(processor: ConceptProcessor) -> Tensor:
    """Of the last call. There must have been one."""
    assert processor.logits is not None
    return processor.logits


def rotary(head_dim: int, rows: Tensor, columns: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Rotary tables of a token grid, laid out as `get_3d_rotary_pos_embed`: each `(steps·rows·columns, head_dim)`."""
    sizes = (steps, len(rows), len(columns))
    tables = []
    for axis, positions in enumerate((torch.arange(steps, dtype=torch.float32), rows, columns)):
        dim = head_dim // 4 if axis == 0 else head_dim // 8 * 3
        shape = [1, 1, 1]
        shape[axis] = sizes[axis]
        pair: Any = get_1d_rotary_pos_embed(dim, positions, use_real=True)  # type: ignore[arg-type]
        tables.append([t.view(*shape, dim).expand(*sizes, dim) for t in pair])
    cos, sin = (torch.cat([table[k] for table in tables], -1).flatten(0, 2) for k in (0, 1))
    return cos, sin


def word_logits(logits: Sequence[Tensor], sub_words: Sequence[int]) -> Tensor:
    """Mean over layers and over each word's sub-words: `(b, word, video token)`."""
    mean = torch.stack(tuple(logits)).mean(0)
    return torch.stack([part.mean(1) for part in mean.split(list(sub_words), 1)], 1)


def alignment_loss(
    logits: Tensor, truth: Tensor, defects: Tensor, defect_weight: float, sample_weight: Tensor
) -> Tensor:
    """Cross-entropy of the maps against the truth at token scale.

    logits `(b, word, token)`; truth `(b, token)`, index of the word or `IGNORE`; defects `(word,)` bool, which words
    are defects; sample_weight `(b,)`. Tokens of defects weigh `defect_weight`, and more where the clip has few of their
    kind: else a pore of one token is nothing beside a stain.
    """
    each = F.cross_entropy(logits, truth, reduction="none", ignore_index=IGNORE)
    known = truth != IGNORE
    index = truth.clamp_max(len(defects) - 1)
    counts = F.one_hot(index, len(defects)).mul(known[..., None]).sum(1)  # (b, word)
    rarity = (USUAL_TOKENS / counts.gather(1, index).clamp_min(1)).sqrt().clamp(*LEAST_AND_MOST)
    weight = torch.where(defects[index], defect_weight * rarity, 1.0) * known * sample_weight[:, None]
    return (each * weight).sum() / weight.sum().clamp_min(1)
