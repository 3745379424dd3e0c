"""Counters that cannot be written end nothing that they count."""

from vidconcept.fleet.board import Board
from vidconcept.fleet.metrics import MetricsFile, batch_metrics
from vidconcept.runners.call import Reports


def test_a_lost_disk_is_told_once_until_it_is_back(tmp_path):
    told: list[str] = []
    folder = tmp_path / "metrics"
    file = MetricsFile(folder / "batch.prom", told.append)
    metrics = batch_metrics(Board(), 0.0)
    folder.write_text("in the way")
    file.write(metrics)
    file.write(metrics)
    (said,) = told
    assert said.startswith(f"no counters: cannot write {file.path}: ")
    assert said.endswith(". Next: mend that while the work goes on, it is tried again")
    folder.unlink()
    file.write(metrics)
    assert file.path.read_text().startswith("# HELP vidconcept_")
    file.path.unlink()
    folder.rmdir()
    folder.write_text("in the way again")
    file.write(metrics)
    assert len(told) == 2


def test_a_batch_whose_counters_cannot_be_written_goes_on_to_its_end(tmp_path):
    told: list[str] = []
    (tmp_path / "metrics").write_text("in the way")
    counters = MetricsFile(tmp_path / "metrics" / "batch.prom", told.append)
    reports = Reports(tmp_path / "runs", Board(), counters, whole=False)
    with reports.at_the_end():
        reports.tick()
    assert len(told) == 1
