"""What goes between a batch and its workers: orders one way, what became of them the other, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from vidconcept.fleet.footage import Film
from vidconcept.fleet.leases import BEAT_S

# done: the run is whole. skipped: it was before. failed: this film cannot be done. memory: there was not enough of it.
# busy: somebody else has the film. missing: its folder went away. full: no output can be written any more.
# interrupted: told to stop. split: it is long, and done in parts. died: the process is gone.
Kind = Literal["done", "skipped", "failed", "memory", "busy", "missing", "full", "interrupted", "split", "died"]

# After these a worker ends: whatever holds that memory goes with its process.
ENDS_WORKER: tuple[Kind, ...] = ("memory", "interrupted")


@dataclass(frozen=True, slots=True)
class Order:
    """One film to be done. out: the folder of runs. asked: digest of what is asked of it. given: settings of the call,
    the camera's among them. camera, view: as of `Film`. tries: starts without a word after which it is given up.
    split_s: of a film that is longer the parts are reported, each its first frame and the one after its last."""

    source: str
    out: str
    given: dict[str, Any]
    config: str | None = None
    camera: str = ""
    view: str = ""
    asked: str = ""
    existing: Literal["resume", "overwrite"] = "resume"
    tries: int = 3
    beat_s: float = BEAT_S
    part: tuple[int, int | None] | None = None
    split_s: float | None = None

    @property
    def film(self) -> Film:
        config = Path(self.config) if self.config else None
        part = (self.part[0], self.part[1]) if self.part is not None else None
        return Film(Path(self.source), self.given, config, self.camera, self.view, part)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an order. said: reason, or what there is to know. code: the exit code of `track` for it.

    warnings: of this film. remarks: what holds of all films of a camera or a machine alike.
    """

    kind: Kind
    said: str = ""
    code: int = 0
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
