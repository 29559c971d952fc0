"""CSV: rows to text and back. Every cell comes back as text; what it means is the reader's to say."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

from airflow_provider_aiml.exceptions import PayloadError, Problem
from airflow_provider_aiml.inference.described import describe
from airflow_provider_aiml.inference.json_text import MalformedError, is_list

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["from_csv", "to_csv"]

_CELL = "text, a number, a bool or None (an empty cell)"
_CRLF = "\r\n"
_ROWS = "a list of rows: all lists (or tuples) of cells, or all dicts with the same keys"
_ONE_ROW = (
    "A single row is a list in a list, [[1, 2, 3]]; render_template_as_native_obj=True makes a tuple of text "
    "such as 1,2,3."
)


class _Lines(list[str]):
    """Lines as csv writes them, but ended by a line feed.

    csv quotes a cell for a carriage return only where its own lines end in one, and without quotes that cell
    would end the row for a reader.
    """

    def write(self, line: str) -> None:
        """Take one line."""
        self.append(line.removesuffix(_CRLF) + "\n")


def to_csv(rows: Sequence[Any], *, header: bool) -> str:
    """Write rows, each ended by a line feed.

    :param rows: lists or other sequences of cells, which get no header; or dicts, all with the keys of the
        first.
    :param header: write the keys of dicts first. A model that takes no header then fails loudly, whereas one
        that wants it and gets none would take a record for it and silently give one answer less.
    :raises PayloadError: naming the row and cell that do not fit.
    """
    lines = _Lines()
    writer = csv.writer(lines, lineterminator=_CRLF)
    names = list(rows[0]) if rows and isinstance(rows[0], dict) else None
    if names is not None and header:
        writer.writerow(_cells(names, "payload[0]"))
    for index, row in enumerate(rows):
        writer.writerow(_cells(_values(row, names, index), f"payload[{index}]"))
    return "".join(lines)


def from_csv(text: str) -> list[list[str]]:
    """Read rows of text; an empty line is an empty row.

    :raises MalformedError: a quote that is not closed, or text behind a closing quote.
    """
    # csv's limit of 128 KiB a field, one for the whole process, is for readers that stream; this is whole.
    if len(text) > csv.field_size_limit():
        csv.field_size_limit(len(text))
    try:
        return list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error:
        raise MalformedError("CSV with a quote out of place") from None


def _values(row: Any, names: list[Any] | None, index: int) -> Sequence[Any]:
    if names is None and is_list(row):
        return row
    if names is not None and isinstance(row, dict) and row.keys() == set(names):
        return [row[name] for name in names]
    found = describe(row) + (" with other keys than the first row" if isinstance(row, dict) and names else "")
    problem = Problem(f"payload[{index}]", found, _ROWS)
    hint = None if isinstance(row, dict) or is_list(row) else _ONE_ROW
    raise PayloadError("The payload cannot be written as CSV", problems=(problem,), hint=hint)


def _cells(row: Sequence[Any], where: str) -> Sequence[Any]:
    for index, cell in enumerate(row):
        if not (cell is None or isinstance(cell, (str, Real, Decimal))):
            problem = Problem(f"{where}[{index}]", describe(cell), _CELL)
            raise PayloadError("The payload cannot be written as CSV", problems=(problem,))
    # numpy's floats would write themselves as np.float64(1.0).
    return [float(cell) if isinstance(cell, float) else cell for cell in row]
