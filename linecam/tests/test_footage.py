"""Generated footage: the same seed gives the same clip, and its truth is true."""

import json
from itertools import pairwise

import cv2
import numpy as np
import pytest

from linecam.footage import clips, heldout, layouts, outlines, scene, visibility
from linecam.footage.camera import Motion
from linecam.footage.forms import shade_parts
from linecam.footage.marks import faint_marks
from linecam.footage.visibility import mark_visible
from vidconcept.painting import defects
from vidconcept.painting.kinds import CONCEPTS, DEFECT_IDS, DEFECTS, IGNORE
from vidconcept.painting.patches import Ground

SIZE = (128, 192)


def test_the_same_arguments_give_the_same_clip():
    one, two = (clips.clip(3, SIZE, 5) for _ in range(2))
    assert np.array_equal(one.frames, two.frames)
    assert np.array_equal(one.instances, two.instances)


@pytest.mark.parametrize("size", [(128, 192), (192, 128), (128, 128)])
def test_shapes_and_class_numbers(size):
    made = clips.clip(11, size, 5)
    assert made.frames.shape == (5, *size, 3)
    assert made.frames.dtype == np.uint8
    assert set(np.unique(made.classes)) <= {*range(len(CONCEPTS)), IGNORE}
    assert made.flow.shape == (5, 2, 3)


@pytest.mark.parametrize(
    "motion",
    [Motion(4.0), Motion(-3.0, vibration_px=1.0), Motion(2.0, rotation_deg=2.0), Motion(1.0, zoom_frac=0.02)],
    ids=["straight", "shaking", "turning", "zooming"],
)
@pytest.mark.parametrize("size", [(128, 192), (192, 128)], ids=["wide", "tall"])
def test_flow_carries_each_defect_onto_itself(motion, size):
    made = clips.clip(21, size, 4, motion=motion, defects=12.0, layout="coil", kinds=["stain"])
    before, after = (made.instances[t] > 0 for t in (2, 3))
    carried = cv2.warpAffine(before.astype(np.float32), made.flow[3], size[::-1]) > 0.5
    inner = (slice(12, -12), slice(12, -12))
    union = (carried | after)[inner].sum()
    assert union > 200, "the clip must show a defect for the test to mean anything"
    assert (carried & after)[inner].sum() / union > 0.9


def test_every_instance_is_a_known_defect_and_covers_defect_pixels_only():
    made = clips.clip(21, SIZE, 3, defects=12.0)
    seen = set(np.unique(made.instances)) - {0}
    assert seen
    assert seen == set(made.concepts)
    assert set(made.concepts.values()) <= set(DEFECTS)
    assert np.isin(made.classes[made.instances > 0], (*DEFECT_IDS, IGNORE)).all()


def test_good_footage_holds_no_defect():
    made = clips.clip(5, SIZE, 3, defects=0.0)
    assert made.concepts == {}
    assert not np.isin(made.classes, DEFECT_IDS).any()
    assert made.caption.endswith("with no defect")


class TestVisibility:
    """What a person could not see is not in the truth."""

    def seen(self, line_levels: float, texture: float, noise: float) -> np.ndarray:
        """A vertical line of three pixels, and beside it a faint one of another instance."""
        surface = 100 + texture * np.random.default_rng(0).standard_normal((64, 64), dtype=np.float32)
        marked = surface.copy()
        marked[:, 31:34] += line_levels
        marked[:, 44:46] += 1
        instances = np.zeros((64, 64), np.uint16)
        instances[:, 30:35], instances[:, 44:46] = 1, 2
        return mark_visible(marked, surface, noise, instances)

    def test_a_line_above_the_noise_is_seen_and_nothing_else(self):
        seen = self.seen(30, texture=0.0, noise=2.0)
        assert seen[:, 30:35].all()
        assert not seen[:, :30].any()
        assert not seen[:, 35:].any(), "a faint defect is not seen because a strong one is near"

    @pytest.mark.parametrize(
        ("levels", "texture", "noise"), [(4, 0, 0.5), (30, 0, 25.0), (30, 25.0, 2.0), (0, 5.0, 0.5)]
    )
    def test_a_line_that_is_faint_or_drowns_is_not(self, levels, texture, noise):
        assert not self.seen(levels, texture, noise).any()

    def test_a_clip_leaves_out_what_is_too_faint(self):
        film_again = lambda: clips.clip(21, SIZE, 2, defects=12.0)  # noqa: E731
        plain = film_again()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(visibility, "LEAST_LEVELS", 60.0)
            strict = film_again()
        assert np.array_equal(plain.frames, strict.frames)
        hidden = (strict.classes == IGNORE) & np.isin(plain.classes, DEFECT_IDS)
        assert hidden.any()
        assert (strict.instances[hidden] == 0).all()
        assert set(strict.concepts) == set(np.unique(strict.instances)) - {0}


def test_training_never_reaches_the_held_out_seeds(tmp_path):
    assert clips.training_seed(9, clips.SEED_RANGE - 1) == clips.HELD_OUT_SEED - 1
    assert clips.training_seed(11, 0) == clips.HELD_OUT_SEED + clips.SEED_RANGE
    for seed, number in ((10, 0), (9, clips.SEED_RANGE)):
        with pytest.raises(ValueError, match="held-out"):
            clips.training_seed(seed, number)
    with pytest.raises(ValueError, match="held-out"):
        clips.write_shards(tmp_path, keep=1, seed=10)


