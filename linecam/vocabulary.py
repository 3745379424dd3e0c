"""The plant words that mean the concepts of the embedded model."""

from vidconcept.models.presets import presets
from vidconcept.painting.kinds import CONCEPTS


def read_synonyms() -> dict[str, tuple[str, ...]]:
    """Main word -> the words that mean it, the main word first: the vocabulary of the preset."""
    vocabulary = presets()["linecam"].vocabulary
    return {main: tuple(vocabulary[main]) for main in CONCEPTS}
