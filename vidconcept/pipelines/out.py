"""Where results go when nobody says."""

from pathlib import Path

from vidconcept.files import shorten_name


def choose_out(video: str | Path, suffix: str = "vidconcept") -> Path:
    """`<video stem>.<suffix>/` beside the video; for a folder or a printf pattern, beside the folder."""
    source = Path(video).absolute()
    if source.is_dir():
        source = source.resolve()
        stem = source.name
    elif source.exists() or "%" not in source.name:
        stem = source.stem
    else:
        stem = source.stem.split("%")[0].rstrip("_-. ") or source.parent.name
    return source.parent / f"{shorten_name(stem)}.{suffix}"
