"""Counts in words."""


def format_count(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 run", "3 runs"; plural: where it is not the noun with an s."""
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"