def test_marks_of_good_surfaces_are_faint():
    gains = [faint_marks(np.random.default_rng(seed), 96, 128, 1.0) for seed in range(40)]
    assert sum(bool((gain != 1).any()) for gain in gains) > 8
    assert sum(bool((gain == 1).all()) for gain in gains) > 8
    assert all(np.abs(gain - 1).mean() < 0.03 and np.abs(gain - 1).max() < 0.5 for gain in gains)


@pytest.mark.parametrize("painters", [defects.PAINTERS, heldout.PAINTERS], ids=["trained", "held out"])
def test_every_painter_changes_what_its_mask_covers(painters):
    assert set(painters) == set(DEFECTS)
    for name, paint in painters.items():
        contrasts = []
        for seed in range(24):
            patch = paint(np.random.default_rng(seed), Ground(0.5, 0.02, 1.0, 0.1))
            assert patch.gain.shape == patch.add.shape == patch.mask.shape, name
            change = np.abs(0.5 * patch.gain + patch.add - 0.5)
            assert np.isfinite(change).all()
            assert patch.mask.any(), name
            contrasts.append(change[patch.mask].mean() / max(change[~patch.mask].mean(), 1e-9))
        # A broken face may be as bright as the surface was, and then only its outline shows.
        assert min(contrasts) > 1.2, name
        assert np.median(contrasts) > 5, name


def test_rust_is_rarer_without_colour():
    def rusty(colour: bool) -> int:
        films = (clips.clip(seed, (96, 128), 1, defects=9.0, colour=colour) for seed in range(60))
        return sum("rust" in made.concepts.values() for made in films)

    assert 0 < rusty(False) < 0.75 * rusty(True)


@pytest.mark.parametrize("name", ["row", "objects", "coil"])
def test_the_form_of_parts_is_a_gain(name):
    gains = []
    for seed in range(12):
        layout = layouts.LAYOUTS[name](np.random.default_rng(seed), 96, 160, 0.5)
        gains.append(shade_parts(np.random.default_rng(seed), layout, 0.5))
        assert gains[-1].shape == layout.part.shape
    assert np.isfinite(gains).all()
    assert np.min(gains) > 0
    assert sum(gain.std() > 0.05 for gain in gains) > 3


def test_traces_leave_the_truth_of_good_footage_alone():
    rng = np.random.default_rng(4)
    strip = scene.build_strip(rng, 200, 300, 1.0, 0.0, False, "painted", "coil")
    before = strip.luminance.copy()
    layout = layouts.coil_layout(rng, 200, 300, 1.0)
    scene.add_traces(rng, strip, layout, 30, 1.0)
    assert not np.array_equal(strip.luminance, before)
    assert not np.isin(strip.classes, DEFECT_IDS).any()
    assert strip.concepts == {}


@pytest.mark.parametrize("style", list(heldout.SURFACES))
def test_held_out_styles_render(style):
    made = clips.clip(1, SIZE, 3, style=style, defects=6.0)
    assert made.frames.std() > 1


def test_written_folder_has_the_layout_of_recorded_clips(tmp_path):
    clips.write_folder(tmp_path, clips=1, frames=5, seed=9)
    (row,) = json.loads((tmp_path / "clips.json").read_text())
    assert {"clip", "frames", "speed_px_per_frame", "fps", "width", "height", "concept", "truth"} <= set(row)
    assert (tmp_path / "videos" / f"{row['clip']}.mp4").stat().st_size > 1000
    assert len(list((tmp_path / "annotations" / row["clip"]).glob("*.png"))) == 5


def test_gap_and_conveyor_are_told_apart_by_width():
    """Bed between two parts is a gap below 48 px, at a scale of 1."""
    widths = {"gap": set(), "conveyor": set()}
    for seed in range(40):
        strip = scene.build_strip(np.random.default_rng(seed), 128, 900, 1.0, 0.0, False, "painted", "row")
        row = strip.classes[64]
        ends = np.flatnonzero(np.diff(row, prepend=row[0] + 1, append=row[-1] + 1))
        for first, last in pairwise(ends):
            if CONCEPTS[row[first]] in widths and first > 0 and last < len(row):
                widths[CONCEPTS[row[first]]].add(int(last - first))
    assert all(widths.values()), widths
    assert max(widths["gap"]) < 48 <= min(widths["conveyor"])


@pytest.mark.parametrize("seed", range(6))
def test_uneven_parts_lie_where_their_edges_say(seed):
    layout = outlines.shaped_layout(np.random.default_rng(seed), 256, 448, 1.0)
    inside = layout.part > 0
    assert set(np.unique(layout.part)) <= set(range(layout.count + 1))
    assert 0.05 < inside.mean() < 1
    assert (layout.coverage > 0.5)[inside].mean() > 0.95
    x, y, nx, ny = layout.edges.T
    np.testing.assert_allclose(np.hypot(nx, ny), 1, atol=1e-3)
    seen = (x > 12) & (x < 436) & (y > 12) & (y < 244)
    border = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) > 0
    assert border[y[seen].astype(int), x[seen].astype(int)].mean() > 0.8


def test_uneven_parts_are_good_parts():
    made = clips.clip(5, SIZE, 3, defects=0.0, shaped=1.0)
    assert made.concepts == {}
    assert not np.isin(made.classes, DEFECT_IDS).any()
    assert not np.array_equal(made.frames, clips.clip(5, SIZE, 3, defects=0.0).frames)
