"""The closed vocabulary of the embedded model: its concepts, and the plant words that mean them.

The order of `CONCEPTS` is the order of the class numbers in generated footage: surfaces and line furniture first, then
the defects.
"""

from vidconcept.models.presets import presets

BACKGROUND = ("part", "conveyor", "gap", "shadow", "reflection")
FURNITURE = ("bolt", "label")
DEFECTS = ("scratch", "dent", "crack", "hole", "chip", "fray", "stain", "rust")
CONCEPTS = BACKGROUND + FURNITURE + DEFECTS
CLASS_ID = {name: index for index, name in enumerate(CONCEPTS)}
DEFECT_IDS = tuple(CLASS_ID[name] for name in DEFECTS)
# Where the truth is not known, or where a token is too mixed to teach anything.
IGNORE = 255


def read_synonyms() -> dict[str, tuple[str, ...]]:
    """Main word -> the words that mean it, the main word first: the vocabulary of the preset."""
    vocabulary = presets()["linecam"].vocabulary
    return {main: tuple(vocabulary[main]) for main in CONCEPTS}
