"""Generation with maps gathered: the film is what it is without concepts, and the folder is that of any run."""

import json
import re

import numpy as np
import pytest
import torch
from diffusers import CogVideoXPipeline
from typer.testing import CliRunner

from vidconcept.cli import app
from vidconcept.errors import OutputError, UsageError
from vidconcept.models.adapter import choose_adapter
from vidconcept.models.generation import Generation, generate
from vidconcept.models.text import encode_texts
from vidconcept.pipelines.generate import FIXED, Wish, generate_run
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.settle import settle
from vidconcept.pipelines.track import Run
from vidconcept.video.reader import read_frames

PROMPT = "a long thin scratch"
ASKED = Generation(9, 32, 48, steps=3, guidance=4.0, read_steps=frozenset({2, 3}))


@pytest.fixture(scope="module")
def settings(tiny_model):
    return {
        "concepts": ("scratch", "mark=dent|round - clean"),
        "model": str(tiny_model),
        "device": "cpu",
        "height": 32,
        "width": 48,
        "threshold": 0.02,
        "seed": 3,
    }


@pytest.fixture(scope="module")
def parts(settings, tiny_model):
    settled = settle({**settings, "prompt": PROMPT})
    return settled, choose_adapter(tiny_model).load(tiny_model, settled.settings, settled.lexicon.words, print)


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    warned, seen = [], []
    monitor = Monitor(lambda stage, done, total: seen.append((stage, done, total)), warn=warned.append)
    wish = Wish(frames=9, steps=3, guidance=4.0, read_steps=(2, 3))
    return generate_run(PROMPT, settings, wish, folder / "a.mp4", folder / "a.vidconcept", "error", monitor), seen


def denoise(pipeline, **texts):
    return pipeline(
        height=32, width=48, num_frames=9, num_inference_steps=3, guidance_scale=4.0,
        generator=torch.Generator("cpu").manual_seed(3), output_type="np", **texts,
    ).frames[0]  # fmt: skip


def test_the_film_is_what_it_is_without_concepts_to_the_last_bit(parts, tiny_model):
    settled, model = parts
    frames, scores = generate(model, tiny_model, settled.lexicon, ASKED, lambda done, total: None)
    stock = CogVideoXPipeline.from_pretrained(tiny_model, dtype=torch.float32)
    negative = encode_texts(tiny_model, "", (), text_length=24, dtype=torch.float32, device=model.device).prompt
    bare = CogVideoXPipeline(None, None, model.codec, model.transformer, stock.scheduler)
    plain = denoise(bare, prompt_embeds=model.texts.prompt, negative_prompt_embeds=negative)
    assert np.array_equal(frames, np.rint(plain * 255).astype(np.uint8))
    # All from diffusers' own loading, the text encoder's batches among it, it is the same but for rounding.
    assert np.abs(denoise(stock, prompt=PROMPT, max_sequence_length=24) * 255 - frames).max() < 1
    assert scores.shape == (len(settled.words), 3 * 2 * 3)
    assert model.transformer.transformer_blocks[0]._forward_hooks == {}


def test_maps_are_the_mean_over_the_steps_that_are_read(parts, tiny_model):
    settled, model = parts

    def maps(*steps):
        asked = Generation(9, 32, 48, steps=3, guidance=4.0, read_steps=frozenset(steps))
        return generate(model, tiny_model, settled.lexicon, asked, lambda done, total: None)[1]

    # All but the second concept, from which another is subtracted in the end.
    kept = [0, *range(2, len(settled.words))]
    assert maps(2, 3)[kept] == pytest.approx((maps(2) + maps(3))[kept] / 2, abs=1e-6)
    assert not np.allclose(maps(2)[kept], maps(3)[kept], atol=1e-6)


def test_the_folder_is_that_of_a_run(run):
    found, seen = run
    assert Run.open(found.path).manifest["done"]
    assert {path.name for path in found.path.iterdir()} >= {
        "annotated.mp4",
        "tracks.csv",
        "review.html",
        "run.json",
        "maps",
    }
    assert found.manifest["concepts"] == ["scratch", "mark"]
    assert found.manifest["generated"]["read_steps"] == [2, 3]
    assert found.manifest["maps_from"]["generated"]["prompt"] == PROMPT
    assert len(list(found.frames())) == 2 * 9
    assert len(list(read_frames(found.path.parent / "a.mp4", on_problem=print))) == 9
    assert ("denoising", 3, 3) in seen
    json.dumps(found.manifest)


