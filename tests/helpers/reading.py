"""What the tests of the reader share: all frames at once, their painted numbers, and what tells them apart."""

import hashlib

from tests.helpers.clips import read_barcode
from vidconcept.video.probe import examine
from vidconcept.video.reader import read_frames
from vidconcept.video.reading import Reading


def read(source, problems=None, **options):
    return list(read_frames(source, on_problem=(problems if problems is not None else []).append, **options))


def numbers(frames):
    """The painted number of each frame, None where it cannot be read."""
    found = []
    for frame in frames:
        try:
            found.append(read_barcode(frame.image))
        except ValueError:
            found.append(None)
    return found


def digest(frames):
    return [(f.index, f.pts, f.time_s, hashlib.sha256(f.image.tobytes()).hexdigest()) for f in frames]


def remarks_about(source, *abouts, fps=None, **reading):
    """What `probe` remarks on these matters, in one line."""
    report = examine(source, fps, reading=Reading(**reading))
    return " | ".join(finding.message for finding in report.remarks if finding.about in abouts)
