"""Where a model's pipeline folder is: embedded in the package, a local path, or a snapshot in the hub's cache."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from vidconcept.errors import InputError, ModelError, OutputError, UsageError
from vidconcept.models.adapter import choose_adapter
from vidconcept.models.configs import (
    COMPONENTS,
    FURTHER_COMPONENTS,
    PipelineIndex,
    ShardIndex,
    component_files,
    components_of,
    read_config,
)
from vidconcept.models.pinned import revision_of, split_revision, verify_snapshot
from vidconcept.models.presets import Preset, presets
from vidconcept.wording import suggest

# Safetensors only: a pickled weight file can run code when it is opened.
_FILES = [
    "model_index.json",
    *(
        f"{part}/*{ext}"
        for part in (*COMPONENTS, *FURTHER_COMPONENTS)
        for ext in (".json", ".safetensors", ".model", ".txt")
    ),
]
# What tokenizers of a class are made from where there is no `tokenizer.json`.
_VOCABULARIES = {
    "T5Tokenizer": ("spiece.model",),
    "CLIPTokenizer": ("vocab.json", "merges.txt"),
    "Qwen2Tokenizer": ("vocab.json", "merges.txt"),
}
# Its tokens are bytes: published folders hold no vocabulary for it.
_WITHOUT_VOCABULARY = "ByT5Tokenizer"


class _Index(PipelineIndex):
    tokenizer: tuple[str | None, str | None] | None = None


@dataclass(frozen=True)
class ModelFolder:
    """A complete diffusers pipeline folder on disk and the preset that it runs with."""

    path: Path
    preset: Preset

    @property
    def revision(self) -> str | None:
        """The commit of the hub that it is; None for a folder of one's own."""
        return revision_of(self.path)


def find_preset(model: str) -> Preset:
    """The preset of a name, or for a folder or hub id the one whose architecture it shares, under its own name.

    `NAME@COMMIT` pins a commit of the hub. Raises UsageError for a word that is neither a preset nor looks like a path
    or a hub id, and for a commit of what does not come from the hub.
    """
    name, revision = split_revision(model)
    found = _find_preset(name, revision)
    if revision is None:
        return found
    if found.source == "embedded":
        raise UsageError(f"{name} comes with the package and has no commit. Next: leave @{revision} out")
    return found.model_copy(update={"revision": revision})


def _find_preset(model: str, revision: str | None) -> Preset:
    known = presets()
    if model.lower() in known:
        return known[model.lower()]
    by_source = {preset.source.lower(): preset for preset in known.values()}
    if model.lower() in by_source:
        return by_source[model.lower()]
    path = Path(model).expanduser()
    if not path.is_dir() and model.count("/") != 1:
        raise UsageError(
            f"unknown model {model!r}{suggest(model, known)}. "
            f"Next: one of the presets {', '.join(known)}, a pipeline folder, or a hub id like owner/name"
        )
    if not path.is_dir():
        # A hub id that is not fetched yet has no configs to tell by.
        path = _snapshot(model, revision) or path
    own = path / "vidconcept.toml"
    if own.is_file():
        try:
            # Whatever model the preset was copied from, the weights are those beside it.
            return Preset.read(own).model_copy(update={"source": str(path)})
        except InputError as error:
            raise ModelError(
                f"{own} is not a preset: {error}. Next: write it as those in vidconcept/configs/"
            ) from error
    adapter = choose_adapter(path)
    base = known[adapter.base_preset(path)]
    settings = {key: value for key, value in base.settings.items() if key != "layers"}
    settings |= adapter.trained_settings(path, settings)
    facts = {"name": model, "source": model, "licence": "see the model's card", "summary": "", "settings": settings}
    # Of the same architecture there are models of any size.
    return base.model_copy(update=facts | {"download_gb": 0, "memory_gb": 0})


def _snapshot(source: str, revision: str | None) -> Path | None:
    """The folder of a hub id in the hub's cache, None where it is not there; never touches the network."""
    # The hub's library takes a tenth of a second to import, and the embedded model does not need it.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, FileNotFoundError):
        return None


def find_folder(preset: Preset) -> ModelFolder:
    """The model's folder on this machine; never touches the network.

    Raises ModelError when it is not here, or damaged.
    """
    if preset.source == "embedded":
        path = Path(str(resources.files("vidconcept.models"))) / "weights" / preset.name
    elif Path(preset.source).expanduser().is_dir():
        path = Path(preset.source).expanduser()
    else:
        found = _snapshot(preset.source, preset.revision)
        if found is None:
            need = f" ({preset.download_gb:g} GB of disk)" if preset.download_gb else ""
            raise ModelError(
                f"the weights of {preset.spelled} are not on this machine. "
                f"Next: vidconcept models fetch {preset.spelled}{need}"
            )
        path = found
    _check_complete(path, preset)
    return ModelFolder(path, preset)


