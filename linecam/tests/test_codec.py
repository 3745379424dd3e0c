"""The embedded model's codec: its two parts, how it is read, and the steps that its net is trained by."""

import numpy as np
import pytest
import torch

from linecam.footage import clips
from linecam.training.train_codec import KernelMuon, fit_picture, start_codec, train_features
from vidconcept.models.linecam_codec import PatchCodec


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
            kinds = codec.kinds(video)[0]
            features = codec.features(video)[0]
        assert features.shape == (2, 4, 6, 32)
        torch.testing.assert_close(features[0, ..., :15], kinds[0])
        torch.testing.assert_close(features[0, ..., 15:30], kinds[0])
        torch.testing.assert_close(features[1, ..., :15], kinds[1:].amax(0))
        torch.testing.assert_close(features[1, ..., 15:30], kinds[1:].mean(0))
        assert not features[..., 30:].any()

    def test_frames_are_read_mirrored_too(self):
        torch.manual_seed(0)
        codec = PatchCodec().eval()
        video = torch.rand(2, 3, 5, 32, 48) * 2 - 1
        with torch.inference_mode():
            codec.feature_net.out.weight.mul_(20)
            kinds, turned = codec.kinds(video), codec.kinds(video.flip(-1, -2)).flip(2, 3)
            mirrored = codec.kinds(video[:, :, :1].flip(-1)).flip(3)
            plain = codec.feature_net(video[:, :, 2]).softmax(1).movedim(1, -1)
            across, down = (
                codec.feature_net(video[:, :, 2].flip(a)).softmax(1).flip(a).movedim(1, -1) for a in (-1, -2)
            )
        torch.testing.assert_close(kinds, turned)
        torch.testing.assert_close(kinds[:, :1], mirrored)
        torch.testing.assert_close(kinds[:, 2], (across + down) / 2)
        assert not torch.allclose(kinds[:, 2], plain, atol=1e-3)

    def test_a_deeper_net_begins_as_the_one_that_it_comes_from(self, tmp_path):
        torch.manual_seed(0)
        codec = PatchCodec().eval()
        codec.save_pretrained(tmp_path / "vae")
        sizes = {"widths": [48, 96, 192, 256], "blocks": [3, 4, 3], "seed": 0}
        with pytest.warns(UserWarning, match="of the codec's tensors are not in"):
            deep = start_codec(sizes, tmp_path).eval()
        video = torch.rand(1, 3, 5, 32, 48) * 2 - 1
        with torch.inference_mode():
            torch.testing.assert_close(deep.features(video), codec.features(video))
        assert len(deep.feature_net.coarse) == 4

    def test_a_run_with_a_net_of_other_sizes_does_not_go_on(self, tmp_path):
        config = {"widths": [48, 96, 192, 256], "blocks": [3, 4, 3], "seed": 0, "seconds": 0}
        PatchCodec().save_pretrained(tmp_path / "vae")
        torch.save({"codec": PatchCodec().state_dict(), "step": 5, "seconds": 1.0}, tmp_path / "codec.pt")
        with (
            pytest.warns(UserWarning, match="not in"),
            pytest.raises(ValueError, match=r"codec\.pt is not of the sizes in the recipe"),
        ):
            train_features(0, 1, tmp_path, tmp_path, config, tmp_path, torch.device("cpu"))

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
        rows.grad = conv.weight.grad.flatten(1).clone()
        settings = {"lr": 0.1, "weight_decay": 0.0, "adjust_lr_fn": "match_rms_adamw"}
        KernelMuon([conv.weight], **settings).step()
        torch.optim.Muon([rows], **settings).step()
        # Muon orthogonalises in half precision, and the columns come in another order.
        torch.testing.assert_close(conv.weight.detach().flatten(1), rows.detach(), atol=0.02, rtol=0)

    def test_kernels_in_another_layout_are_refused(self):
        with pytest.raises(ValueError, match="channels_last"):
            KernelMuon([self.conv(torch.contiguous_format).weight], lr=0.1)
