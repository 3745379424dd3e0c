"""Fit the codec: principal components for the picture channels, a supervised run for the feature channels.

Runs before `train`; the transformer then learns on the codec's latents.
"""

import json
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from linecam.footage.clips import clip, training_seed
from linecam.training.augment import jitter, roughen
from linecam.training.data import ShardStream
from linecam.training.parallel import average_gradients, common_clock
from linecam.training.teacher import CodecTeacher, distillation_loss
from linecam.training.trunk_weights import fetch_trunk
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.painting.kinds import CONCEPTS, DEFECT_IDS, DEFECTS, IGNORE

# Least deviation of a feature, of 0..1.
QUIET = 0.15


def fit_picture(codec: PatchCodec, seed: int, clips: int = 64) -> None:
    """Set the codec's picture basis to the principal components of training clips of `seed`."""
    firsts, laters = [], []
    for k in range(clips):
        frames = clip(training_seed(seed, k), (128, 128)).frames.astype(np.float32) / 127.5 - 1
        patches = frames.reshape(9, 32, 4, 32, 4, 3).transpose(0, 1, 3, 5, 2, 4)  # t h w c p q
        firsts.append(patches[0].reshape(-1, 48))
        laters.append(patches[1:5].transpose(1, 2, 0, 3, 4, 5).reshape(-1, 192))
    for name, rows in (("first", firsts), ("later", laters)):
        data = np.concatenate(rows).astype(np.float64)
        mean = data.mean(0)
        values, vectors = np.linalg.eigh(np.cov((data - mean).T))
        keep = len(codec.first_basis)
        basis, std = vectors[:, ::-1][:, :keep].T, np.sqrt(np.maximum(values[::-1][:keep], 1e-8))
        getattr(codec, f"{name}_mean").copy_(torch.from_numpy(mean))
        getattr(codec, f"{name}_basis").copy_(torch.from_numpy(basis.copy()))
        getattr(codec, f"{name}_std").copy_(torch.from_numpy(std.copy()))


def _overlap(logits: Tensor, truth: Tensor) -> np.ndarray:
    """Intersection and union of cells for each defect, `(2, defect)`."""
    guess, known = logits.argmax(1), truth != IGNORE
    pairs = [((guess == k) & known, truth == k) for k in DEFECT_IDS]
    return np.array([[(a & b).sum().item() for a, b in pairs], [(a | b).sum().item() for a, b in pairs]])


def make_codec(config: dict) -> PatchCodec:
    """A codec of the sizes of the recipe's `[codec]`, untrained. A block of its net begins as nothing but its input."""
    return PatchCodec(
        feature_widths=tuple(config["widths"]), feature_blocks=tuple(config["blocks"]), feature_kinds=len(CONCEPTS),
        feature_scale=config["scale"],
    )  # fmt: skip


def start_codec(config: dict, resume_from: Path | None, out: Path) -> PatchCodec:
    """A codec to train: what fits in name and shape is taken from a pipeline folder, `resume_from`.

    Else its picture is fitted to generated clips; a trunk that the folder lacks is the published one. config: the
    recipe's `[codec]`, and its seed. out: where the trunk's package is downloaded to.
    """
    codec = make_codec(config)
    own, theirs = codec.state_dict(), {}
    if resume_from is not None:
        theirs = load_file(resume_from / "vae" / "diffusion_pytorch_model.safetensors")
    fitting = {k: v.float() for k, v in theirs.items() if k in own and v.shape == own[k].shape}
    if theirs and len(fitting) < len(own):
        warnings.warn(f"{len(own) - len(fitting)} of the codec's tensors are not in {resume_from}: new", stacklevel=2)
    codec.load_state_dict(own | fitting)
    if not any(name.startswith("feature_net.trunk.") for name in fitting):
        codec.feature_net.trunk.load_state_dict(fetch_trunk(out / "trunk"))
    if not theirs:
        fit_picture(codec, config["seed"])
    return codec


