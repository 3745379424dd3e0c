"""`summary.csv` and `summary.parquet`: a row a film over all runs in a folder, the failed ones among them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from vidconcept.files import open_replacing
from vidconcept.writers.cells import escape_text, write_rows
from vidconcept.writers.columns import SUMMARY
from vidconcept.written import check_begins, check_replaceable, open_own_bytes


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One film; the columns are those of `columns.SUMMARY`, and None is an empty cell."""

    run: str
    video: str
    source: str
    camera: str
    state: str
    reason: str
    duration_s: float | None = None
    frames: int | None = None
    gaps: int | None = None
    events: int | None = None
    events_by_concept: str = ""
    peak_concept: str = ""
    peak_score: float | None = None
    peak_s: float | None = None
    accepted: int | None = None
    rejected: int | None = None
    unsure: int | None = None
    model: str = ""
    version: str = ""
    finished: str = ""
    busy_s: float | None = None


def check_summary(folder: Path) -> None:
    """Raises OutputError where the summary would take the place of a table of somebody else's."""
    check_begins(folder / "summary.csv", ",".join(SUMMARY))
    check_replaceable(folder / "summary.parquet")


def write_summary(folder: Path, rows: Iterable[SummaryRow]) -> list[Path]:
    """Write `summary.csv`, and `summary.parquet` where pyarrow is installed; returns what was written.

    Raises OutputError as `check_summary`.
    """
    check_summary(folder)
    table = list(rows)
    assert [field.name for field in fields(SummaryRow)] == list(SUMMARY)
    path = folder / "summary.csv"
    with open_replacing(path, newline="") as file:
        write_rows(file, [list(SUMMARY)])
        write_rows(file, (_cells(row) for row in table))
    written = [path]
    if write_parquet(folder / "summary.parquet", table):
        written.append(folder / "summary.parquet")
    return written


def _cells(row: SummaryRow) -> list[object]:
    return [escape_text(value) if isinstance(value, str) else "" if value is None else value for value in astuple(row)]


def write_parquet(path: Path, table: list[SummaryRow]) -> bool:
    """The same table with types. False where pyarrow is not installed; a file of an earlier call then goes, as it would
    say other things than the CSV beside it."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        if path.exists():
            check_replaceable(path)
            path.unlink()
        return False
    kinds = {"str": pyarrow.string(), "int | None": pyarrow.int64(), "float | None": pyarrow.float64()}
    schema = pyarrow.schema([(field.name, kinds[str(field.type)]) for field in fields(SummaryRow)])
    columns = {field.name: [getattr(row, field.name) for row in table] for field in fields(SummaryRow)}
    with open_own_bytes(path) as file:
        pyarrow.parquet.write_table(pyarrow.table(columns, schema=schema), file)
    return True
