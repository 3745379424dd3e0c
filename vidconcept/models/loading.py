"""Loading components of a pipeline folder: the device, the precision, and every fault as one error of the model."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging

from vidconcept.attention.undisturbed import UnheededBackend, find_unheeded_backend
from vidconcept.errors import ModelError
from vidconcept.models import engine
from vidconcept.models.placement import has_own_memory
from vidconcept.models.quiet import silence
from vidconcept.models.text_encoders import is_out_of_memory, summarise_error
from vidconcept.settings import TrackSettings


def pick_device(name: str) -> torch.device:
    """The device asked for, or the best one. Raises ModelError when it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        # There and back: `meta` takes tensors and gives none.
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        # After its first sentence torch lists every backend that it has.
        reason = str(error).splitlines()[0].split(". ")[0].removesuffix(".")
        raise ModelError(f"device {name!r} is not usable here: {reason}. Next: `device=cpu`") from error
    return device


# While they load, the libraries change how torch makes modules, for the whole process.
_LOADING = threading.RLock()


@contextmanager
def take_turns_loading() -> Iterator[None]:
    """One model after the other, and neither bars nor remarks of the libraries' own between ours."""
    with _LOADING, silence(diffusers_logging):
        yield


def prepare_machine(
    settings: TrackSettings, report: Callable[[str], None]
) -> tuple[torch.device, torch.dtype, dict[str, Any]]:
    """Device and precision of the settings, and how a model will run, for `run.json`. Raises ModelError."""
    device = pick_device(settings.device)
    dtype, how = engine.prepare(device, settings.dtype, settings.threads)
    if device.type == "cpu" and dtype == torch.float16:
        dtype, how["dtype"] = torch.float32, "float32"
        report("float16 is emulated on a CPU, so the model runs in float32")
    if settings.offload != "none" and not has_own_memory(device):
        report(
            f"the device is {device}, which has no memory of its own: `offload={settings.offload}` saves nothing there"
        )
    return device, dtype, how


def load_part(path: Path, part: str, component: Any, dtype: torch.dtype) -> Any:
    """One component in evaluation mode. Raises ModelError for damaged files, or weights that are missing."""
    # With loading information asked for, diffusers gives a pair, which its annotation does not say.
    options = {"torch_dtype": dtype, "use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    with errors_of(path, part):
        return _check_whole(component.from_pretrained(path / part, **options)).eval()


@contextmanager
def errors_of(path: Path, part: str) -> Iterator[None]:
    """What a library raises of a damaged part of a folder is a ModelError; too little memory stays what it is."""
    try:
        yield
    except Exception as error:
        # Of damaged files the libraries raise whatever their inside came upon.
        if is_out_of_memory(error):
            raise
        raise ModelError(
            f"cannot load the {part} in {path}: {summarise_error(error)}. Next: fetch it again, or another `model`"
        ) from error


def tile_if_asked(codec: Any, settings: TrackSettings, report: Callable[[str], None]) -> None:
    if settings.vae_tiling != "on":
        return
    if hasattr(codec, "enable_tiling"):
        codec.enable_tiling()
        report("the VAE runs tiled as asked, which changes the latents by some percent")
    else:
        report("the VAE of this model has no tiles: `vae_tiling=on` has no effect")


def report_attention(transformer: Any, report: Callable[[str], None]) -> None:
    """Say it once where an attention backend is set that these blocks do not use."""
    if unheeded := find_unheeded_backend(transformer):
        report(unheeded)
        warnings.simplefilter("ignore", UnheededBackend)


def _check_whole(loaded: tuple[Any, dict[str, Any]]) -> Any:
    """The model of what `from_pretrained` gives. Weights that are missing would be random ones, or none at all."""
    model, info = loaded
    # Of a folder in shards diffusers believes the index: a weight that no file has stays without numbers.
    empty = [name for name, tensor in model.state_dict().items() if tensor.is_meta]
    if missing := sorted({*info["missing_keys"], *empty}):
        raise ValueError(f"{type(model).__name__} lacks {len(missing)} weights, {missing[0]} among them")
    return model


def pick_class(part: str, entry: tuple[str, str], classes: dict[str, Any]) -> Any:
    """The class that `model_index.json` names. classes: those that may be, or where they are, as `module:Class`.

    Raises ModelError for another: it would be code from outside.
    """
    name = entry[1]
    if name not in classes:
        raise ModelError(
            f"model_index.json names {part} {name!r}; of this family this tool loads {', '.join(classes)}. "
            "Next: the plain text-to-video or text-to-image folder of the family, see vidconcept models"
        )
    found = classes[name]
    try:
        return resolve_name(found) if isinstance(found, str) else found
    except AttributeError as error:
        version = metadata.version("diffusers")
        raise ModelError(f"diffusers {version} has no {name}. Next: a newer diffusers") from error


def name_classes(*names: str) -> dict[str, str]:
    """Classes of diffusers by name, for `pick_class`: imported when one is loaded, and not all there in older ones."""
    return {name: f"diffusers:{name}" for name in names}
