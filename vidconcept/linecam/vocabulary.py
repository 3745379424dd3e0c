"""The closed vocabulary of the embedded model: its concepts, and the plant words that mean them.

The order of `CONCEPTS` is the order of the class numbers in generated footage: surfaces and line furniture first, then
the defects.
"""

import functools
import json
from importlib import resources

BACKGROUND = ("part", "conveyor", "gap", "shadow", "reflection")
FURNITURE = ("bolt", "label")
DEFECTS = ("scratch", "dent", "crack", "hole", "chip", "fray", "stain", "rust")
CONCEPTS = BACKGROUND + FURNITURE + DEFECTS
CLASS_ID = {name: index for index, name in enumerate(CONCEPTS)}
DEFECT_IDS = tuple(CLASS_ID[name] for name in DEFECTS)
# Where the truth is not known, or where a token is too mixed to teach anything.
IGNORE = 255


@functools.cache
def synonyms() -> dict[str, tuple[str, ...]]:
    """Main word -> the words that mean it, the main word first, in English, German, Japanese and Chinese."""
    text = resources.files("vidconcept.linecam").joinpath("data/words.json").read_text(encoding="utf-8")
    return {main: tuple(words) for main, words in json.loads(text).items()}