def test_what_is_wrong_is_said_before_anything_is_made(run, settings, tmp_path):
    found, _ = run

    def again(wish, **changes):
        generate_run(
            PROMPT, {**settings, **changes}, wish, tmp_path / "a.mp4", tmp_path / "a.vidconcept", "error", Monitor()
        )

    with pytest.raises(UsageError, match=r"1 \+ n x 8 frames\. Next: e\.g\. `frames=9`"):
        again(Wish(frames=8))
    with pytest.raises(UsageError, match=r"`frames=1`.*e\.g\. `frames=9`"):
        again(Wish(frames=1))
    with pytest.raises(UsageError, match="from 1 to 3"):
        again(Wish(frames=9, steps=3, read_steps=(0, 9)))
    with pytest.raises(UsageError, match="multiples of 16"):
        again(Wish(frames=9), height=40)
    with pytest.raises(OutputError, match="is there already"):
        generate_run(PROMPT, settings, Wish(frames=9), found.path.parent / "a.mp4", tmp_path / "b", "error", Monitor())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("steps", "says"),
    [("5,20-12", "'20-12' ends before it begins. Next: give the lower number first"), ("5-", "'5-' is neither")],
)
def test_a_span_of_steps_without_a_step_is_refused(steps, says, tmp_path):
    arguments = ["generate", PROMPT, "--concepts", "scratch", "--out", str(tmp_path / "a"), "--read-steps", steps]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UsageError)
    assert says in str(result.exception)


def test_the_embedded_model_says_that_it_makes_textures(tmp_path):
    warned = []
    settings = {"concepts": ("scratch",), "height": 64, "width": 96, "device": "cpu"}
    wish = Wish(frames=5, steps=2)
    run = generate_run("a film of parts with a scratch", settings, wish, tmp_path / "a.mp4", tmp_path / "a", "error",
                       Monitor(warn=warned.append))  # fmt: skip
    assert any("texture" in text for text in warned)
    assert any("texture" in remark["message"] for remark in run.manifest["remarks"])


def test_a_film_of_its_own_is_generated_again_and_another_is_kept(settings, tmp_path):
    wish, film, out = Wish(frames=9, steps=1), tmp_path / "a.mp4", tmp_path / "a.vidconcept"
    for _ in range(2):
        generate_run(PROMPT, settings, wish, film, out, "overwrite", Monitor())
    assert Run.open(out).manifest["frames"] == 9
    film.write_bytes(b"a film of somebody else's")
    with pytest.raises(OutputError, match=r"a\.mp4 was not written by vidconcept, or changed since"):
        generate_run(PROMPT, settings, wish, film, out, "overwrite", Monitor())
    assert film.read_bytes() == b"a film of somebody else's"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"roi": (0, 0, 16, 16)}, "`roi=0,0,16,16` does not go with"),
        ({"timestep": 900}, "`timestep=900` does not go with"),
        ({"timesteps": (20, 900)}, "`timesteps=20,900` does not go with"),
        ({"noise_samples": 5}, "`noise_samples=5` does not go with"),
        ({"coarse_scale": 0.25}, "`coarse_scale=0.25` does not go with"),
        ({"token_support": 0.5}, "`token_support=0.5` does not go with"),
        ({"overlap_frames": 5}, "`overlap_frames=5` does not go with"),
        ({"deinterlace": True}, "`deinterlace=True` does not go with"),
        ({"tone_map": True}, "`tone_map=True` does not go with"),
        ({"stream": 3}, "`stream=3` does not go with"),
        ({"fps": 5}, "`fps=5.0` does not go with"),
        ({"prompt": "other"}, "`prompt=other`: the film has a prompt already"),
        ({"window_frames": 17}, "`window_frames=17` and `frames=9` both say"),
    ],
)
def test_settings_that_a_generated_film_cannot_be_read_with_are_refused(given, said, settings, tmp_path):
    with pytest.raises(UsageError, match=said):
        generate_run(PROMPT, settings | given, Wish(frames=9), tmp_path / "a.mp4", tmp_path / "a", "error", Monitor())
    assert list(tmp_path.iterdir()) == []


def test_those_of_a_file_are_left_out_with_a_warning(settings, tmp_path):
    config, warned = tmp_path / "line.toml", []
    config.write_text("roi = [0, 0, 16, 16]\nend_s = 0.5\ntimestep = 900\n")
    film, out = tmp_path / "a.mp4", tmp_path / "a"
    run = generate_run(
        PROMPT, settings, Wish(frames=9, steps=1), film, out, "error", Monitor(warn=warned.append), config
    )
    left_out = [text for text in warned if text.startswith(f"config {config}: ")]
    assert [re.findall(r"`(\w+)=", text) for text in left_out] == [["roi"], ["end_s"], ["timestep"]]
    kept = run.manifest["settings"]
    assert (kept["roi"], kept["end_s"], kept["timestep"]) == (None, None, 500)
    assert run.manifest["frames"] == 9


def test_what_generation_settles_is_said_to_come_from_it(run):
    sources = run[0].manifest["settings_from"]
    assert {sources[key] for key in (*FIXED, "window_frames")} == {"generate"}
    assert sources["threshold"] == "arguments"
