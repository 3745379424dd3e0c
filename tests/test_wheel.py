"""A wheel built from the tree carries presets and weights: installed elsewhere, it tracks outside the checkout."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.slow, pytest.mark.slice]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return next(out.glob("*.whl"))


def test_carries_presets_weights_and_assets(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for part in (
        "vidconcept/configs/cogvideox-2b.toml",
        "vidconcept/configs/linecam.toml",
        "vidconcept/models/weights/linecam/model_index.json",
        "vidconcept/models/weights/linecam/tokenizer/spiece.model",
    ):
        assert part in names
    assert any(
        n.startswith("vidconcept/models/weights/linecam/transformer/") and n.endswith(".safetensors") for n in names
    )
    assert any(n.startswith("vidconcept/writers/review/assets/") for n in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"vidconcept"}


def test_tracks_from_a_clean_environment_outside_the_checkout(wheel, tmp_path):
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    # The libraries, gigabytes of them, are lent by the tests' environment; the package itself comes from the wheel.
    lent = tmp_path / "lent"
    lent.mkdir()
    packages = Path(next(p for p in sys.path if p.endswith("site-packages")))
    for entry in packages.iterdir():
        if "vidconcept" not in entry.name and entry.name != "__pycache__":
            (lent / entry.name).symlink_to(entry)
    site = next((environment / "lib").glob("python3*")) / "site-packages"
    (site / "lent.pth").write_text(f"{lent}\n")
    pip = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]
    subprocess.run(pip, check=True)
    clip = shutil.copy(ROOT / "examples" / "line_cam.mp4", tmp_path)
    command = [str(environment / "bin" / "vidconcept"), "track", str(clip), "--concepts", "scratch,dent", "--end", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 25
    where = [str(environment / "bin" / "python"), "-c", "import vidconcept; print(vidconcept.__file__)"]
    assert str(environment) in subprocess.run(where, capture_output=True, text=True, cwd=tmp_path).stdout
