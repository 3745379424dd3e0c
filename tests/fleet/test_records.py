"""What is remembered of a film between calls."""

from vidconcept.fleet.records import Record


def test_starts_are_counted_until_one_finds_more_windows_than_the_last():
    record, begun = Record("a.mp4", "a.vidconcept"), []
    for windows in (0, 0, 3, 3, 3, 2):
        record = record.begin(windows)
        begun.append(record.begun)
    assert begun == [1, 2, 1, 2, 3, 4]
