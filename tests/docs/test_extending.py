"""What the pages on extending the tool show is code that works."""

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from tests.helpers.small_runs import small_clip, small_run, tree
from vidconcept.errors import VidconceptError
from vidconcept.pipelines.track import Run
from vidconcept.temporal import smoothers
from vidconcept.temporal.parameters import SmoothSettings
from vidconcept.temporal.unpool import upsample
from vidconcept.writers.exchange import formats

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"


def code_of(page: str) -> list[str]:
    blocks = re.findall(r"^    ```python\n(.*?)^    ```$", (HOW_TO / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]


def test_the_format_of_the_page_writes_its_lines(tmp_path):
    module, entry = code_of("add-a-format.md")
    space: dict = {}
    exec(module, space)
    row = SimpleNamespace(frame_index=3, class_id=1, box_px=(10, 20, 30, 60))
    selection = SimpleNamespace(run=SimpleNamespace(frame_size=(100, 200)), tracks=lambda: iter([row]))
    space["write_boxes"](selection, tmp_path / "out" / "clip.boxes.txt")
    assert (tmp_path / "out" / "clip.boxes.txt").read_text() == "3 1 0.200000 0.200000 0.200000 0.200000\n"
    entries = eval(f"{{{entry}}}", {**vars(formats)})
    assert isinstance(entries["boxes"], formats.Format)
    assert entries.keys().isdisjoint(formats.FORMATS)


def test_the_smoothing_method_of_the_page_gives_frames():
    function, entry = code_of("add-a-smoothing-method.md")
    space = {"np": np, "upsample": upsample}
    exec(function, space)
    steps_nearby = [
        SimpleNamespace(maps=SimpleNamespace(scores=np.full((2, 3, 4), level, np.float32)), size=(24, 32))
        for level in (0.1, 0.2, 0.7, 0.9)
    ]
    frames = list(space["take_largest"](steps_nearby, 1, range(4), {}, SmoothSettings()))
    assert [frame.shape for frame in frames] == [(2, 24, 32)] * 4
    assert frames[0].max() == pytest.approx(0.7)
    assert isinstance(eval(f"{{{entry}}}", {**vars(smoothers)})["largest"], smoothers.Smoother)


def test_a_method_that_breaks_the_contract_of_the_page_leaves_a_finished_run(tiny_model, tmp_path, monkeypatch):
    clip = small_clip(tmp_path / "a.mp4")
    run = small_run(clip, tiny_model, tmp_path / "run")
    before = tree(run.path)
    module = ModuleType("my_package.tokens")
    module.hold = lambda steps_nearby, index, stretch, *_: (steps_nearby[index].maps.scores for _ in stretch)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(smoothers.SMOOTHERS, "ema", smoothers.Smoother("my_package.tokens:hold", "not upsampled"))
    with pytest.raises(VidconceptError, match=r"method ema, position 0: float32 \(2, "):
        small_run(clip, tiny_model, run.path, smooth="ema", existing="resume")
    assert tree(run.path).items() >= before.items()
    assert Run.open(run.path).events == run.events


class TestTheModelOfThePage:
    """EasyAnimate, which is not built in, by the steps of the page and with random weights."""

    @pytest.fixture
    def easyanimate(self, monkeypatch):
        from vidconcept.attention.families import FAMILIES
        from vidconcept.models.adapter import ADAPTERS

        name = "EasyAnimateTransformer3DModel"
        assert name not in FAMILIES
        assert name not in ADAPTERS
        module = ModuleType("my_package.easyanimate")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        # Undone afterwards: what the page registers.
        monkeypatch.setitem(FAMILIES, name, None)
        monkeypatch.setitem(ADAPTERS, name, None)
        for step in code_of("add-a-model.md"):
            exec(step, vars(module))
        return module

    @staticmethod
    def make_transformer():
        import torch
        from diffusers import EasyAnimateTransformer3DModel

        torch.manual_seed(0)
        transformer = EasyAnimateTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=32,
            in_channels=4,
            out_channels=4,
            patch_size=2,
            num_layers=3,
            mmdit_layers=3,
            time_embed_dim=16,
            text_embed_dim=24,
        ).eval()
        with torch.no_grad():
            for parameter in transformer.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
        return transformer

    def test_maps_are_those_of_the_equations_and_the_output_stays(self, easyanimate, monkeypatch):
        import torch
        import torch.nn.functional as F

        from vidconcept.attention import concept_attention

        transformer, concepts = self.make_transformer(), torch.randn(1, 3, 24)
        call = {
            "hidden_states": torch.randn(1, 4, 2, 8, 8),
            "timestep": torch.tensor([500.0]),
            "encoder_hidden_states": torch.randn(1, 5, 24),
        }
        blocks, inputs, outputs = transformer.transformer_blocks, [], []
        plain_attention = F.scaled_dot_product_attention

        def noted(*args, **kwargs):
            outputs.append(plain_attention(*args, **kwargs))
            return outputs[-1]

        with monkeypatch.context() as patch, torch.no_grad():
            patch.setattr(F, "scaled_dot_product_attention", noted)
            watched = [block.register_forward_pre_hook(lambda _module, args: inputs.append(args)) for block in blocks]
            plain = transformer(**call)[0]
            for hook in watched:
                hook.remove()
            of_video, tokens, expected = [output[:, :, 5:] for output in outputs], transformer.text_proj(concepts), []
            # Each block is given the concepts in place of the prompt, beside the video it had.
            for block, args, output in zip(blocks, inputs, of_video, strict=True):
                _, tokens = block(args[0], tokens, *args[2:])
                expected.append(torch.einsum("bhcd,bhxd->bcx", outputs[-1][:, :, :3], output))
        with torch.no_grad(), concept_attention(transformer, concepts, layers=range(3)) as recorder:
            hooked = transformer(**call)[0]
        assert torch.equal(hooked, plain)
        torch.testing.assert_close(recorder.logits["concept-attention"], torch.stack(expected), rtol=1e-4, atol=1e-4)

    def test_a_folder_is_read(self, easyanimate, tmp_path):
        import torch
        import transformers
        from diffusers import AutoencoderKLMagvit, FlowMatchEulerDiscreteScheduler

        from tests.helpers.family_folders import write_chat, write_index
        from vidconcept.models.adapter import choose_adapter, read_layout
        from vidconcept.models.readout import read_scores
        from vidconcept.settings import TrackSettings

        write_chat(tmp_path, "Qwen3ForCausalLM", "Qwen3Config")
        text = transformers.Qwen2VLConfig(
            text_config={
                "vocab_size": 64,
                "hidden_size": 24,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]},
            },
            vision_config={"depth": 1, "embed_dim": 8, "num_heads": 1, "hidden_size": 24},
        )
        transformers.Qwen2VLForConditionalGeneration(text).save_pretrained(tmp_path / "text_encoder")
        self.make_transformer().save_pretrained(tmp_path / "transformer")
        torch.manual_seed(0)
        AutoencoderKLMagvit(
            latent_channels=4, block_out_channels=(8, 8, 8, 8), layers_per_block=1, norm_num_groups=2
        ).save_pretrained(tmp_path / "vae")
        FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(tmp_path / "scheduler")
        write_index(tmp_path)
        layout = read_layout(tmp_path)
        assert (layout.step, layout.pitch_px, layout.num_layers) == (4, 16, 3)
        settings = TrackSettings(dtype="float32", device="cpu", layers=(1, 2))
        model = choose_adapter(tmp_path).load(tmp_path, settings, ("scratch", "clean surface"), print)
        frames = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), np.uint8)
        scores = read_scores(model, frames)
        assert scores.shape == (2, 2, 2, 3)
        assert scores.std() > 0

    def test_the_page_names_all_that_a_family_offers(self):
        from vidconcept.models import adapter

        page = (HOW_TO / "add-a-model.md").read_text("utf-8")
        for protocol in (adapter.Adapter, adapter.Model):
            members = {name for name in vars(protocol) if not name.startswith("_")} - {"settings"}
            assert members <= set(re.findall(r"`(\w+)[`(]", page))
