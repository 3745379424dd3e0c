"""The embedded model's codec: its two parts, how it is read, and the steps that its net is trained by."""

import numpy as np
import pytest
import torch

from linecam import cost
from linecam.footage import clips
from linecam.training.teacher import CodecTeacher
from linecam.training.train_codec import KernelMuon, fit_picture, restore_codec
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.models.trunk import CHANNELS, Trunk, fold_weights
from vidconcept.painting.cells import cell_shares, cell_truth
from vidconcept.painting.kinds import DEFECT_IDS


class TestCodec:
    def test_pictures_survive_encoding(self):
        codec = PatchCodec().eval()
        fit_picture(codec, 1, clips=12)
        decibels = []
        for seed in range(7, 27):
            frames = clips.clip(seed, (128, 192), 9).frames.copy()
            video = torch.from_numpy(frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
            with torch.inference_mode():
                latents = codec.encode(video).latent_dist.mode()
                decoded = codec.decode(latents).sample
            assert latents.shape == (1, 16, 3, 32, 48)
            error = ((decoded - video) / 2).square().mean((0, 1, 3, 4))
            decibels.append([-10 * float(part.log10()) for part in (error[0], error[1:].mean())])
        # Grain at the limit of resolution is lost, and of a clip that flickers or jumps the later frames are worse.
        first, later = np.median(decibels, 0)
        assert first > 35
        assert later > 29

    def test_features_do_not_reach_the_picture(self):
        codec = PatchCodec().eval()
        latents = torch.randn(1, 16, 2, 8, 8)
        other = latents.clone()
        other[:, 8:] += 1
        assert torch.equal(codec.decode(latents).sample, codec.decode(other).sample)

    def test_what_one_frame_of_a_step_shows_is_not_averaged_away(self):
        torch.manual_seed(0)
        codec = PatchCodec().eval()
        video = torch.rand(1, 3, 5, 32, 48) * 2 - 1
        with torch.inference_mode():
            looked, _ = codec.classify_cells(video)
            kinds, features = looked[0], codec.pool_features(looked)[0]
        assert features.shape == (2, 4, 6, 32)
        torch.testing.assert_close(features[0, ..., :15], kinds[0])
        torch.testing.assert_close(features[0, ..., 15:30], kinds[0])
        torch.testing.assert_close(features[1, ..., :15], kinds[1:].amax(0))
        torch.testing.assert_close(features[1, ..., 15:30], kinds[1:].mean(0))
        assert not features[..., 30:].any()

    def test_faint_shares_are_apart_on_a_logarithmic_scale(self):
        codec = PatchCodec(feature_scale="logarithmic").eval()
        shares = torch.tensor([0.0, 0.01, 0.1, 1.0]).view(4, 1, 1, 1, 1).expand(4, 1, 1, 1, 15)
        scaled = codec.pool_features(shares)[:, 0, 0, 0]
        assert scaled[0, 0] == pytest.approx(0, abs=1e-6)
        assert scaled[3, 0] == pytest.approx(1, abs=1e-3)
        steps = scaled[1:, 0].diff()
        torch.testing.assert_close(steps[0], steps[1], rtol=0.05, atol=0)

    def test_latents_come_with_what_the_trunk_saw(self):
        torch.manual_seed(0)
        codec = PatchCodec().eval()
        video = torch.rand(2, 3, 5, 40, 48) * 2 - 1
        with torch.inference_mode():
            latents, described = codec.encode_described(video)
            alone = codec.encode(video).latent_dist.mode()
            frame = codec.feature_net.trunk(video[1:, :, 3])
        torch.testing.assert_close(latents, alone)
        assert described.shape == (2, 5, 5, 6, sum(CHANNELS[1:]))
        torch.testing.assert_close(described[1, 3, ..., 24:64], frame[2][0].movedim(0, -1))
        torch.testing.assert_close(described[1, 3, 2, 3, :24], frame[1][0, :, 4:6, 6:8].mean((1, 2)))

    def test_the_trunk_says_nothing_until_what_sees_it_is_trained(self):
        torch.manual_seed(0)
        net = PatchCodec().eval().feature_net
        frames = torch.rand(2, 3, 40, 56) * 2 - 1
        with torch.inference_mode():
            torch.testing.assert_close(net(frames), net.out(net.fused(frames)))
            torch.nn.init.normal_(net.beside.get_parameter("2.weight"))
            assert not torch.allclose(net(frames), net.out(net.fused(frames)), atol=1e-3)

    def test_a_run_with_a_net_of_other_sizes_does_not_go_on(self, tmp_path):
        other, codec = PatchCodec(feature_widths=(8, 8, 8, 8)), PatchCodec()
        torch.save({"codec": other.state_dict(), "step": 5, "seconds": 1.0}, tmp_path / "codec.pt")
        with pytest.raises(ValueError, match=r"codec\.pt is not of the sizes in the recipe"):
            restore_codec(codec, tmp_path / "codec.pt")

    @pytest.mark.parametrize("shape", [(1, 3, 8, 32, 32), (1, 3, 5, 36, 32)], ids=["frames", "pixels"])
    def test_sizes_that_do_not_fit_are_refused(self, shape):
        with pytest.raises(ValueError, match="4k\\+1"):
            PatchCodec().encode(torch.zeros(shape))

    @pytest.mark.parametrize("size", [(40, 56), (64, 48), (24, 8)])
    def test_any_multiple_of_a_cell_fits(self, size):
        codec = PatchCodec().eval()
        with torch.inference_mode():
            latents = codec.encode(torch.zeros(1, 3, 5, *size)).latent_dist.mode()
        assert latents.shape == (1, 16, 2, size[0] // 4, size[1] // 4)

    def test_saved_and_loaded_it_encodes_the_same(self, tmp_path):
        codec = PatchCodec().eval()
        codec.save_pretrained(tmp_path)
        video = torch.rand(1, 3, 5, 32, 32)
        with torch.inference_mode():
            one, two = (c.encode(video).latent_dist.mode() for c in (codec, PatchCodec.from_pretrained(tmp_path)))
        torch.testing.assert_close(one, two)


class TestKernelMuon:
    def conv(self, layout: torch.memory_format) -> torch.nn.Conv2d:
        torch.manual_seed(0)
        return torch.nn.Conv2d(4, 6, 3).to(memory_format=layout)  # type: ignore[call-overload]

    def test_a_step_is_that_of_the_kernels_as_rows(self):
        conv = self.conv(torch.channels_last)
        conv(torch.randn(2, 4, 8, 8)).square().mean().backward()
        rows = torch.nn.Parameter(conv.weight.detach().flatten(1).clone())
        assert conv.weight.grad is not None
        rows.grad = conv.weight.grad.flatten(1).clone()
        settings = {"lr": 0.1, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}
        KernelMuon([conv.weight], **settings).step()
        torch.optim.Muon([rows], **settings).step()
        # Muon orthogonalises in half precision, and the columns come in another order.
        torch.testing.assert_close(conv.weight.detach().flatten(1), rows.detach(), atol=0.02, rtol=0)

    def test_kernels_in_another_layout_are_refused(self):
        with pytest.raises(ValueError, match="channels_last"):
            KernelMuon([self.conv(torch.contiguous_format).weight], lr=0.1)


class TestTrunk:
    def test_folded_batch_norms_compute_the_same(self):
        torch.manual_seed(0)
        conv, norm = torch.nn.Conv2d(3, 32, 3, 2, bias=False), torch.nn.BatchNorm2d(32, eps=1e-3).eval()
        for key in ("weight", "bias", "running_mean", "running_var"):
            torch.nn.init.uniform_(norm.state_dict()[key], 0.5, 1.5)
        published = {f"_bn0.{k}": v for k, v in norm.state_dict().items()} | {"_conv_stem.weight": conv.weight}
        trunk = Trunk()
        for name, part in trunk.state_dict().items():
            if name.startswith("blocks."):
                _, k, layer, _, kind = name.split(".")
                names = ("expand", "depthwise", "project") if k != "0" else ("depthwise", "project")
                theirs = f"_blocks.{k}.{'_bn' + str(names.index(layer) + (k == '0'))}"
                if kind == "weight":
                    published[f"_blocks.{k}._{layer}_conv.weight"] = part.clone()
                for key in ("weight", "running_var"):
                    published[f"{theirs}.{key}"] = torch.ones(len(part))
                for key in ("bias", "running_mean"):
                    published[f"{theirs}.{key}"] = torch.zeros(len(part))
        trunk.load_state_dict(fold_weights(published))
        frames = torch.rand(2, 3, 32, 48) * 2 - 1
        with torch.inference_mode():
            # Stride 2 on an even size pads one row and column, at the end.
            padded = torch.nn.functional.pad((frames * 127.5 + 0.5) / 128, (0, 1, 0, 1))
            torch.testing.assert_close(trunk.stem(frames_in(frames)), norm(conv(padded)).clamp(0, 6))

    @pytest.mark.parametrize("size", [(64, 96), (40, 56), (8, 24)])
    def test_strides_are_2_to_16(self, size):
        with torch.inference_mode():
            features = Trunk()(torch.zeros(1, 3, *size))
        for stride, channels, part in zip((2, 4, 8, 16), CHANNELS, features, strict=True):
            assert part.shape == (1, channels, -(-size[0] // stride), -(-size[1] // stride))


def frames_in(frames: torch.Tensor) -> torch.Tensor:
    """Frames in [-1, 1] on the scale that the trunk's first layer expects."""
    return (frames * 127.5 + 0.5) / 128


def test_a_fused_convolution_costs_what_a_plain_one_does():
    trunk, frames = Trunk().eval(), torch.rand(1, 3, 64, 64) * 2 - 1
    counted = []
    for grad in (True, False):
        with torch.set_grad_enabled(grad), cost.FlopCounterMode(display=False) as counter:
            trunk(frames)
        counted.append(counter.get_total_flops())
    assert counted[0] == counted[1] > 0


def test_a_teacher_reads_every_mirroring_and_tells_where_things_lie_in_the_frame_itself():
    made = clips.clip(11, (128, 192), 1, defects=4.0)
    truth = cell_truth(cell_shares(made.classes))[0].ravel()
    frames = torch.from_numpy(made.frames).permute(0, 3, 1, 2) / 127.5 - 1
    teacher = CodecTeacher(find_folder(find_preset("linecam")).path, torch.device("cpu"), 0)
    readings = [teacher.read(frames)[0].exp() for _ in range(24)]
    assert torch.allclose(readings[0].sum(0), torch.ones(len(truth)))
    assert len({tuple(reading[0].tolist()) for reading in readings}) == 4
    is_defect = np.isin(truth, DEFECT_IDS)
    assert is_defect.any()
    for reading in readings:
        defect = reading[list(DEFECT_IDS)].sum(0).numpy()
        assert defect[is_defect].mean() > 3 * defect[~is_defect].mean()
