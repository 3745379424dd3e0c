"""The painter of each defect."""

from collections.abc import Callable

from linecam.footage.defects_areas import dent, hole, rust, stain
from linecam.footage.defects_edges import chip, fray
from linecam.footage.defects_lines import crack, scratch
from linecam.footage.patches import Ground, Patch
from linecam.footage.textures import Rng

Painter = Callable[[Rng, Ground], Patch]
PAINTERS: dict[str, Painter] = {f.__name__: f for f in (scratch, dent, crack, hole, chip, fray, stain, rust)}
# These sit on a part's edge, their left side outward, and may stand out over it.
EDGE_DEFECTS = ("chip", "fray")
