"""Photographs in generated footage: surfaces, marks that are cut out of them, and marks that teach nothing."""

import cv2
import numpy as np
import pytest

from linecam.footage.clips import clip
from linecam.footage.photos import Photographs, cut_stamp, paint_stamp
from vidconcept.errors import InputError
from vidconcept.painting.defects import PAINTERS
from vidconcept.painting.kinds import IGNORE
from vidconcept.painting.patches import Ground


def grainy(size: int = 256, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.clip(120 + 6 * rng.standard_normal((size, size, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    cv2.imwrite(str(tmp_path / "sheet.png"), grainy())
    marked = grainy(seed=1)
    cv2.line(marked, (40, 60), (200, 180), (20, 20, 20), 7)
    # A name of which the plan says that its marks are no good ground.
    cv2.imwrite(str(tmp_path / "blue_metal_plate.png"), marked)
    return tmp_path


def test_a_folder_without_photographs_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"has no photographs.*--photos"):
        Photographs(tmp_path)


def test_a_file_that_is_no_picture_is_an_error(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        Photographs(tmp_path)


def test_surfaces_are_of_the_asked_size_and_about_zero(folder):
    photographs = Photographs(folder)
    surface = photographs.surface(np.random.default_rng(0), 90, 400, 1.0)
    assert surface.log_luminance.shape == (90, 400)
    assert surface.tint.shape == (90, 400, 3)
    assert abs(float(surface.log_luminance.mean())) < 0.05


def test_the_same_seed_gives_the_same_clip_and_only_with_photographs_another(folder):
    photographs = Photographs(folder, share=1.0)
    one, two = (clip(3, (64, 96), 1, photos=photographs) for _ in range(2))
    assert np.array_equal(one.frames, two.frames)
    assert not np.array_equal(one.frames, clip(3, (64, 96), 1).frames)


def test_marks_that_a_photograph_brings_along_teach_nothing(tmp_path, folder):
    (folder / "sheet.png").unlink()
    photographs = Photographs(folder, share=1.0)
    ignored = [(clip(k, (128, 192), 1, photos=photographs, defects=0.0).classes == IGNORE).mean() for k in range(6)]
    assert max(ignored) > 0.01
    assert max(ignored) < 0.5


def test_a_mark_is_cut_out_along_its_edge_and_painted_as_dark_as_asked():
    image = grainy()
    cv2.line(image, (100, 30), (100, 200), (30, 30, 30), 6)
    stamp = cut_stamp(image, (80, 20, 120, 220), -0.4)
    assert stamp is not None
    columns = np.nonzero(stamp.mask.any(0))[0]
    assert 16 <= columns.min() <= 18
    assert 22 <= columns.max() <= 25
    patch = paint_stamp(np.random.default_rng(1), Ground(0.4, 0.01, 1.0, 0.1), stamp)
    assert patch.mask.any()
    assert patch.gain[patch.mask].mean() < 0.85
    assert patch.gain[~cv2.dilate(patch.mask.astype(np.uint8), np.ones((9, 9))).astype(bool)].min() > 0.9


def test_nothing_is_cut_out_of_a_bare_surface():
    assert cut_stamp(grainy(), (80, 20, 120, 220), -0.4) is None


def test_only_what_was_cut_out_replaces_painters(folder):
    painters = Photographs(folder).painters(PAINTERS)
    assert painters["dent"] is PAINTERS["dent"]
    assert painters["rust"] is PAINTERS["rust"]
