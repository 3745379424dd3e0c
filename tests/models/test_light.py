"""Importing diffusers for the embedded model alone, each time in a process of its own."""

import subprocess
import sys

READ = """
import hashlib
import numpy as np
from vidconcept.models.cogvideox_folder import CogVideoXAdapter
from vidconcept.models.folder import find_folder, find_preset
from vidconcept.settings import TrackSettings

if sys.argv[1] == "light":
    light.allow()
preset = find_preset("linecam")
settings = TrackSettings(**{**preset.settings, "dtype": "float32", "device": "cpu"})
model = CogVideoXAdapter().load(find_folder(preset).path, settings, ["scratch", "part"], print)
window = np.random.default_rng(0).integers(0, 255, (9, 64, 96, 3), dtype=np.uint8)
print(hashlib.sha256(b"".join(x.tobytes() for x in model.described(window)[0])).hexdigest())
"""


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", f"import sys\nfrom vidconcept.models import light\n{script}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_what_the_embedded_model_says_is_the_same():
    assert run(READ, "light") == run(READ, "whole")


def test_what_is_hidden_is_there_afterwards():
    told = run(
        "light.allow(); light.import_diffusers()\n"
        "print(*({'torch._dynamo', 'transformers', 'diffusers'} & set(sys.modules)))\n"
        "import torch._dynamo, transformers\n"
        "print(torch._dynamo.__name__, transformers.T5Config().model_type, hasattr(torch._dynamo, 'optimize'))"
    )
    assert told.splitlines() == ["diffusers", "torch._dynamo t5 True"]


def test_nobody_else_gets_a_diffusers_without_its_pipelines():
    assert run("light.import_diffusers(); print('diffusers' in sys.modules)") == "False"


def test_a_version_that_needs_more_is_imported_as_a_whole():
    told = run(
        "import logging; logging.basicConfig(level=logging.DEBUG, format='%(message)s', stream=sys.stdout)\n"
        "logging.getLogger().setLevel(logging.WARNING); light.log.setLevel(logging.DEBUG)\n"
        "light.HIDDEN = ('requests',); light.allow(); light.import_diffusers()\n"
        "print('diffusers' in sys.modules)\n"
        "from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXTransformer3DModel as found\n"
        "print(found.__name__)"
    )
    first, *_, is_there, found = told.splitlines()
    assert first == "this diffusers is imported as a whole, which takes longer"
    assert (is_there, found) == ("False", "CogVideoXTransformer3DModel")


def test_libraries_that_quantize_are_not_looked_at(tmp_path):
    """They would import the compiler of torch, and the light import would fail after half of its time."""
    for name in ("torchao", "bitsandbytes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("import torch._dynamo.utils\n__version__ = '99.0'\n")
        (tmp_path / f"{name}-99.0.dist-info").mkdir()
        (tmp_path / f"{name}-99.0.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 99.0\n")
    told = run(
        f"sys.path.insert(0, {str(tmp_path)!r}); light.allow(); light.import_diffusers()\n"
        "print('diffusers' in sys.modules, 'torchao' in sys.modules)\n"
        "import torchao; print(torchao.__version__)"
    )
    assert told.splitlines() == ["True False", "99.0"]
