"""The configuration files of a pipeline folder: one reader, every number bounded before a library builds from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from vidconcept.errors import InputError, ModelError
from vidconcept.files import check_regular, read_json, shorten, validate

COMPONENTS = ("text_encoder", "tokenizer", "transformer", "vae", "scheduler")
# What some families have beside these; a folder has those that its index names.
FURTHER_COMPONENTS = ("text_encoder_2", "tokenizer_2", "text_encoder_3", "tokenizer_3", "transformer_2")
# Keys with which a folder asks for code that is not in an installed library.
CODE_KEYS = ("auto_map", "custom_generate", "custom_pipelines", "attn_implementation", "_attn_implementation")
# All that is no weights: `tokenizer.json` and `spiece.model` are the largest.
SMALL_FILE_BYTES = 64 << 20

Size = Annotated[int, Field(ge=1, le=65_536)]
Few = Annotated[int, Field(ge=1, le=1024)]
Config = TypeVar("Config", bound=BaseModel)


class _Config(BaseModel):
    """Keys that are not named here are left to the library."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class PipelineIndex(_Config):
    """`model_index.json`: for each part its library and class."""

    transformer: tuple[str, str]
    vae: tuple[str, str]
    scheduler: tuple[str, str]
    text_encoder: tuple[str | None, str | None] | None = None
    # A part that a folder does without is named as [null, null].
    text_encoder_2: tuple[str | None, str | None] | None = None
    tokenizer_2: tuple[str | None, str | None] | None = None
    text_encoder_3: tuple[str | None, str | None] | None = None
    tokenizer_3: tuple[str | None, str | None] | None = None
    transformer_2: tuple[str | None, str | None] | None = None
    # Wan 2.2: the share of the noise levels above which the first of two transformers is used, and whether every token
    # has a timestep of its own. Mochi: whether an empty prompt is no prompt at all.
    boundary_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    expand_timesteps: bool = False
    force_zeros_for_empty_prompt: bool = False

    @property
    def components(self) -> tuple[str, ...]:
        """The parts of the folder that are read."""
        named = [part for part in FURTHER_COMPONENTS if getattr(self, part) and all(getattr(self, part))]
        return (*COMPONENTS, *named)


class TransformerConfig(_Config):
    patch_size: Annotated[int, Field(ge=1, le=64)] = 2
    num_layers: Few = 30
    patch_size_t: Annotated[int, Field(ge=1, le=64)] | None = None
    num_attention_heads: Few = 30
    attention_head_dim: Size = 64
    in_channels: Size = 16
    out_channels: Size | None = 16
    text_embed_dim: Size = 4096
    time_embed_dim: Size = 512
    max_text_seq_length: Annotated[int, Field(ge=1, le=4096)] = 226
    # In latents; these are what diffusers takes where a folder does not say.
    sample_height: Annotated[int, Field(ge=1, le=4096)] = 60
    sample_width: Annotated[int, Field(ge=1, le=4096)] = 90
    sample_frames: Annotated[int, Field(ge=1, le=4097)] = 49
    temporal_compression_ratio: Annotated[int, Field(ge=1, le=64)] = 4
    use_rotary_positional_embeddings: bool = False


class CodecConfig(_Config):
    latent_channels: Size = 16
    temporal_compression_ratio: Annotated[int, Field(ge=1, le=64)] = 4
    spatial_compression_ratio: Annotated[int, Field(ge=1, le=256)] | None = None
    block_out_channels: Annotated[tuple[Size, ...], Field(min_length=1, max_length=9)] | None = None
    layers_per_block: Few = 3
    picture_channels: Size = 8
    feature_widths: Annotated[tuple[Size, ...], Field(max_length=16)] = ()
    feature_blocks: Annotated[tuple[Annotated[int, Field(ge=0, le=256)], ...], Field(max_length=16)] = ()
    feature_kinds: Size = 15

    @property
    def pixels_per_latent(self) -> int:
        """The KL autoencoder halves once a block after the first; a linear codec says it itself."""
        if self.block_out_channels is None:
            return self.spatial_compression_ratio or 1
        return 2 ** (len(self.block_out_channels) - 1)


