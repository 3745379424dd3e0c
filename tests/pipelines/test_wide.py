"""Wide line-scan footage: a film that plays, and words about what a coarse token loses."""

import av
import numpy as np
import pytest

from tests.helpers.clips import paint, write_clip
from vidconcept.errors import UsageError
from vidconcept.geometry import FINE_TOKEN_PX, plan_fine_tiles, plan_tiles
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.track import track
from vidconcept.tracks import rle
from vidconcept.types import Origin, Region, TrackMask
from vidconcept.video.writer import H264_AREA_PX, H264_SIDE_PX, fit_film_size
from vidconcept.writers.frames.shrink import Shrinker

WIDE_PX = (20_000, 128)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("wide") / "scan.mkv", count=2, codec="ffv1", size_px=WIDE_PX).path


ASKED = {"concepts": ("dent",)}


def remark(plan, about):
    return next((r.message for r in plan.remarks if r.about == about), "")


class TestPlan:
    def test_a_coarse_token_is_said_with_what_helps(self, wide):
        plan = make_plan(wide, ASKED)
        assert "thin defects are lost. Next: `tile=auto`" in remark(plan, "detail")
        assert "shows frames at 4096x26" in remark(plan, "film")
        assert remark(make_plan(wide, ASKED, film=False), "film") == ""

    def test_auto_keeps_a_token_fine_and_says_the_cost(self, wide):
        plan = make_plan(wide, ASKED | {"tile": "auto"})
        assert max(plan.tiles.token_in_source_px(plan.region)) <= FINE_TOKEN_PX
        assert f"about {len(plan.tiles.origins_px)} times as long" in remark(plan, "detail")

    def test_small_footage_needs_neither(self, tmp_path):
        clip = write_clip(tmp_path / "a.mp4", count=2, size_px=(720, 480)).path
        plan = make_plan(clip, ASKED)
        assert (remark(plan, "detail"), remark(plan, "film")) == ("", "")
        tiled = make_plan(clip, ASKED | {"tile": "auto"})
        assert (len(tiled.tiles.origins_px), remark(tiled, "detail")) == (1, "")


@pytest.mark.parametrize("size", [(20_000, 512), (3840, 2160), (1000, 9000), (640, 480)])
def test_auto_takes_the_fewest_tiles(size):
    options = {"area_px": 480 * 720, "pitch_px": 16, "multiple": 16}
    plan = plan_fine_tiles(Region(0, 0, *size), **options)
    assert max(plan.token_in_source_px(Region(0, 0, *size))) <= FINE_TOKEN_PX
    assert len(plan.origins_px) * 480 * 720 < 4 * max(size[0] * size[1], 480 * 720)


@pytest.mark.parametrize("size", [(20_000, 512), (7680, 4320), (512, 20_000), (16_384, 16_384)])
def test_a_film_is_as_large_as_browsers_play(size):
    width, height = fit_film_size(size, "h264")
    assert max(width, height) <= H264_SIDE_PX
    assert width * height <= H264_AREA_PX
    assert width / height == pytest.approx(size[0] / size[1], rel=0.02)
    assert fit_film_size(size, "libvpx-vp9") == size
    assert fit_film_size((1920, 1080), "h264") == (1920, 1080)


def test_a_run_gives_a_small_film_and_tables_of_the_source(tiny_model, tmp_path):
    wide = write_clip(tmp_path / "scan.mkv", count=3, codec="ffv1", size_px=(6000, 160)).path
    asked = {"concepts": ("dent",), "model": str(tiny_model)}
    run = track(wide, out=tmp_path / "run", **asked, threshold=0.02, floor=0.01, min_area_px=1)
    with av.open(str(run.path / "annotated.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height) == (4096, 108)
        assert sum(1 for _ in film.decode(stream)) == 3
    assert max(row.box_px[2] for row in run.tracks()) > H264_SIDE_PX


def test_a_thin_mask_stays_on_a_small_film():
    shrink = Shrinker((1000, 100), (100, 10))
    crop = np.ones((1, 300), np.uint8)
    row = TrackMask(0, 0, 0.0, "scratch", 0, 1, 0.9, (200, 50, 500, 51), 300, 0.5, 0.9, Origin(0, 0),
                    rle.encode(crop, 200, 50, (1000, 100)))  # fmt: skip
    small = shrink.track(row)
    assert small.box_px == (20, 5, 50, 6)
    assert rle.decode(small.rle, (100, 10))[5, 20:50].all()
    assert shrink.image(paint(0, (1000, 100))).shape == (10, 100, 3)


def test_tiles_that_would_only_enlarge_are_refused():
    region = Region(0, 0, 1280, 720)
    options = {"area_px": 256 * 448, "pitch_px": 8, "multiple": 8}
    assert len(plan_tiles(region, (8, 8), **options).origins_px) == 64
    with pytest.raises(UsageError, match=r"`tile=50x50` enlarges the picture .* times.*Next: "):
        plan_tiles(region, (50, 50), **options)
    # One tile is what the model reads at least, however small the film is.
    assert len(plan_tiles(Region(0, 0, 32, 24), (1, 1), **options).origins_px) == 1
