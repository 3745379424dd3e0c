"""One colour a concept, the same in the video, the thumbnails and the review page of a run.

Okabe and Ito's colour-blind-safe set (Color Universal Design, 2008) without black, in the order in which neighbours
differ most on grey metal. After eight concepts the colours repeat.
"""

Rgb = tuple[int, int, int]

COLOURS: tuple[Rgb, ...] = (
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermillion
    (0, 114, 178),  # blue
    (153, 153, 153),  # grey
)


def choose_colour(class_id: int) -> Rgb:
    """RGB of the concept with this class id."""
    return COLOURS[class_id % len(COLOURS)]


def choose_hex(class_id: int) -> str:
    """The same as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*choose_colour(class_id))
