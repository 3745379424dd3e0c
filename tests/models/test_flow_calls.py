"""What each family's transformer is called with, against a step of its own pipeline in diffusers on the same folder."""

from __future__ import annotations

import inspect
import json
import shutil
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
import transformers
from torch import Tensor

from tests.helpers.family_reading import STILLS, TOKENS, WORDS, load, small, window
from vidconcept.errors import ModelError
from vidconcept.models.adapter import choose_adapter
from vidconcept.models.hunyuan import INSTRUCTION
from vidconcept.models.hunyuan15 import INSTRUCTION as HUNYUAN15_INSTRUCTION
from vidconcept.models.loading import name_classes, pick_class
from vidconcept.models.qwen import ENDING as QWEN_ENDING
from vidconcept.models.qwen import INSTRUCTION as QWEN_INSTRUCTION
from vidconcept.settings import TrackSettings

PROMPT = "a long thin scratch"
PIPELINES = {
    "wan": "WanPipeline",
    "ltx": "LTXPipeline",
    "mochi": "MochiPipeline",
    "hunyuan": "HunyuanVideoPipeline",
    "flux": "FluxPipeline",
    "sd3": "StableDiffusion3Pipeline",
    "qwen": "QwenImagePipeline",
}
# Where the prompt stands beside an instruction, the pipeline is told what the tokenizer of the test makes of it.
TEMPLATES = {"hunyuan": {"template": INSTRUCTION + "{}<|eot_id|>"}}
# Arguments that say nothing of the picture or the prompt.
OF_LIBRARY = ("return_dict", "joint_attention_kwargs", "attention_kwargs")
LENGTHS = {"wan": 512, "ltx": 128, "mochi": 256, "flux": 512, "sd3": 256}


