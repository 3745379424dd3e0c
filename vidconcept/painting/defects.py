"""The painter of each defect."""

from collections.abc import Callable

from vidconcept.painting.defects_areas import dent, hole, rust, stain
from vidconcept.painting.defects_edges import chip, fray
from vidconcept.painting.defects_lines import crack, scratch
from vidconcept.painting.patches import Ground, Patch
from vidconcept.painting.textures import Rng

Painter = Callable[[Rng, Ground], Patch]
PAINTERS: dict[str, Painter] = {f.__name__: f for f in (scratch, dent, crack, hole, chip, fray, stain, rust)}
# These sit on a part's edge, their left side outward, and may stand out over it.
EDGE_DEFECTS = ("chip", "fray")
