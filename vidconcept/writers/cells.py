"""CSV as a contract: UTF-8, fixed columns, and no cell that a spreadsheet runs as a formula."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO, TypeVar

from vidconcept.errors import InputError
from vidconcept.files import open_regular

Row = TypeVar("Row")

# A spreadsheet takes a cell that begins so for a formula; an apostrophe in front makes it text. Text that begins with
# an apostrophe gets one too, so that reading is exact.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
# A mask of a whole frame can be longer than the csv module's default.
_MAX_CELL_CHARS = 1 << 27


def text_cell(text: str) -> str:
    """Text as it stands in the file."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def cell_text(cell: str) -> str:
    """The text that `text_cell` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell


def write_rows(file: TextIO, rows: Iterable[Sequence[object]]) -> None:
    """Rows, the header among them. Strings must have gone through `text_cell`."""
    csv.writer(file, lineterminator="\n").writerows(rows)


def read_rows(path: Path, columns: Sequence[str], make: Callable[[dict[str, str]], Row]) -> Iterator[Row]:
    """Rows of a table, each made from its cells by column name; other columns and another order are fine.

    Raises InputError where the file is missing, lacks one of `columns`, or holds a cell that `make` cannot read.
    """
    csv.field_size_limit(_MAX_CELL_CHARS)
    if not path.exists() and (path.parent / "run.json").is_file():
        raise InputError(
            f"{path.parent} has no {path.name}: its run was not finished. Next: track again, --existing resume"
        )
    try:
        # utf-8-sig: spreadsheets put a byte order mark in front when they save.
        with TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            # restval: spreadsheets also leave out empty cells at the end of a row.
            reader = csv.DictReader(file, restval="")
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}; is it a table of a vidconcept run?")
            for cells in reader:
                try:
                    row = make(cells)
                except (ValueError, TypeError) as error:
                    raise InputError(f"{path}, line {reader.line_num}: {error}") from error
                yield row
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except csv.Error as error:
        raise InputError(f"{path} is not CSV as track writes it: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
