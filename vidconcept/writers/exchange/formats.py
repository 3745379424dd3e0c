"""The exchange formats. A new one is a module with a writer and an entry here; nothing else names it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """writer: takes a `Selection` and where to write, and `masks="polygon"` where it can. name: beside the run."""

    writer: str
    name: str
    polygons: bool = False


_HERE = "vidconcept.writers.exchange"
FORMATS: dict[str, Format] = {
    "csv": Format(f"{_HERE}.csv_table:write_csv", "{stem}.csv", polygons=True),
    "coco": Format(f"{_HERE}.coco:write_coco", "{stem}.coco.json", polygons=True),
    "youtube-vis": Format(f"{_HERE}.youtube_vis:write_selection", "{stem}.youtube-vis.json"),
    "mots": Format(f"{_HERE}.mot:write_mots", "{stem}.mots"),
    "mot": Format(f"{_HERE}.mot:write_mot", "{stem}.mot"),
    "cvat": Format(f"{_HERE}.cvat:write_cvat", "{stem}.cvat.xml", polygons=True),
    "label-studio": Format(f"{_HERE}.label_studio:write_label_studio", "{stem}.label-studio.json"),
    "davis": Format(f"{_HERE}.davis:write_davis", "{stem}.davis"),
    "supervision": Format(f"{_HERE}.csv_table:write_supervision", "{stem}.supervision.csv"),
}
