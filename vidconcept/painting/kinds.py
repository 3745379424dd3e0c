"""The kinds of surface that the embedded model's codec tells apart, and that generated footage is labelled with.

The order of `CONCEPTS` is the order of their numbers: surfaces and line furniture first, then the defects.
"""

BACKGROUND = ("part", "conveyor", "gap", "shadow", "reflection")
FURNITURE = ("bolt", "label")
DEFECTS = ("scratch", "dent", "crack", "hole", "chip", "fray", "stain", "rust")
CONCEPTS = BACKGROUND + FURNITURE + DEFECTS
CLASS_ID = {name: index for index, name in enumerate(CONCEPTS)}
DEFECT_IDS = tuple(CLASS_ID[name] for name in DEFECTS)
# Where the truth is not known, or where a token is too mixed to teach anything.
IGNORE = 255
