"""Whether a model fits into a memory, and what to set where it does not: arithmetic on what `models.memory` finds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

# Bytes of a weight in the linear layers that are quantized, with its share of the scales: int8 and fp8 have one scale a
# row, nf4 one of a byte for every 64 weights, and a float32 for every 256 of these.
QUANTIZED_BYTES = {"int8": 1.0, "fp8": 1.0, "nf4": 0.5 + 1 / 64 + 4 / (64 * 256)}
# What a process and the driver take for themselves; assumed, not measured.
RESERVED_BYTES = 600_000_000
# Estimates are trusted this far: what is larger than the memory by more is refused.
TRUST = 1.15


@dataclass(frozen=True)
class Way:
    """How a model is put on a device. quantize: none, int8, fp8, nf4. tiled: whether the VAE encodes tile by tile."""

    offload: str = "none"
    quantize: str = "none"
    tiled: bool = False

    @property
    def settings(self) -> str:
        """As messages name them; empty where nothing is set."""
        named = [("offload", self.offload), ("quantize", self.quantize)]
        parts = [f"`{key}={value}`" for key, value in named if value != "none"]
        return " and ".join([*parts, *(["`vae_tiling=on`"] if self.tiled else [])])


# In the order of what they cost: time, then some percent of the maps.
WAYS = tuple(Way(offload, tiled=tiled) for tiled, offload in product((False, True), ("none", "model", "group")))

# A processor has no other memory to move weights to.
WAYS_OF_CPU = tuple(way for way in WAYS if way.offload == "none")


@dataclass(frozen=True)
class Needs:
    """Bytes of a model and a window, part by part. `…_pass`: the most that a window needs beside the weights.

    itemsize: bytes of a weight. block: of the largest block of the transformer; rest: of all that is in no block.
    linear: how many weights the linear layers of the blocks have, those of the largest block, of the largest layer.
    """

    itemsize: int
    text_encoder: int
    codec: int
    codec_pass: int
    codec_pass_tiled: int
    transformer: int
    transformer_pass: int
    block: int
    rest: int
    linear: tuple[int, int, int]

    def peak(self, way: Way) -> int:
        """The most that is on the device at once. The text encoder is gone before the others come.

        none: VAE and transformer side by side. model: one of the two at a time. group: the VAE, and of the transformer
        one block at a time; the text encoder runs on the processor.
        """
        transformer, block, at_work = self.transformer, self.block, self.transformer_pass
        if way.quantize != "none":
            saved = self.itemsize - QUANTIZED_BYTES[way.quantize]
            transformer -= int(self.linear[0] * saved)
            block -= int(self.linear[1] * saved)
            # For the product a layer's weight is made whole.
            at_work += self.linear[2] * self.itemsize
        encoding = self.codec_pass_tiled if way.tiled else self.codec_pass
        if way.offload == "none":
            return max(self.text_encoder, self.codec + transformer + max(encoding, at_work))
        if way.offload == "model":
            return max(self.text_encoder, self.codec + encoding, transformer + at_work)
        return self.codec + max(encoding, self.rest + block + at_work)

    def find_way(self, memory: float, *, quantize: str = "none", ways: tuple[Way, ...] = WAYS) -> Way | None:
        """The first way that fits into so many bytes; None where none does."""
        asked = (Way(way.offload, quantize, way.tiled) for way in ways)
        return next((way for way in asked if self.peak(way) + RESERVED_BYTES <= memory), None)


def format_gb(size: float) -> str:
    return f"{size / 1e9:.1f} GB"


def describe_fit(needs: Needs, memory: float, *, has_gpu: bool) -> str:
    """What a model needs and how it fits: into a GPU's memory, or without one into that of the machine."""
    own = needs.peak(Way()) + RESERVED_BYTES
    place = f"this GPU has {format_gb(memory)}" if has_gpu else f"this machine has {format_gb(memory)}"
    text = f"needs about {format_gb(own)} with {8 * needs.itemsize} bits a weight (estimate), {place}"
    if own <= memory:
        return text + ("" if has_gpu else "; without a GPU it is very slow")
    way = needs.find_way(memory, ways=WAYS if has_gpu else WAYS_OF_CPU)
    if way is None:
        return text + ": smaller `height` and `width`, or fewer `window_frames`"
    return text + f"; with {way.settings} about {format_gb(needs.peak(way) + RESERVED_BYTES)}"
