"""What the embedded model costs: multiply-accumulates of one window, to the last layer that is read.

    python -m linecam.cost [--model FOLDER] [--height 256] [--width 448]

Counts convolutions, matrix products and attention by torch's own counter, and divides by the window's frames.
One JSON object on stdout.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from linecam.evaluate import WINDOW, open_model
from vidconcept.models.readout import read_scores


@register_flop_formula(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu)
def count_cpu_attention(query, key, value, *args, out_shape=None, **kwargs) -> int:
    """Of attention on a CPU, which the counter does not know by itself: two products of queries, keys and channels.

    query, key, value: shapes `(b, heads, n, channels)`.
    """
    b, heads, queries, channels = query
    return 2 * b * heads * queries * key[2] * (channels + value[3])


@register_flop_formula(torch.ops.mkldnn._convolution_pointwise)
def count_fused_convolution(image, weight, *args, out_shape: Any = None, **kwargs) -> int:
    """Of a convolution with its limits inside, as the trunk runs on a CPU. weight: shape `(out, in / groups, h, w)`."""
    _, inputs, height, width = weight
    return 2 * math.prod(out_shape) * inputs * height * width


def count_gmac(model, height: int, width: int) -> dict[str, float]:
    """Billions of multiply-accumulates a frame, of the codec, of the transformer, and of both."""
    frames = np.zeros((WINDOW, height, width, 3), np.uint8)
    with FlopCounterMode(display=False) as codec:
        model.encode(frames)
    with FlopCounterMode(display=False) as whole:
        read_scores(model, frames)
    # The counter counts a multiplication and an addition as two.
    a_frame = [counter.get_total_flops() / 2e9 / WINDOW for counter in (codec, whole)]
    return {
        "codec": round(a_frame[0], 3),
        "transformer": round(a_frame[1] - a_frame[0], 3),
        "model": round(a_frame[1], 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a pipeline folder; default the one in the package")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=448)
    options = parser.parse_args(arguments)
    counted = count_gmac(open_model(options.model), options.height, options.width)
    print(json.dumps({"window": [WINDOW, options.height, options.width], "gmac_a_frame": counted}, indent=1))


if __name__ == "__main__":
    main()
