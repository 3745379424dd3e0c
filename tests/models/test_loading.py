"""What is said while a model loads: what has no effect, what is not there, and nothing of the libraries' own."""

import json
import logging
import shutil
import warnings

import pytest
import torch
import transformers
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from tests.helpers.family_reading import load as load_family
from tests.helpers.family_reading import window
from vidconcept.errors import ModelError
from vidconcept.models.cogvideox import load
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.loading import pick_device
from vidconcept.settings import TrackSettings

WORDS = ("scratch", "dent")


def load_folder(path, **settings) -> list[str]:
    """What is reported while it loads."""
    said: list[str] = []
    load(path, TrackSettings(**{"dtype": "float32", "device": "cpu", **settings}), WORDS, said.append)
    return said


def test_tiles_that_the_vae_does_not_have_are_told_of(tiny_model):
    without = "the VAE of this model has no tiles: `vae_tiling=on` has no effect"
    assert without in load_folder(find_folder(find_preset("linecam")).path, vae_tiling="on")
    assert without not in load_folder(tiny_model, vae_tiling="on")


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="it is there")
def test_a_device_that_is_not_here_is_told_of_in_one_sentence():
    with pytest.raises(ModelError, match=r"'mps' is not usable here: [^.]*(\.\w[^.]*)*\. Next: `device=cpu`$") as error:
        pick_device("mps")
    assert len(str(error.value)) < 200


def test_a_device_that_gives_nothing_back_is_refused():
    with pytest.raises(ModelError, match=r"device 'meta' is not usable here: .* Next: `device=cpu`$"):
        pick_device("meta")


def test_the_libraries_say_nothing_between_and_speak_again_afterwards(tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path / "cache"))
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    for part in ("transformer", "vae"):
        path = folder / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"of_a_newer_release": 1}))
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    libraries = (diffusers_logging, transformers_logging)
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.add_handler(handler)
    try:
        load_folder(folder)
    finally:
        for library in libraries:
            library.remove_handler(handler)
    assert said == []
    assert [library.get_verbosity() for library in libraries] == levels


def test_too_little_memory_for_the_text_encoder_stays_what_it_is(tiny_model, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setenv("VIDCONCEPT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(transformers.T5EncoderModel, "from_pretrained", refuse)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load_folder(tiny_model)


def test_mochi_reads_without_a_warning_on_a_processor(folders):
    model = load_family(folders("mochi"), "mochi")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.logits(window("mochi"))
