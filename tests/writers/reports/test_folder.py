"""A report takes the place of its own files alone."""

import os

import pytest

from vidconcept.errors import OutputError
from vidconcept.writers.reports.folder import REPORTS, check_report, write_part


@pytest.mark.parametrize("kind", REPORTS)
def test_its_own_files_are_replaced(tmp_path, kind):
    for _ in range(3):
        check_report(tmp_path, kind)
        for name in REPORTS[kind]:
            write_part(tmp_path / name.replace("*", "imap"), f"{_} of {name}")
    assert (tmp_path / REPORTS[kind][0]).read_text().startswith("2 of")


@pytest.mark.parametrize("kind", REPORTS)
def test_files_of_others_are_not(tmp_path, kind):
    for number, name in enumerate(REPORTS[kind]):
        path = tmp_path / str(number) / name.replace("*", "imap")
        path.parent.mkdir()
        path.write_text("a week of work")
        with pytest.raises(OutputError, match="was not written by vidconcept, or changed since"):
            check_report(path.parent, kind)
        with pytest.raises(OutputError, match="was not written by vidconcept, or changed since"):
            write_part(path, "a report")
        assert path.read_text() == "a week of work"
        assert [*path.parent.iterdir()] == [path]


def test_a_checklist_that_was_filled_in_is_not(tmp_path):
    for text in ("[ ] looked at", "[ ] looked at again"):
        write_part(tmp_path / "checklist.md", text)
    (tmp_path / "checklist.md").write_text("[x] looked at again, M. Weber")
    with pytest.raises(OutputError, match=r"checklist\.md was not written by vidconcept, or changed since"):
        check_report(tmp_path, "stress")


def test_a_link_is_not(tmp_path):
    write_part(tmp_path / "report.md", "a report")
    os.rename(tmp_path / "report.md", tmp_path / "elsewhere.md")
    (tmp_path / "report.md").symlink_to(tmp_path / "elsewhere.md")
    with pytest.raises(OutputError):
        write_part(tmp_path / "report.md", "another")
    assert (tmp_path / "elsewhere.md").read_text() == "a report"


@pytest.mark.parametrize("record", ["", "[]", '{"report.md": 3}', "[" * 5000])
def test_a_damaged_record_makes_nothing_ours(tmp_path, record):
    write_part(tmp_path / "report.md", "a report")
    next((tmp_path / ".vidconcept").iterdir()).write_text(record)
    with pytest.raises(OutputError):
        check_report(tmp_path, "evaluation")


def test_a_kill_between_record_and_file_leaves_what_is_known(tmp_path):
    write_part(tmp_path / "report.md", "first")
    write_part(tmp_path / "report.md", "second")
    # As if the second had not come to its place.
    (tmp_path / "report.md").write_text("first")
    check_report(tmp_path, "evaluation")
