"""What a stress test says: sentences that are true of the counts, a checklist that knows what it does not know."""

import codecs
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from vidconcept.errors import InputError
from vidconcept.evaluation.metrics.events import EventCounts
from vidconcept.evaluation.perturb import PERTURBATIONS, SEVERITIES
from vidconcept.evaluation.provenance import read_provenance
from vidconcept.evaluation.readings import Stressed, StressTest
from vidconcept.writers.reports.stress import describe_perturbation, write_checklist

LEVELS = (4.0, 10.0, 24.0)


def result(level, found, false=0, name="sensor noise", unit="grey levels", misnamed=0):
    counts = EventCounts(found + false, false, 6, found, found, 2.0, misnamed)
    return Stressed(name if level else "none", unit, int(level > 0), level, counts, {"dent": counts})


def said(found, false=(0, 0, 0), **what):
    rows = [result(level, f, n, **what) for level, f, n in zip(LEVELS, found, false, strict=True)]
    return describe_perturbation(rows, result(0.0, 6), 0.1).partition(": ")[2]


class TestSentence:
    @pytest.mark.parametrize(
        ("found", "words"),
        [
            ((6, 6, 6), "nothing is lost and nothing false added up to 24 grey levels."),
            ((6, 0, 0), "the dent findings are lost from 10 grey levels on."),
            ((6, 3, 1), "the dent findings drop to 3 of 6 or fewer from 10 grey levels on."),
            # Fewer than half are lost: that is a change all the same.
            ((6, 5, 5), "the dent findings drop to 5 of 6 from 10 grey levels on."),
            # Found again at the highest level.
            ((6, 2, 6), "the dent findings drop to 2 of 6 at 10 grey levels, though not at every level beyond."),
        ],
    )
    def test_findings(self, found, words):
        assert said(found) == words

    def test_false_events(self):
        assert said((6, 6, 6), (0, 1, 4)) == "false events rise from 0 to 1 or more from 10 grey levels on."
        assert said((6, 6, 6), (0, 1, 0)).endswith("at 10 grey levels, though not at every level beyond.")

    def test_resolution_goes_down(self):
        rows = [result(level, 6, name="low resolution", unit="of the width") for level in (0.7, 0.5, 0.3)]
        assert describe_perturbation(rows, result(0.0, 6), 2.0).endswith("added down to 0.18 megapixel.")


NOISE = (result(0.0, 3, 2, misnamed=1), *(result(level, 3, 2) for level in LEVELS))


def checklist(tmp_path, against, provenance=None, results=NOISE):
    facts = {"model": "m", "weights": "abc", "clips": 1, "concepts": ["dent"], "seed": 0}
    calibration = read_provenance(write_calibration(tmp_path, provenance or {}))
    return write_checklist(tmp_path, StressTest(results, against, 0.1, facts), calibration).read_text()


def write_calibration(tmp_path, provenance, mark=b""):
    path = tmp_path / "line.toml"
    lines = "\n".join(["[provenance]", *(f"{key} = {value}" for key, value in provenance.items())])
    path.write_bytes(mark + lines.encode())
    return path


class TestChecklist:
    def test_with_truth(self, tmp_path):
        text = checklist(tmp_path, "truth")
        assert "1 clip, 2.0 minutes; defects found: dent 3 of 6" in text
        # One of the two false events is on a defect of another name: nobody was alarmed for nothing.
        assert "1 in 2.0 minutes of the sample" in text

    def test_without_truth_nothing_is_claimed_of_defects_and_false_alarms(self, tmp_path):
        text = checklist(tmp_path, "the clean run's findings")
        assert "without truth" in text
        assert "defects found" not in text
        assert "not counted in the sample" in text

    def test_what_was_left_out_is_listed(self, tmp_path):
        (row,) = [line for line in checklist(tmp_path, "truth").splitlines() if "not tested" in line]
        assert "motion blur, focus blur" in row
        assert "sensor noise" not in row
        assert "severity 2, severity 3 | test these too" in row

    def test_a_whole_test_left_out_nothing(self, tmp_path):
        every = [
            replace(result(level, 6, name=what.name), severity=severity)
            for what in PERTURBATIONS
            for severity, level in zip(SEVERITIES, what.levels, strict=True)
        ]
        assert "not tested" not in checklist(tmp_path, "truth", results=(result(0.0, 6), *every))

    def test_the_calibrated_rate_has_the_digits_of_calibrate(self, tmp_path):
        created = f'"{datetime.now(UTC).isoformat(timespec="seconds")}"'
        facts = {"created": created, "weights": '"abc"', "per_hour_95": "[0.0, 424.707]", "target_per_hour": 1}
        assert "calibrated 0 to 425 an hour, target 1" in checklist(tmp_path, "truth", facts)

    def test_a_calibration_of_other_weights(self, tmp_path):
        created = f'"{datetime.now(UTC).isoformat(timespec="seconds")}"'
        text = checklist(tmp_path, "truth", {"created": created, "weights": '"old"', "kind": '"good footage"'})
        assert "0 days old" in text
        assert "made with other weights" in text

    @pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
    @pytest.mark.parametrize("time", ['"2026-03-01T00:00:00+00:00"', '"2026-03-01T00:00:00"', "2026-03-01T00:00:00Z"])
    def test_the_age_is_known_however_a_toml_writes_a_time(self, tmp_path, time, mark):
        found = read_provenance(write_calibration(tmp_path, {"created": time}, mark))
        assert found is not None
        assert found.created == datetime(2026, 3, 1, tzinfo=UTC)

    def test_what_a_calibration_does_not_say_is_asked_for(self, tmp_path):
        text = checklist(tmp_path, "truth", {"kind": '"good footage"', "per_hour_95": [0.1, 0.4]})
        assert "line.toml, of unknown age, good footage | does not say when it was made; does not say with" in text
        assert "no rate is promised" in text

    def test_a_time_that_is_none_is_named_with_its_place(self, tmp_path):
        config = write_calibration(tmp_path, {"created": '"some day"'})
        with pytest.raises(InputError, match=r"line\.toml, provenance\.created: .*'some day'\. Next: correct the file"):
            read_provenance(config)
