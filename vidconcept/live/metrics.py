"""The counters of a watch, as those of a batch are written."""

from __future__ import annotations

from vidconcept.fleet.metrics import Metric
from vidconcept.live.messages import WatchState

# Field of the state, kind, and what it means.
_TOLD = (
    ("frames", "counter", "frames decoded"),
    ("repeated", "counter", "frames of HLS left out, as they had been read before the connection was lost"),
    ("read", "counter", "frames that the model's side took"),
    ("skipped", "counter", "frames skipped because the model is slower than the camera"),
    ("gaps", "counter", "runs of skipped frames"),
    ("unread", "counter", "frames of a size that roi does not fit, or still waiting at the stop"),
    ("connections", "counter", "connections made"),
    ("failures", "counter", "connections lost or refused"),
    ("undecodable", "counter", "packets that could not be decoded"),
    ("corrupt", "counter", "pictures that the decoder calls damaged"),
    ("clock_jumps", "counter", "timestamps that did not agree with this machine's clock"),
    ("events", "counter", "events that began"),
    ("runs", "counter", "run folders finished"),
    ("runs_failed", "counter", "recordings that could not be written or finished"),
    ("waiting", "gauge", "frames that wait for the model"),
    ("delay_half_s", "gauge", "seconds that half of the frames waited at most for their tracks"),
    ("delay_95_s", "gauge", "seconds that 95 % of the frames waited at most"),
    ("delay_longest_s", "gauge", "seconds of the frame that waited longest"),
)


def watch_metrics(state: WatchState, now_s: float) -> list[Metric]:
    """The counters of a watch; what is not known yet is left out. now_s: seconds since 1970, by which an alarm knows a
    watch that stands still."""
    written = "when this file was written, since 1970"
    found = [Metric("vidconcept_watch_last_update_seconds", "gauge", written, [({"source": state.source}, now_s)])]
    for field, kind, text in _TOLD:
        value = getattr(state, field)
        if value is not None:
            name = field.removesuffix("_s") + "_seconds" if field.endswith("_s") else field
            name = f"vidconcept_watch_{name}{'_total' if kind == 'counter' else ''}"
            found.append(Metric(name, kind, text, [({"source": state.source}, value)]))
    return found
