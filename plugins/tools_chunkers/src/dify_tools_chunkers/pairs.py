"""Reads questions and answers from the rows of a CSV file. Pure."""

from __future__ import annotations

import csv
import io
from typing import Final

from dify_kernel.contracts.tool import FileContent
from dify_kernel.errors import ToolError

__all__ = ["read_pairs"]

_LONGEST_FIELD: Final = 10_000_000  # characters; the module's own limit is 128 KiB
_MARKS: Final = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read_pairs(file: FileContent, question: int, answer: int) -> list[dict[str, str]]:
    """The pairs of two columns, counted from 0; the first row is the head. Rows without a question are left out.

    ToolError for a file that is no CSV in UTF-8 or UTF-16, and for a column that no row has.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    try:
        rows = list(csv.reader(io.StringIO(_text(file)), strict=False))
    except csv.Error as exc:
        raise ToolError(f"{file.filename} is no CSV file: {exc}.", hint="Save it as CSV.", field="input_file") from exc
    for name, column in (("question_column", question), ("answer_column", answer)):
        if rows and not 0 <= column < max(len(row) for row in rows):
            raise ToolError(
                f"{file.filename} has no column {column}.", hint="The first column has the number 0.", field=name
            )
    longest = max(question, answer)
    pairs = [(row[question].strip(), row[answer].strip()) for row in rows[1:] if len(row) > longest]
    return [{"question": asked, "answer": told} for asked, told in pairs if asked]


def _text(file: FileContent) -> str:
    encoding = next((name for mark, name in _MARKS if file.data.startswith(mark)), "utf-8-sig")
    try:
        return file.data.decode(encoding)
    except UnicodeDecodeError as exc:
        raise ToolError(
            f"{file.filename} is no text in UTF-8.", hint="Save it as CSV in UTF-8.", field="input_file"
        ) from exc
