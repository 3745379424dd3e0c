"""The memory of good parts: learnt by `calibrate`, written beside its TOML, bound to the weights that made it."""

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from vidconcept.errors import InputError, UsageError
from vidconcept.rarity.distances import Usual
from vidconcept.rarity.memory import Memory
from vidconcept.written import open_own_bytes

KIND = "vidconcept good parts"


def join_memories(memories: Sequence[Memory]) -> tuple[Memory, list[int]]:
    """One memory of several films, one behind the other with a cut between, and the first position of each film."""
    whole, starts, latents = Memory(tokens=sum(memory.count for memory in memories)), [], 0
    for memory in memories:
        start = len(whole.cuts)
        starts.append(start)
        whole.shifts += memory.shifts
        whole.cuts += [bool(start), *memory.cuts[1:]]
        for latent, (position, vectors, sought) in memory.steps.items():
            whole.steps[latents + latent] = (start + position, vectors, sought)
        latents += memory.last_latent + 1
    whole.parts = [(0, 0, 0)]
    whole.last_latent = latents - 1
    return whole, starts


def name_memory(config: Path) -> Path:
    """Where the memory lies that the TOML of a calibration names: beside it, under a name that no other TOML has."""
    return config.with_name(f"{config.name}.rarity.safetensors")


def write_good_parts(path: Path, memory: Memory, usual: Usual, weights: str) -> None:
    """usual: distances among good parts. weights: fingerprint of the model."""
    tensors, facts = memory.to_tensors()
    with open_own_bytes(path) as file:
        file.write(
            save(
                tensors | {"limits": usual.limits, "distances": usual.distances},
                metadata=facts | {"kind": KIND, "weights": weights, "largest": repr(usual.largest)},
            )
        )


def check_good_parts(path: Path, weights: str) -> None:
    """Raises InputError where the file is not a memory of good parts, UsageError where other weights made it."""
    try:
        with safe_open(path, framework="numpy") as stored:
            facts = stored.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"rarity = {path}: no memory of good parts is there ({error}). Next: vidconcept calibrate GOOD.mp4, "
            "or `rarity=auto`"
        ) from error
    if facts.get("kind") != KIND:
        raise InputError(f"rarity = {path} is not a memory of good parts. Next: one that vidconcept calibrate wrote")
    if facts["weights"] != weights:
        raise UsageError(
            f"rarity = {path} was learnt with other weights ({facts['weights']}, these are {weights}). "
            "Next: calibrate again with these, or `rarity=auto`"
        )


def read_good_parts(path: Path, weights: str) -> tuple[Memory, Usual]:
    """The memory and its usual distances. Raises as `check_good_parts`."""
    check_good_parts(path, weights)
    with safe_open(path, framework="numpy") as stored:
        facts = stored.metadata()
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a dict
        usual = Usual(tensors["limits"], tensors["distances"], float(facts["largest"]))
        return Memory.from_tensors(tensors, facts), usual
