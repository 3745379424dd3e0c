"""What this machine can run: codecs, GPU, cores and memory that may be used, weights on disk."""

from __future__ import annotations

import math
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import av
import torch
from huggingface_hub import constants

from vidconcept.commands.flags import name_options
from vidconcept.errors import ModelError
from vidconcept.machine import usable_cores, usable_memory
from vidconcept.models.fit import RESERVED_BYTES, Needs, Way, describe_fit, format_gb
from vidconcept.models.folder import find_folder
from vidconcept.models.presets import Preset, presets
from vidconcept.models.published import find_needs
from vidconcept.models.text import cache_dir
from vidconcept.wording import format_count

_CODECS = {"H.264": "h264", "HEVC": "hevc", "VP9": "vp9", "AV1": "libdav1d", "FFV1": "ffv1", "MJPEG": "mjpeg"}


@dataclass(frozen=True)
class ModelState:
    """A preset, whether its weights are on this machine, and whether its memory fits. path: None when not here.

    needs: what it takes, where that is known part by part.
    """

    preset: Preset
    path: Path | None
    problem: str
    fits: str
    needs: Needs | None = None

    @property
    def estimates_gb(self) -> dict[str, float] | None:
        """By what `offload` says; None where nothing is known of the model's parts."""
        if self.needs is None:
            return None
        ways = ("none", "model", "group")
        return {offload: round((self.needs.peak(Way(offload)) + RESERVED_BYTES) / 1e9, 1) for offload in ways}


def list_models() -> list[ModelState]:
    states = []
    for preset in presets().values():
        try:
            path, problem = find_folder(preset).path, ""
        except ModelError as error:
            path, problem = None, str(error)
        dtype = str(preset.settings.get("dtype", "float32"))
        needs = find_needs(preset.name, dtype, has_gpu=torch.cuda.is_available())
        states.append(ModelState(preset, path, problem, _say_fit(preset, needs), needs))
    return states


def _say_fit(preset: Preset, needs: Needs | None) -> str:
    gpu_gb = measure_gpu_memory_gb()
    if preset.source == "embedded":
        return "runs on the CPU"
    if needs is not None:
        memory = 1e9 * gpu_gb or usable_memory()
        return name_options(describe_fit(needs, memory, has_gpu=bool(gpu_gb)))
    if gpu_gb >= preset.memory_gb:
        return "fits this GPU"
    if gpu_gb:
        return f"needs {preset.memory_gb:g} GB, this GPU has {gpu_gb:.0f} GB"
    return f"needs {preset.memory_gb:g} GB of GPU memory"


def measure_gpu_memory_gb() -> float:
    return torch.cuda.get_device_properties(0).total_memory / 1e9 if torch.cuda.is_available() else 0.0


def describe_machine() -> list[tuple[str, str]]:
    """Facts about the machine, as (name, value) lines."""
    decoders = [name for name, codec in _CODECS.items() if codec in av.codecs_available]
    missing = [name for name in _CODECS if name not in decoders]
    writes = [name for name, codec in (("h264", "libx264"), ("vp9", "libvpx-vp9")) if codec in av.codecs_available]
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none: the embedded model runs on the CPU"
    memory = usable_memory()
    memory_said = f"{format_gb(memory)} memory, " if math.isfinite(memory) else ""
    cache = Path(constants.HF_HUB_CACHE)
    disk = next(p for p in [cache, *cache.parents] if p.exists())
    return [
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        ("CPU", f"{format_count(usable_cores(), 'core')}, {memory_said}torch {torch.__version__}"),
        ("GPU", gpu + (f", {measure_gpu_memory_gb():.0f} GB" if measure_gpu_memory_gb() else "")),
        ("reads", ", ".join(decoders) + (f" (not: {', '.join(missing)})" if missing else "")),
        ("writes", ", ".join(writes) or "nothing: PyAV came without libx264 and libvpx"),
        ("weights in", f"{cache} ({shutil.disk_usage(disk).free / 1e9:.0f} GB free)"),
        ("text cache", str(cache_dir())),
    ]
