"""What the folder of a flow-matching model says before its weights are loaded, and the adapter that loads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidconcept.attention.method_names import METHODS, Method
from vidconcept.errors import ModelError
from vidconcept.models.configs import SHAPES, PipelineIndex, TokenizerConfig, _Config, read_config
from vidconcept.models.family_configs import FamilyCodec, FamilyTransformer, LanguageModel
from vidconcept.models.flow import FlowSchedule
from vidconcept.models.layout import ModelLayout, compute_fingerprint
from vidconcept.settings import TrackSettings

if TYPE_CHECKING:
    from vidconcept.models.flow_model import FlowModel


@dataclass(frozen=True)
class Facts:
    """The configurations of a folder, read and checked."""

    path: Path
    index: PipelineIndex = field(repr=False)
    transformer: FamilyTransformer = field(repr=False)
    codec: FamilyCodec = field(repr=False)
    schedule: FlowSchedule = field(repr=False)


@dataclass(frozen=True)
class FlowAdapter:
    """A family. model: module and class of its `FlowModel`, imported when one is loaded.

    preset: name of the preset that a folder's transformer goes with. text_length: tokens that a prompt is padded to.
    largest: the longest side of a picture in pixels, None for any. own_channels: channels of the transformer's input
    that are latents, where there are others. text_width: numbers of a word's vector; None where none can be learnt.
    """

    model: tuple[str, str]
    transformer: type[FamilyTransformer]
    codec: type[FamilyCodec]
    preset: Callable[[PipelineIndex | None, Any], str]
    text_length: int
    methods: tuple[Method, ...] = METHODS
    largest: Callable[[Any], int | None] = lambda transformer: None
    own_channels: Callable[[Any], int] = lambda transformer: transformer.latent_channels
    text_width: Callable[[Any], int | None] = lambda transformer: None

    def read_facts(self, folder: Path) -> Facts:
        """Raises ModelError when a configuration is missing or makes no sense, or the model wants a picture beside."""
        facts = Facts(
            folder,
            read_config(folder / "model_index.json", PipelineIndex),
            read_config(folder / "transformer" / "config.json", self.transformer),
            read_config(folder / "vae" / "config.json", self.codec),
            read_config(folder / "scheduler" / "scheduler_config.json", FlowSchedule),
        )
        own, latent = self.own_channels(facts.transformer), facts.codec.channels
        if own != latent:
            raise ModelError(
                f"the transformer in {folder} takes {own} channels and the VAE gives {latent}: an image-to-video, "
                "inpainting or control model. Next: take the plain text-to-video or text-to-image model of the family"
            )
        return facts

    def read_layout(self, folder: Path) -> ModelLayout:
        facts = self.read_facts(folder)
        transformer, codec = facts.transformer, facts.codec
        largest = self.largest(transformer)
        pitch_px = codec.latent_px * transformer.patch_px
        return ModelLayout(
            pitch_px=pitch_px,
            step=codec.latent_frames * transformer.patch_frames,
            num_layers=transformer.layers,
            text_length=self.text_length,
            fingerprint=compute_fingerprint(folder),
            largest_px=None if largest is None else (largest * pitch_px, largest * pitch_px),
            methods=self.methods,
            text_width=self.text_width(transformer),
        )

    def base_preset(self, folder: Path) -> str:
        index, config = folder / "model_index.json", folder / "transformer" / "config.json"
        return self.preset(
            read_config(index, PipelineIndex) if index.is_file() else None,
            read_config(config, self.transformer) if config.is_file() else self.transformer(),
        )

    def trained_settings(self, folder: Path, base: Mapping[str, Any]) -> dict[str, Any]:
        """These folders do not say at which sizes they were trained."""
        return {}

    @property
    def shapes(self) -> dict[str, type[_Config]]:
        """What is in each configuration file, by part and name."""
        found: dict[str, type[Any]] = dict(SHAPES)
        for part in ("transformer", "transformer_2"):
            found[f"{part}/config.json"] = self.transformer
        for number in ("", "_2", "_3"):
            found[f"text_encoder{number}/config.json"] = LanguageModel
            found[f"tokenizer{number}/tokenizer_config.json"] = TokenizerConfig
        return found | {"vae/config.json": self.codec, "scheduler/scheduler_config.json": FlowSchedule}

    def load(
        self, folder: Path, settings: TrackSettings, words: Sequence[str], report: Callable[[str], None]
    ) -> FlowModel:
        # torch and diffusers take seconds to import: only who reads footage waits for them.
        from vidconcept.models.flow_model import load

        module, name = self.model
        return load(getattr(import_module(module), name), self, folder, settings, words, report)
