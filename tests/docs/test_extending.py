"""What the pages on extending the tool show is code that works."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

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
    space["write_yolo"](selection, tmp_path / "out" / "clip.yolo.txt")
    assert (tmp_path / "out" / "clip.yolo.txt").read_text() == "3 1 0.200000 0.200000 0.200000 0.200000\n"
    entries = eval(f"{{{entry}}}", {**vars(formats)})
    assert isinstance(entries["yolo"], formats.Format)


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


def test_the_registry_of_the_page_is_the_one_that_is_there():
    from vidconcept.models import adapter

    (registry,) = code_of("add-a-model.md")
    space = {**vars(adapter), "MyAdapter": type("MyAdapter", (), {})}
    exec(registry, space)
    assert set(adapter.ADAPTERS) < set(space["ADAPTERS"])
    page = (HOW_TO / "add-a-model.md").read_text("utf-8")
    for protocol in (adapter.Adapter, adapter.Model):
        members = {name for name in vars(protocol) if not name.startswith("_")} - {"settings"}
        assert members <= set(re.findall(r"`(\w+)[`(]", page))