def call_of_pipeline(folder, name: str) -> dict[str, Any]:
    """The arguments of the pipeline's first call of its transformer."""
    pipeline = getattr(diffusers, PIPELINES[name]).from_pretrained(folder, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    height, width, frames = 2 * TOKENS[name][1], 3 * TOKENS[name][1], 1 + TOKENS[name][0]
    options: dict[str, Any] = {"height": height, "width": width, "num_inference_steps": 2, "output_type": "latent"}
    if name not in STILLS:
        options["num_frames"] = frames
    if name in LENGTHS:
        options["max_sequence_length"] = LENGTHS[name]
    if name in TEMPLATES:
        start = len(pipeline.tokenizer(INSTRUCTION).input_ids)
        options["prompt_template"] = TEMPLATES[name] | {"crop_start": start}
    elif name == "qwen":
        pipeline.prompt_template_encode_start_idx = len(pipeline.tokenizer(QWEN_INSTRUCTION).input_ids)
    else:
        options["guidance_scale"] = 3.5 if name == "flux" else 1.0
    calls: list[dict[str, Any]] = []
    pipeline.transformer.register_forward_pre_hook(lambda _m, _args, kwargs: calls.append(kwargs), with_kwargs=True)
    with torch.no_grad():
        pipeline(prompt=PROMPT, **options)
    return calls[0]


@pytest.mark.parametrize("name", PIPELINES)
def test_as_its_own_pipeline_calls_it(folders, name):
    theirs = call_of_pipeline(folders(name), name)
    if name == "qwen" and (mask := theirs.pop("encoder_hidden_states_mask", None)) is not None:
        # Some releases give one where nothing is hidden.
        assert mask.all()
    model = load(folders(name), name, prompt=PROMPT)
    latents, timestep = model.add_noise(model.encode(window(name))[:, :, : 1 if name in STILLS else None], 0)
    ours = model.arguments(latents, timestep, model.texts.prompt)
    given = {key for key, value in theirs.items() if value is not None} - set(OF_LIBRARY)
    assert {key for key, value in ours.items() if value is not None} == given
    for key in given:
        mine, expected = ours[key], theirs[key]
        if key in ("hidden_states", "timestep"):
            assert mine.shape == expected.shape, key
        elif isinstance(expected, Tensor):
            torch.testing.assert_close(mine, expected.to(mine.dtype), msg=f"{key}")
        else:
            assert mine == expected, key


CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def test_hunyuan15_as_its_own_pipeline_calls_it(folders):
    folder = folders("hunyuan15")
    model = load(folder, "hunyuan15", prompt=PROMPT)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")
    tokenizer.chat_template, tokenizer.padding_side = CHAT, "right"
    pipeline = diffusers.HunyuanVideo15Pipeline(
        tokenizer=tokenizer,
        text_encoder=transformers.Qwen2_5_VLTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer_2=None,
        text_encoder_2=transformers.T5EncoderModel.from_pretrained(folder / "text_encoder_2"),
        transformer=model.transformer,
        vae=model.codec,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler.from_pretrained(folder / "scheduler"),
        guider=diffusers.ClassifierFreeGuidance(guidance_scale=1.0),
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.prompt_template_encode_start_idx = len(tokenizer(HUNYUAN15_INSTRUCTION).input_ids)
    calls: list[dict[str, Any]] = []
    model.transformer.register_forward_pre_hook(lambda _m, _args, kwargs: calls.append(kwargs), with_kwargs=True)
    with torch.no_grad():
        pipeline(prompt=PROMPT, height=32, width=48, num_frames=5, num_inference_steps=2, output_type="latent")
    theirs = {key: value for key, value in calls[0].items() if isinstance(value, Tensor)}
    latents, timestep = model.add_noise(model.encode(window("hunyuan15")), 0)
    ours = model.arguments(latents, timestep, model.texts.prompt)
    assert ours.keys() == theirs.keys()
    for key, expected in theirs.items():
        if key in ("hidden_states", "timestep"):
            assert ours[key].shape == expected.shape
        else:
            torch.testing.assert_close(ours[key], expected.to(ours[key].dtype), msg=key)


@pytest.mark.parametrize("name", TOKENS)
def test_in_bfloat16(folders, name):
    model = load(folders(name), name, dtype="bfloat16")
    assert model.transformer.dtype == torch.bfloat16
    (logits,) = model.logits(window(name), methods=(model.settings.method,)).values()
    assert np.isfinite(logits).all()


def test_a_timestep_for_every_token(folders, tmp_path):
    """Wan 2.2 5B, where all tokens have the same."""
    folder = shutil.copytree(folders("wan"), tmp_path / "wan")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"expand_timesteps": True}))
    model = choose_adapter(folder).load(folder, TrackSettings(**small("wan")), WORDS, print)
    latents, timestep = model.add_noise(model.encode(window("wan")), 0)
    assert model.arguments(latents, timestep, model.texts.prompt)["timestep"].shape == (1, 2 * 2 * 3)
    each = model.logits(window("wan"), methods=("cross-attention",))["cross-attention"]
    plain = load(folders("wan"), "wan").logits(window("wan"), methods=("cross-attention",))["cross-attention"]
    np.testing.assert_allclose(each, plain, rtol=1e-4, atol=1e-4)


def test_instructions_are_the_pipelines_own():
    flux2 = pytest.importorskip("diffusers.pipelines.flux2.system_messages")
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE

    from vidconcept.models.stills import FLUX2_INSTRUCTION

    parameters = inspect.signature(diffusers.HunyuanVideo15Pipeline._get_mllm_prompt_embeds).parameters
    system = parameters["system_message"].default
    assert DEFAULT_PROMPT_TEMPLATE["template"] == INSTRUCTION + "{}<|eot_id|>"
    assert f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n" == HUNYUAN15_INSTRUCTION
    assert flux2.SYSTEM_MESSAGE == FLUX2_INSTRUCTION
    qwen = diffusers.QwenImagePipeline(scheduler=None, vae=None, text_encoder=None, tokenizer=None, transformer=None)
    assert qwen.prompt_template_encode == QWEN_INSTRUCTION + "{}" + QWEN_ENDING


def test_a_class_that_this_diffusers_does_not_have_is_named():
    with pytest.raises(ModelError, match=r"diffusers \d.* has no AutoencoderOfTomorrow\. Next: a newer diffusers"):
        pick_class("vae", ("diffusers", "AutoencoderOfTomorrow"), name_classes("AutoencoderOfTomorrow"))