def _check_complete(path: Path, preset: Preset) -> None:
    parts = components_of(path)
    missing = [part for part in parts if not (path / part).is_dir()]
    missing += [] if (path / "model_index.json").is_file() else ["model_index.json"]
    for part in (part for part in parts if part.startswith(("text_encoder", "transformer", "vae"))):
        weights = sorted((path / part).glob("*.safetensors"))
        # A variant such as `fp16` is named after another dot.
        if part not in missing and all(file.name.count(".") > 1 for file in weights):
            pickled = any((path / part).glob("*.bin")) or any((path / part).glob("*.ckpt"))
            there = f"{weights[0].name}, which is" if weights else "pickled weights, which are" if pickled else ""
            missing.append(f"{part}/*.safetensors" + (f" (only {there} not loaded)" if there else ""))
        for index in (path / part).glob("*.safetensors.index.json"):
            shards = set(read_config(index, ShardIndex).weight_map.values())
            missing += [f"{part}/{shard}" for shard in sorted(shards) if not (path / part / shard).is_file()]
    missing += [] if "model_index.json" in missing else _find_missing_vocabularies(path, set(parts) - set(missing))
    for part in parts:
        if part not in missing:
            component_files(path, part)
    if missing:
        raise ModelError(
            f"model {preset.name} in {path} is incomplete: no {', '.join(missing)}. Next: {_say_how_to_mend(preset)}"
        )


def _find_missing_vocabularies(path: Path, parts: Collection[str]) -> list[str]:
    """Files without which a tokenizer is loaded all the same and knows no word.

    One of a class that is not known here may have those of any class.
    """
    index = read_config(path / "model_index.json", _Index)
    missing = []
    for part in sorted(part for part in parts if part.startswith("tokenizer")):
        _library, kind = getattr(index, part) or (None, None)
        kind = (kind or "").removesuffix("Fast")
        own = _VOCABULARIES.get(kind)
        enough = [("tokenizer.json",), *(_VOCABULARIES.values() if own is None else [own])]
        if kind == _WITHOUT_VOCABULARY or any(all((path / part / name).is_file() for name in one) for one in enough):
            continue
        instead = "" if own is None else f"{' and '.join(f'{part}/{name}' for name in own)} or "
        missing.append(f"{instead}{part}/tokenizer.json")
    return missing


def _say_how_to_mend(preset: Preset) -> str:
    if preset.source == "embedded":
        return "install vidconcept again"
    if Path(preset.source).expanduser().is_dir():
        return "copy what is missing into the folder, from the model that it was made of"
    return f"vidconcept models fetch {preset.spelled}"


def _measure_cached_gb(cache: Path, source: str) -> float:
    """What an earlier download of a hub id left in the cache, finished or not."""
    blobs = cache / f"models--{source.replace('/', '--')}" / "blobs"
    return sum(path.stat().st_size for path in blobs.glob("*")) / 1e9


def fetch(preset: Preset) -> Path:
    """Download a model's folder with progress; a broken download resumes, and every file is compared with its digest.

    Raises ModelError when the hub cannot be reached or refuses, or a file is damaged, OutputError when the disk is too
    small.
    """
    if preset.source == "embedded" or Path(preset.source).expanduser().is_dir():
        return find_folder(preset).path
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    cache = Path(constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(cache).free / 1e9
    need_gb = preset.download_gb - _measure_cached_gb(cache, preset.source)
    if free_gb < need_gb:
        raise OutputError(
            f"{preset.name} needs {need_gb:.3g} GB, {cache} has {free_gb:.1f} GB free. "
            "Next: free some, or point HF_HOME to a larger disk."
        )
    if constants.HF_HUB_OFFLINE:
        raise ModelError(f"HF_HUB_OFFLINE is set, so {preset.name} cannot be fetched. Next: unset it.")
    try:
        path = Path(snapshot_download(preset.source, revision=preset.revision, allow_patterns=_FILES))
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"could not fetch {preset.source}: {reason}. Next: check the network and the name, then run the same "
            "command again; it continues where it stopped."
        ) from error
    verify_snapshot(path)
    return path
