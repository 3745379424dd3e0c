"""The weights of the network that finds where a defect ends, as the package carries them."""

from functools import cache
from pathlib import Path

from safetensors.numpy import load_file

from vidconcept.tracks.edge_net import EdgeNet

_WEIGHTS = Path(__file__).with_name("weights") / "edges" / "edges.safetensors"


@cache
def load_edge_net() -> EdgeNet:
    """The network, read once a process."""
    return EdgeNet(load_file(_WEIGHTS))
