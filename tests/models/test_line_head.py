"""The net that is taught on good frames of a line: what it learns, what it leaves alone, and its file."""

import numpy as np
import pytest
import torch

from vidconcept.errors import InputError, UsageError
from vidconcept.models import line_head
from vidconcept.models.line_head import (
    FEWEST_CELLS,
    LineHead,
    Member,
    arrange_inputs,
    spread_correction,
    sum_surfaces,
    teach,
)
from vidconcept.models.line_head_file import check_line_head, name_line_head, read_line_head, write_line_head
from vidconcept.models.linecam_codec import PatchCodec
from vidconcept.painting.kinds import CLASS_ID, CONCEPTS, IGNORE


@pytest.fixture(autouse=True)
def few_steps(monkeypatch):
    monkeypatch.setattr(line_head, "STEPS", 200)


def make_cells(count: int = 4000) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, logits that know nothing, and truth: a scratch where the first input is high, else a part."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(count, 5, generator=generator)
    truth = torch.where(inputs[:, 0] > 1, CLASS_ID["scratch"], CLASS_ID["part"])
    truth[: FEWEST_CELLS // 2] = CLASS_ID["rust"]
    truth[-10:] = IGNORE
    return inputs, torch.zeros(count, len(CONCEPTS)), truth


def test_it_learns_what_was_painted_and_leaves_alone_what_was_not():
    inputs, logits, truth = make_cells()
    member = teach(inputs, logits, truth, seed=1)
    assert member is not None
    scratch = sum_surfaces(spread_correction(member(inputs), len(CONCEPTS))).softmax(1)[:, 1]
    assert scratch[truth == CLASS_ID["scratch"]].mean() > 2 * scratch[truth == CLASS_ID["part"]].mean()
    # Of rust there were too few cells, of holes none.
    rust, hole = (1 + CLASS_ID[name] - CLASS_ID["scratch"] for name in ("rust", "hole"))
    assert member.taught[[rust, hole]].tolist() == [0, 0]


def test_the_same_footage_teaches_the_same():
    first, second = (teach(*make_cells(), seed=1) for _ in range(2))
    assert first is not None
    assert second is not None
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_nothing_is_learnt_where_nothing_was_painted():
    inputs, logits, truth = make_cells()
    assert teach(inputs, logits, torch.full_like(truth, CLASS_ID["part"]), seed=1) is None


def test_an_untaught_head_changes_no_logits_and_inputs_have_the_shares_behind_them():
    logits, seen = torch.randn(2, len(CONCEPTS), 3, 4), torch.randn(2, 7, 3, 4)
    assert torch.equal(LineHead([Member(7 + len(CONCEPTS))])(logits, seen), logits)
    assert arrange_inputs(logits, seen).shape == (2, 3, 4, 7 + len(CONCEPTS))


def test_the_codec_sees_through_its_head():
    codec = PatchCodec(feature_widths=(8, 8, 8, 8), feature_blocks=(1, 1, 1)).eval()
    video = torch.rand(1, 3, 5, 32, 48)
    before, _ = codec.classify_cells(video)
    member = Member(8 + 176 + 15)
    torch.nn.init.constant_(member.outer.bias, 1.0)
    member.taught.zero_()
    member.taught[1] = 1
    codec.line_head = LineHead([member])
    after, _ = codec.classify_cells(video)
    assert (after[..., CLASS_ID["scratch"]] > before[..., CLASS_ID["scratch"]]).all()
    assert torch.allclose(after.sum(-1), torch.ones_like(after[..., 0]))


class TestFile:
    @pytest.fixture
    def path(self, tmp_path):
        path = name_line_head(tmp_path / "line.toml")
        write_line_head(path, LineHead([Member(9), Member(9)]).tensors(), "weights")
        return path

    def test_a_head_comes_back_as_it_was(self, path):
        written, read = LineHead([Member(9), Member(9)]), LineHead.read(path)
        assert len(read.members) == 2
        assert written.state_dict().keys() == read.state_dict().keys()
        assert all(np.array_equal(values, read.tensors()[name]) for name, values in read_line_head(path).items())

    def test_it_is_bound_to_its_weights(self, path):
        assert check_line_head(path, "weights")
        with pytest.raises(UsageError, match="learnt with other weights"):
            check_line_head(path, "others")

    def test_the_same_head_has_one_digest_whatever_file_it_is_in(self, path, tmp_path):
        for number in range(20):
            write_line_head(tmp_path / f"{number}.head", LineHead.read(path).tensors(), "weights")
        assert {check_line_head(tmp_path / f"{n}.head", "weights") for n in range(20)} == {
            check_line_head(path, "weights")
        }

    @pytest.mark.parametrize("name", ["none.safetensors", "."])
    def test_where_no_file_is_the_setting_is_named(self, tmp_path, name):
        with pytest.raises(InputError, match=r"line_head = .*no line head is there"):
            check_line_head(tmp_path / name, "weights")

    @pytest.mark.parametrize("content", [b"", b"nothing", b"\x08\0\0\0\0\0\0\0{}      "])
    def test_another_file_is_refused(self, path, content):
        path.write_bytes(content)
        with pytest.raises(InputError, match="no line head"):
            check_line_head(path, "weights")
