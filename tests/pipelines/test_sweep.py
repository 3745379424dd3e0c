"""A sweep's readings, the truth of its tokens, and what its report says of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.helpers.films import write_video
from vidconcept.attention.hooks import METHODS
from vidconcept.cli import app
from vidconcept.evaluation.datasets.dataset import Clip, Dataset, FrameTruth
from vidconcept.evaluation.metrics.masks import Confusion
from vidconcept.evaluation.metrics.scores import Curves
from vidconcept.evaluation.readings import Reading, Sweep, Tally, mean_ap, mean_leakage
from vidconcept.pipelines.maps import compute_window_maps, cut_source_windows
from vidconcept.pipelines.monitor import Monitor
from vidconcept.pipelines.plan import make_plan
from vidconcept.pipelines.sweep import (
    list_readings,
    make_base_reading,
    measure_token_shares,
    pick_busiest_windows,
    sweep,
)
from vidconcept.pipelines.workspace import Workspace
from vidconcept.writers.reports.sweep import judge_claims, write_sweep

H, W = 64, 96


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    path = tmp_path_factory.mktemp("footage") / "line.mp4"
    write_video(path, np.random.default_rng(0).integers(90, 160, (12, H, W, 3), dtype=np.uint8))
    return path


@pytest.fixture
def plan_of(video, tiny_model):
    def make(**settings):
        return make_plan(video, {"concepts": ("dent",), "model": str(tiny_model), **settings})

    return make


def clip_of(video, masks, ignore=None):
    """A clip whose frames carry these masks; frames that are not named are not annotated."""

    def truth(index):
        return FrameTruth(masks[index][None], ("dent",), (1,), ignore) if index in masks else None

    return Clip("line", video, ("dent",), truth)


def left_half(height=H, width=W):
    mask = np.zeros((height, width), bool)
    mask[:, : width // 2] = True
    return mask


class TestReadings:
    def test_how_track_reads_is_among_them_with_a_single_layer(self, plan_of):
        plan = plan_of(layers=(2,), reduce="mean-softmax")
        found = list_readings(["reduce"], plan)
        assert make_base_reading(plan) in found
        assert len(found) == 1

    def test_every_axis(self, plan_of):
        plan = plan_of()
        found = list_readings(["layers", "timestep", "method", "reduce", "noise-samples"], plan, (20, 500))
        times = len({20, 500, plan.settings.timestep})
        # Four layers alone, in one order of reduction; all, the deep half and the preset's in two.
        assert len(found) == 2 * times * len(METHODS) * (4 + 3 * 2)


class TestTokens:
    def share(self, plan, clip, **options):
        return measure_token_shares(plan, clip, next(cut_source_windows(plan, Monitor())), **options)

    def test_a_token_is_true_by_the_share_of_its_pixels(self, plan_of, video):
        shares = self.share(plan_of(), clip_of(video, {0: left_half()}))[0, 0]
        assert shares.mean() == pytest.approx(0.5, abs=0.01)
        assert (shares[:, 0].min(), shares[:, -1].max()) == (1, 0)

    def test_truth_of_another_size(self, plan_of, video):
        plan = plan_of(roi=(0, 0, 64, 64))
        small = self.share(plan, clip_of(video, {0: left_half(H // 2, W // 2)}))[0, 0]
        assert small == pytest.approx(self.share(plan, clip_of(video, {0: left_half()}))[0, 0], abs=0.01)

    def test_what_counts_for_nothing_is_no_background(self, plan_of, video):
        shares = self.share(plan_of(), clip_of(video, {0: left_half()}, ignore=~left_half()))[0, 0]
        assert np.isnan(shares[:, -1]).all()
        assert np.nanmin(shares) == 1

    def test_frames_are_counted_from_the_start_of_the_file(self, plan_of, video):
        plan = plan_of(start_s=0.16)
        clip = clip_of(video, {4: left_half()})
        _, shares = next(pick_busiest_windows(plan, clip, Monitor(), None))
        assert shares[0, 0, 0, 0] == 1

    def test_truth_goes_by_the_name_of_the_picture(self, tmp_path, tiny_model):
        for number in range(3):
            Image.fromarray(np.full((H, W, 3), 100 + number, np.uint8)).save(tmp_path / f"{number}.png")
        (tmp_path / "0.png").write_bytes(b"broken")
        plan = make_plan(tmp_path, {"concepts": ("dent",), "model": str(tiny_model), "fps": 25})
        places = {f"{number}.png": number for number in range(3)}
        clip = replace(clip_of(tmp_path, {1: left_half()}), places=places)
        assert self.share(plan, clip)[0, 0].mean() == pytest.approx(0.5, abs=0.01)

    def test_the_busiest_window_among_some_that_are_not_annotated(self, plan_of, video):
        plan = plan_of(window_frames=5, overlap_frames=1)
        chosen = pick_busiest_windows(plan, clip_of(video, {6: left_half()}), Monitor(), 1)
        assert [window.index for window, _ in chosen] == [1]


def test_tokens_support_each_other_in_a_sweep_as_in_track(video, tiny_model, tmp_path):
    settings = {"concepts": ("dent",), "model": str(tiny_model), "window_frames": 9, "token_support": 2}
    clip, workspace = clip_of(video, {0: left_half()}), Workspace(tmp_path)
    swept = sweep(Dataset("data", "lines", (clip,)), settings, ["method"], workspace)
    plan = workspace.plan_clip(clip, settings)
    curves = Curves()
    for window in cut_source_windows(plan, Monitor()):
        shares = measure_token_shares(plan, clip, window)
        scores = compute_window_maps(plan, workspace.load(plan), window).scores
        known = np.isfinite(shares)
        curves.add_shares(scores[known], shares[known])
    assert mean_ap(swept.tallies[swept.base].values()) == pytest.approx(curves.average_precision)


class TestLeakage:
    def leakage(self, *windows):
        tally = Tally.of(2)
        for scores, shares in windows:
            tally.add_leakage(np.array(scores), np.array(shares))
        return mean_leakage([tally])

    def test_share_of_a_map_on_the_truth_of_another(self):
        """A quarter of the first map lies on the second's truth, nothing of the second's on the first's."""
        window = [[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
        assert self.leakage(window) == pytest.approx((0.25 + 0) / 2)

    def test_windows_without_the_other_do_not_dilute_it(self):
        shows_both = [[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]]
        shows_none = [[1.0, 1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]
        assert self.leakage(shows_both, shows_none) == pytest.approx(0.5)
        assert np.isnan(self.leakage(shows_none))

    def test_one_concept_has_nothing_to_leak_to(self):
        tally = Tally.of(1)
        tally.add_leakage(np.ones((1, 2)), np.ones((1, 2)))
        assert np.isnan(mean_leakage([tally]))


def tally(score, shown=1.0):
    curves = Curves()
    curves.add_shares(np.array([score, 1 - score]), np.array([shown, 0.0]))
    return {"line": Tally([curves], Confusion(np.eye(2)))}


class TestReport:
    def test_words_left_out_do_not_mix_into_claims_and_heat_maps(self, tmp_path):
        base = Reading("concept-attention", "preset", (1,), 20, "softmax-mean", 1)
        singles = [replace(base, layers_name=str(i), layers=(i,)) for i in range(2)]
        tallies = {r: tally(0.9) for r in (base, *singles)}
        tallies |= {replace(r, left_out=("fork",)): tally(0.1) for r in (base, *singles)}
        facts = {"dataset": {"name": "d", "clips": 1, "concepts": ["dent"]}, "model": {"name": "m", "weights": "w"}}
        swept = Sweep(("dent",), tallies, base, facts)
        assert judge_claims(swept)[0] == (
            "Deeper layers are better: is open, too few clips with defects: 1, at least 6 (mean AP +0.000)."
        )
        write_sweep(tmp_path, swept, "command")
        assert "0.500" not in (tmp_path / "sweep_concept-attention.svg").read_text()
        assert "| fork |" in (tmp_path / "sweep.md").read_text()


class TestClaims:
    BASE = Reading("concept-attention", "preset", (1,), 500, "softmax-mean", 1)

    def judge(self, levels, others, good=0, **change):
        """Claims of a sweep in which the base has `levels` on its clips, and another reading `others`.

        good: clips without a defect beside them.
        """
        other = replace(self.BASE, **change)
        tallies = {
            reading: {
                **{str(k): tally(v)["line"] for k, v in enumerate(values)},
                **{f"good {k}": tally(0.5, shown=0.0)["line"] for k in range(good)},
            }
            for reading, values in ((self.BASE, levels), (other, others))
        }
        return judge_claims(Sweep(("dent",), tallies, self.BASE, {}))

    @pytest.mark.parametrize("good", [0, 4])
    def test_a_gap_on_every_clip_holds_and_on_few_clips_is_open(self, good):
        (line,) = self.judge([0.9] * 6, [0.1] * 6, good, method="cross-attention")
        assert "cross-attention: holds" in line
        (line,) = self.judge([0.9] * 5, [0.1] * 5, good, method="cross-attention")
        assert "is open, too few clips with defects: 5, at least 6 (" in line
        assert "95 %" not in line

    def test_clips_without_defects_count_in_the_gap_as_in_the_table(self):
        """At 0.1 the six true tokens rank last: of 12 tokens, or of 72."""
        values = [0.9] * 6, [0.1] * 6
        alone, beside = (self.judge(*values, good, method="cross-attention")[0] for good in (0, 30))
        assert "mean AP +0.500," in alone
        assert "mean AP +0.917," in beside

    @pytest.mark.parametrize("method", ["concept-attention", "cross-attention", "value-space"])
    def test_output_space_is_concept_attention_whatever_the_settings_read(self, method):
        space, cross, base = (
            replace(self.BASE, method=name) for name in ("concept-attention", "cross-attention", method)
        )
        worse = {cross: tally(0.1), base: tally(0.1)}
        assert judge_claims(Sweep(("dent",), worse | {space: tally(0.9)}, base, {})) == [
            "Output space beats cross-attention: is open, too few clips with defects: 1, at least 6 (mean AP +0.500)."
        ]
        if base != space:
            assert judge_claims(Sweep(("dent",), worse, base, {})) == []

    def test_a_gap_that_comes_from_one_clip_of_six_is_open(self):
        (line,) = self.judge([0.9, *[0.1] * 5], [0.1] * 6, method="cross-attention")
        assert "is open on this sample" in line

    def test_stop_words_are_compared_with_none_of_the_same_method(self):
        (line,) = self.judge([0.1] * 6, [0.9] * 6, sinks=("a", "of"))
        assert line.startswith("With stop words (a, of) maps are better: holds (mean AP +")
        (line,) = self.judge([0.9] * 6, [0.1] * 6, sinks=("a",))
        assert "does not hold" in line
        # Without that method's own reading there is nothing to compare with.
        assert self.judge([0.9] * 3, [0.1] * 3, sinks=("a",), method="imap") == []

    @pytest.mark.parametrize(
        ("clips", "sure"), [(6, "95 % -0.2500 to -0.2500"), (4, "too few clips with defects: 4, at least 6")]
    )
    def test_what_stop_words_do_to_leakage_is_said_with_its_interval(self, clips, sure):
        with_sinks = replace(self.BASE, sinks=("a",))
        tallies: dict[Reading, dict[str, Tally]] = {self.BASE: {}, with_sinks: {}}
        for reading, leaks in ((self.BASE, 0.5), (with_sinks, 0.25)):
            for clip in range(clips):
                own = Tally.of(2)
                for curves in own.curves:
                    curves.add_shares(np.array([0.9, 0.1]), np.array([1.0, 0.0]))
                own.add_leakage(np.array([[1 - leaks, leaks], [leaks, 1 - leaks]]), np.eye(2))
                tallies[reading][str(clip)] = own
        said = judge_claims(Sweep(("dent", "chip"), tallies, self.BASE, {}))
        assert f"With stop words (a) leakage changes by -0.2500 ({sure})." in said

    def test_a_timestep_is_not_compared_with_itself(self):
        assert self.judge([0.9] * 3, [0.1] * 3, timestep=750) == []
        (line,) = self.judge([0.9] * 6, [0.1] * 6, timestep=20)
        assert line.startswith("A middle timestep (500) beats almost none (20): holds")


def test_noise_and_background_cost_one_pass_a_draw_and_go_on(video, tiny_model, tmp_path):
    root = tmp_path / "data"
    (root / "videos").mkdir(parents=True)
    (root / "videos" / "line.mp4").write_bytes(video.read_bytes())
    (root / "clips.json").write_text(json.dumps([{"clip": "line", "concept": "dent", "truth": "mask"}]))
    arguments = [
        "evaluate", root, "--concepts", "dent", "--set", f"model={tiny_model}", "--set", "window_frames=9",
        "--set", "background=surface,metal", "--sweep", "noise-samples,background", "--windows", "1",
        "--out", tmp_path / "out", "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    readings_found = {(r["draws"], tuple(r["left_out"])) for r in json.loads(result.stdout)["readings"]}
    assert {(1, ()), (2, ("metal",))} <= readings_found
    passes = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("window_*_t*.safetensors")}
    assert len(passes) == 2
    CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("window_*_t*.safetensors")} == passes


def test_windows_are_counted_over_all_clips(video, tiny_model, tmp_path):
    clips = tuple(replace(clip_of(video, {0: left_half()}), name=name) for name in ("left", "right"))
    told = []
    monitor = Monitor(lambda stage, done, total: told.append((stage, done)))
    settings = {"concepts": ("dent",), "model": str(tiny_model), "window_frames": 9}
    sweep(Dataset("data", "lines", clips), settings, ["reduce"], Workspace(tmp_path, monitor), windows=1)
    assert [done for stage, done in told if stage == "windows read"] == [1, 2]
