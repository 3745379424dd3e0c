"""What `import vidconcept` offers, and what it does not make anybody wait for."""

import subprocess
import sys
from importlib import resources

import pytest

import vidconcept


def test_every_public_name_is_there():
    for name in vidconcept.__all__:
        assert getattr(vidconcept, name) is not None
    assert set(dir(vidconcept)) == set(vidconcept.__all__)


def test_errors_are_one_family():
    errors = [vidconcept.InputError, vidconcept.ModelError, vidconcept.OutputError, vidconcept.UsageError]
    assert all(issubclass(error, vidconcept.VidconceptError) for error in errors)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "1"])
def test_a_rate_that_is_none_is_refused_before_anything_is_read(rate, tmp_path):
    with pytest.raises(vidconcept.UsageError, match="not a rate above 0"):
        vidconcept.calibrate(tmp_path / "none.mp4", "scratch", false_alarms_per_hour=rate)
    with pytest.raises(vidconcept.UsageError, match="no footage"):
        vidconcept.calibrate([], "scratch")


@pytest.mark.parametrize(
    "call",
    [
        lambda: vidconcept.track(None, concepts="scratch"),
        lambda: vidconcept.track("a.mp4", concepts="scratch", config=5),
        lambda: vidconcept.evaluate(None, "scratch"),
        lambda: vidconcept.calibrate(None, "scratch"),
        lambda: vidconcept.calibrate(["a.mp4", 5], "scratch"),
        lambda: vidconcept.export(5, "coco"),
        lambda: vidconcept.Run.open(None),
        lambda: vidconcept.Session("scratch", config=5),
    ],
)
def test_what_is_no_path_is_refused(call):
    with pytest.raises(vidconcept.UsageError, match=r"=(None|5)` is no path\. Next: "):
        call()


def test_paths_may_be_strings(tmp_path):
    with pytest.raises(vidconcept.VidconceptError):
        vidconcept.export(str(tmp_path / "none"), "coco", str(tmp_path / "out.json"))


def test_the_package_is_typed():
    assert (resources.files("vidconcept") / "py.typed").is_file()


def test_deciding_anew_and_help_wait_for_no_model_library():
    script = "import sys, vidconcept.cli, vidconcept.pipelines.track, vidconcept.writers.exchange.export\n"
    script += "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
