"""How a source is to be read, beyond which frames of it."""

from dataclasses import dataclass

from vidconcept.files import MAX_MEGAPIXELS
from vidconcept.video.levels import Levels


@dataclass(frozen=True, slots=True)
class Reading:
    """What the caller settles about the pictures; every pass over a source takes the same.

    bits: of the values in deep pictures (16-bit files, 16-bit video), None to find them in the first pictures.
    levels: black and white of deep pictures as `probe` found them, so that no later pass searches again.
    stream: index of the video stream in its file, None for the one that a player would show.
    deinterlace: give each picture one moment instead of two. tone_map: bring HDR to the range of a usual screen.
    max_megapixels: larger pictures are refused. hole_s: a step in time longer than this is a hole, before which a frame
    says so; None: none is looked for. part_begins: indices of the frames that say so, where an earlier pass settled
    them: none is looked for then; None: not settled.
    """

    bits: int | None = None
    levels: Levels | None = None
    stream: int | None = None
    deinterlace: bool = False
    tone_map: bool = False
    max_megapixels: float = MAX_MEGAPIXELS
    hole_s: float | None = None
    part_begins: frozenset[int] | None = None


AS_IT_IS = Reading()