class TextEncoderConfig(_Config):
    vocab_size: Annotated[int, Field(ge=1, le=4_000_000)] = 32_128
    d_model: Size = 512
    d_kv: Size = 64
    d_ff: Annotated[int, Field(ge=1, le=1 << 20)] = 2048
    num_layers: Few = 6
    num_decoder_layers: Few | None = None
    num_heads: Few = 8
    relative_attention_num_buckets: Annotated[int, Field(ge=1, le=65_536)] = 32


class SchedulerConfig(_Config):
    num_train_timesteps: Annotated[int, Field(ge=1, le=100_000)] = 1000


class TokenizerConfig(_Config):
    # So many words are made up one by one, in the tokenizer that is built.
    extra_ids: Annotated[int, Field(ge=0, le=65_536)] = 100


class ShardIndex(_Config):
    weight_map: dict[str, str]


SHAPES: dict[str, type[_Config]] = {
    "text_encoder/config.json": TextEncoderConfig,
    "tokenizer/tokenizer_config.json": TokenizerConfig,
    "transformer/config.json": TransformerConfig,
    "vae/config.json": CodecConfig,
    "scheduler/scheduler_config.json": SchedulerConfig,
}


@contextmanager
def model_errors(path: Path) -> Iterator[None]:
    """What is wrong with a file of the folder is wrong with the model. Raises ModelError for InputError."""
    try:
        yield
    except InputError as error:
        raise ModelError(
            f"{path} is not a usable model folder: {error}. Next: fetch the model again, see vidconcept models"
        ) from error


def read_config(path: Path, shape: type[Config]) -> Config:
    """Raises ModelError for a file that is missing, no JSON, or says what no model of the family does."""
    with model_errors(path.parent):
        return validate(shape, read_json(path, SMALL_FILE_BYTES), path)


def component_files(folder: Path, part: str) -> list[Path]:
    """The regular files of a component, by name; folders in it are not the model's. Raises ModelError for others."""
    with model_errors(folder):
        try:
            found = sorted(path for path in (folder / part).iterdir() if not path.is_dir())
        except OSError as error:
            raise InputError(
                f"cannot read {folder / part}: {error.strerror}. Next: check the path and its permissions"
            ) from error
        for path in found:
            check_regular(path, None if path.suffix == ".safetensors" else SMALL_FILE_BYTES)
    return found


def components_of(folder: Path) -> tuple[str, ...]:
    """The parts that a folder has, by its index; the usual ones where it has none."""
    path = folder / "model_index.json"
    return read_config(path, PipelineIndex).components if path.is_file() else COMPONENTS


def check_configs(folder: Path, shapes: Mapping[str, type[_Config]] = SHAPES) -> None:
    """Read every configuration of a folder once, before any library does.

    shapes: what is in the files of the family, by part and name.
    Raises ModelError for a file that may not end, a number out of bounds, or a key that asks for code of its own:
    nothing that comes with a model is ever run.
    """
    index = read_config(folder / "model_index.json", PipelineIndex)
    for part in index.components:
        for path in component_files(folder, part):
            if path.suffix != ".json":
                continue
            with model_errors(folder):
                content = read_json(path, SMALL_FILE_BYTES)
                asked = [key for key in CODE_KEYS if isinstance(content, dict) and _asks_for_code(content.get(key))]
                if asked:
                    raise InputError(
                        f"{path} asks for code of its own ({asked[0]}), which is never run. "
                        "Next: take a folder without code"
                    )
                shape = shapes.get(f"{part}/{path.name}")
                if shape is not None:
                    validate(shape, content, path)


def check_kinds(path: Path, build: Callable[..., Any]) -> None:
    """That each value of a configuration is of the kind that the class which is built from it has by default.

    A text for a number would else be found out by whatever computes with it first. Raises ModelError.
    """
    with model_errors(path.parent):
        content = read_json(path, SMALL_FILE_BYTES)
        for key, parameter in inspect.signature(build).parameters.items():
            value, usual = content.get(key), parameter.default
            number = isinstance(usual, int | float) and not isinstance(usual, bool)
            fits = isinstance(value, int | float) if number else isinstance(value, type(usual))
            if value is not None and isinstance(usual, int | float | str) and not fits:
                raise InputError(
                    f"{path}, {key}: {shorten(repr(value))} where one like {usual!r} belongs. "
                    "Next: fetch the model again"
                )


def _asks_for_code(value: Any) -> bool:
    """A kind of attention is only a name, where it is none of the hub's."""
    return bool(value) and not (isinstance(value, str) and "/" not in value)
