"""CSV as a contract: UTF-8, fixed columns, and no cell that a spreadsheet runs as a formula."""

import csv
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO, TextIO, TypeVar

from vidconcept.errors import InputError
from vidconcept.files import open_regular, shorten

Row = TypeVar("Row")

# A spreadsheet takes a cell that begins so for a formula; an apostrophe in front makes it text. Text that begins with
# an apostrophe gets one too, so that reading is exact.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "'")
# A mask of a whole frame can be longer than the csv module's default.
_MAX_CELL_CHARS = 1 << 27
_MAX_HEADER_CHARS = 1 << 16
# The first wins where none is there, as in a table of one column.
_SEPARATORS = (",", ";", "\t")
_COMMA_NUMBER = re.compile(r"-?[0-9]+,[0-9]+")


def escape_text(text: str) -> str:
    """Text as it stands in the file."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def unescape_text(cell: str) -> str:
    """The text that `escape_text` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA_STARTS) else cell


def write_rows(file: TextIO, rows: Iterable[Sequence[object]], separator: str = ",") -> None:
    """Rows, the header among them. Strings must have gone through `escape_text`."""
    csv.writer(file, lineterminator="\n", delimiter=separator).writerows(rows)


def read_rows(
    path: Path,
    columns: Sequence[str],
    make: Callable[[dict[str, str]], Row],
    what: str = "a table of a vidconcept run",
    *,
    as_written: bool = False,
) -> Iterator[Row]:
    """Rows of a table, each made from its cells by column name; other columns and another order are fine.

    what: the table that it should be, for the error. as_written: leave commas in numbers, for cells that are copied.

    What spreadsheets save is read too: UTF-16, `;` or tabs between cells, and then commas in numbers. Raises InputError
    where the file is missing, lacks one of `columns`, or holds a cell that `make` cannot read.
    """
    csv.field_size_limit(_MAX_CELL_CHARS)
    if not path.exists() and (path.parent / "run.json").is_file():
        raise InputError(
            f"{path.parent} has no {path.name}: its run was not finished. Next: track again with `existing=resume`"
        )
    try:
        with open_regular(path) as stream, TextIOWrapper(stream, encoding=_guess_encoding(stream), newline="") as file:
            separator = _guess_separator(file)
            # restval: spreadsheets also leave out empty cells at the end of a row.
            reader = csv.DictReader(file, restval="", delimiter=separator)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}. Next: check that it is {what}")
            for cells in reader:
                try:
                    row = make(cells if as_written or separator == "," else _replace_commas(cells))
                except (ValueError, TypeError) as error:
                    raise InputError(
                        f"{path}, line {reader.line_num}: {shorten(str(error))}. Next: correct the line"
                    ) from error
                yield row
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}. Next: check the path and its permissions") from error
    except csv.Error as error:
        raise InputError(f"{path} is not CSV as track writes it: {error}. Next: track again") from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}): a spreadsheet may have saved it in a code "
            'page of its own. Next: save it as "CSV UTF-8"'
        ) from error


def _guess_encoding(stream: BinaryIO) -> str:
    """By its byte order mark; UTF-16 without one shows as zeros between letters."""
    head = stream.read(4)
    stream.seek(0)
    if head.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return "utf-16"
    if len(head) == 4 and b"\0" in head:
        return "utf-16-le" if head[1] == 0 else "utf-16-be"
    return "utf-8-sig"


def _guess_separator(file: TextIO) -> str:
    """Between the names of the columns; none of them holds such a character. Leaves `file` at the header."""
    at = file.tell()
    header = file.readline(_MAX_HEADER_CHARS)
    if (named := re.fullmatch(r"sep=(.)\r?\n?", header)) is not None:
        return named[1]
    file.seek(at)
    return max(_SEPARATORS, key=header.count)


def _replace_commas(cells: dict[str, str]) -> dict[str, str]:
    """Numbers as written here; spreadsheets that put `;` between cells put a comma into numbers."""
    return {
        name: cell.replace(",", ".") if isinstance(cell, str) and _COMMA_NUMBER.fullmatch(cell) else cell
        for name, cell in cells.items()
    }
