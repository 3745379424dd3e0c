from vidconcept.attention.hooks import METHODS, Recorder, concept_attention

__all__ = ["METHODS", "Recorder", "concept_attention"]
