"""When time between two pictures is a hole: what the reader, the maps and the tracks agree on."""

# A step of more than a few frame times is a hole: nobody knows what passed there. Up to a fifth of a second is left to
# encoders that drop pictures in which nothing moves, unless it is very many frames of a fast camera.
HOLE_STEPS, HOLE_S, SURE_STEPS = 5, 0.2, 25


def hole_length_s(usual_s: float) -> float:
    """How long a step must be to be a hole, where pictures usually come every `usual_s` seconds."""
    return max(HOLE_STEPS * usual_s, min(HOLE_S, SURE_STEPS * usual_s)) * (1 + 1e-6)
