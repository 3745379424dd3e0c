"""The temporal smoothing methods. A new one is a function and an entry here; nothing else names it.

A method takes `(steps_nearby, index, stretch, motions, settings)`: latent steps that motion joins to a stretch of
frames, the index of the one that covers the stretch, the positions of its frames, the motions between frames by
position, and `SmoothSettings`. It yields the scores of each frame of the stretch, `(concept, h, w)` float32 in [0, 1];
anything else ends the run with an error that names the method.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Smoother:
    """offered: a choice of the setting `smooth`; the others are baselines of the benchmarks.

    follows_motion: it gives scores of frames whose latent step is not there, from others along the motion.
    needs_pictures: it looks at the frames themselves.
    """

    function: str
    summary: str
    offered: bool = True
    follows_motion: bool = False
    needs_pictures: bool = True


_HERE = "vidconcept.temporal"
SMOOTHERS: dict[str, Smoother] = {
    "none": Smoother(f"{_HERE}.baselines:hold", "each latent step alone, bilinear in space"),
    "nearest": Smoother(f"{_HERE}.baselines:hold_blocks", "each latent step alone, in blocks", offered=False),
    "linear": Smoother(f"{_HERE}.baselines:interpolate", "linear between latent steps", offered=False),
    "ema": Smoother(f"{_HERE}.baselines:average_past", "exponential moving average over latent steps"),
    "gaussian": Smoother(f"{_HERE}.baselines:average_around", "Gaussian mean over latent steps"),
    "flow": Smoother(
        f"{_HERE}.methods:average_along_flow",
        "robust mean of the tokens along the motion",
        follows_motion=True,
        needs_pictures=False,
    ),
    "energy": Smoother(
        f"{_HERE}.methods:minimise_energy",
        "energy on a key frame and guided filter, along the motion",
        follows_motion=True,
    ),
}
OFFERED = tuple(name for name, smoother in SMOOTHERS.items() if smoother.offered)
