"""Components: the fragments of one defect, and the part of them that is shown."""

import numpy as np

from vidconcept.tracks.components import components, cut_part


def test_components_are_merged_by_the_gap_between_their_pixels() -> None:
    mask = np.zeros((20, 60), bool)
    mask[5:10, 5:15] = True
    mask[5:10, 20:30] = True  # five empty columns between
    assert len(components(mask, 5)) == 1
    assert len(components(mask, 4)) == 2
    assert len(components(mask, 0)) == 2


def test_of_a_component_that_is_shown_in_part_that_part_is_left() -> None:
    mask, shown = np.zeros((20, 60), bool), np.zeros((20, 60), bool)
    mask[5:10, 5:15] = mask[12:16, 30:40] = True
    shown[6:8, 5:9] = True
    first, second = (cut_part(c, shown) for c in components(mask, 0))
    assert (first.area, first.box) == (8, (5, 6, 9, 8))
    assert second.area == 40  # Nothing of it is shown: it stands as it is.