class KernelMuon:
    """Muon for convolutions in `channels_last`: each kernel is one row of a matrix that shares the weight's memory.

    Raises ValueError for another memory layout, and RuntimeError where torch has no Muon.
    """

    def __init__(self, weights: Iterable[Tensor], **settings: Any) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise RuntimeError(
                f"training needs torch.optim.Muon; torch {torch.__version__} has none: install torch 2.9"
            )
        self._pairs = [(w, nn.Parameter(w.detach().permute(0, 2, 3, 1).flatten(1))) for w in weights]
        if any(w.data_ptr() != rows.data_ptr() for w, rows in self._pairs):
            raise ValueError("convolutions must be in channels_last memory")
        self._muon = torch.optim.Muon([rows for _, rows in self._pairs], **settings)
        self.param_groups = self._muon.param_groups

    def step(self) -> None:
        """One step from the weights' gradients."""
        for w, rows in self._pairs:
            rows.grad = None if w.grad is None else w.grad.permute(0, 2, 3, 1).flatten(1)
        self._muon.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything to go on."""
        return self._muon.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self._muon.load_state_dict(state)
        self.param_groups = self._muon.param_groups


def make_net_optimizers(
    net: nn.Module, matrix_rate: float, rate: float
) -> tuple[list[nn.Parameter], tuple[KernelMuon, torch.optim.AdamW]]:
    """What of a `FeatureNet` is trained, and by what: Muon for the kernels, AdamW for the rest."""
    trained = [p for p in net.parameters() if p.requires_grad]
    kernels, rest = [p for p in trained if p.ndim == 4], [p for p in trained if p.ndim != 4]
    return trained, (
        KernelMuon(kernels, lr=matrix_rate, weight_decay=0.02, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, rate, weight_decay=0.02, betas=(0.9, 0.98)),
    )


def restore_codec(codec: PatchCodec, checkpoint: Path) -> tuple[int, float]:
    """Load a checkpoint of `train_features`; returns its steps and seconds. Raises ValueError for other sizes."""
    saved = torch.load(checkpoint, weights_only=True)
    if {k: v.shape for k, v in saved["codec"].items()} != {k: v.shape for k, v in codec.state_dict().items()}:
        raise ValueError(f"{checkpoint} is not of the sizes in the recipe's [codec]. Next: another --out")
    codec.load_state_dict(saved["codec"])
    return saved["step"], saved["seconds"]


def train_features(
    rank: int, shards: Path, out: Path, config: dict, resume_from: Path | None, device: torch.device
) -> None:
    """Train `FeatureNet` to name each cell for `seconds`, resuming from `out/codec.pt`; save its running average.

    config: the recipe's `[codec]`, and its seed. The rate rises over 200 steps and falls to zero at the end.
    """
    seed, seconds = config["seed"], config["seconds"]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + rank)
    codec = start_codec(config, resume_from, out)
    step, earlier = 0, 0.0
    if (out / "codec.pt").exists():
        step, earlier = restore_codec(codec, out / "codec.pt")
    net = codec.feature_net
    net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    # The trunk stays as it was published. What lies beside the net is trained first with the net, then alone.
    net.requires_grad_(False).eval()
    for part in net.children() if config["whole"] else [net.beside]:
        part.requires_grad_(part is not net.trunk).train()
    trained, optimizers = make_net_optimizers(net, config["matrix_rate"], config["rate"])
    teacher = CodecTeacher(Path(config["teacher"]), device, seed + rank) if config.get("teacher") else None
    defects = torch.tensor([name in DEFECTS for name in CONCEPTS], device=device)
    weight = torch.where(defects, config["defect_weight"], 1.0)
    feeds = [
        ShardStream(shards, seed + 100 * step + 10 * rank + late, share, config["turned_share"]).batches(
            batch, 1, size, size
        )
        for late, (size, batch, share) in enumerate((config["early"], config["late"]))
    ]
    begun, last, ious, losses = time.monotonic(), time.monotonic(), [], []
    while (clock := common_clock(earlier + time.monotonic() - begun)) < seconds:
        progress = clock / seconds
        video, truth, _ = next(feeds[progress >= config["late_from"]])
        for optimizer, rate in zip(optimizers, (config["matrix_rate"], config["rate"]), strict=True):
            optimizer.param_groups[0]["lr"] = rate * min(1.0, (step + 1) / 200) * min(1.0, 1.6 * (1 - progress))
        frames = roughen(jitter(video, generator)[:, :, 0], generator)
        with torch.autocast(device.type, torch.bfloat16):
            frames = frames.to(device).contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                trunk = net.trunk(frames)
            with torch.set_grad_enabled(config["whole"]):
                fused = net.fused(frames)
            logits = net.read(fused, trunk)
        target = truth[:, 0].long().to(device)
        loss = F.cross_entropy(logits.float(), target, weight, ignore_index=IGNORE)
        if teacher:
            # It sees the frames before they are made rough: the student is to see through that.
            taught = teacher.read(video[:, :, 0].to(device))
            each = torch.ones(len(target), device=device)
            loss = loss + config["distillation_weight"] * distillation_loss(
                logits.flatten(2), taught, target.flatten(1), defects, config["taught_defect_weight"], each
            )
        net.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(trained)
        nn.utils.clip_grad_norm_(trained, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        average.update_parameters(net)
        step += 1
        losses.append(loss.item())
        if step % 5 == 0:
            ious.append(_overlap(logits, target))
        if rank == 0 and time.monotonic() - last > 60:
            hits, either = np.sum(ious, 0)
            line: dict = {"step": step, "seconds": round(clock), "loss": round(float(np.mean(losses)), 4)}
            line["iou"] = dict(zip(DEFECTS, (hits / np.maximum(either, 1)).round(3).tolist(), strict=True))
            with (out / "codec_log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            last, ious, losses = time.monotonic(), [], []
            _save(codec, average.module, step, clock, out)
    if rank == 0:
        _save(codec, average.module, step, clock, out)


def _save(codec: PatchCodec, average: nn.Module, step: int, seconds: float, out: Path) -> None:
    state = codec.state_dict() | {f"feature_net.{k}": v for k, v in average.state_dict().items()}
    saved = {"codec": {k: v.detach().cpu() for k, v in state.items()}, "step": step, "seconds": seconds}
    torch.save(saved, out / "codec.pt.partial")
    (out / "codec.pt.partial").rename(out / "codec.pt")


@torch.no_grad()
def fit_feature_scale(codec: PatchCodec, stream: ShardStream, clips: int = 48) -> None:
    """Set the codec's feature mean and deviation, so that its latents have about unit deviation.

    Features that are almost always silent keep a deviation of `QUIET`: one that speaks up must not outweigh all else.
    """
    codec.eval()
    videos, _, _ = zip(*(next(stream.batches(1, 9, 128, 128)) for _ in range(clips)), strict=True)
    data = torch.cat([codec.pool_features(codec.classify_cells(video)[0]).flatten(0, 3) for video in videos])
    codec.feature_mean.copy_(data.mean(0))
    codec.feature_std.copy_(data.std(0).clamp_min(QUIET))
