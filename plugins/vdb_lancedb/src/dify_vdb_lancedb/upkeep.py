"""How a table gets its name and its indices, and when it is compacted."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lancedb.table import AsyncTable

__all__ = ["Upkeep", "make_indices", "publish"]

KEPT = timedelta(minutes=10)
"""How long a version stays that a reader may be in the middle of."""

FEW, MANY = 24, 400
"""Writes after which a table is compacted when they brought a quarter of it, and after which it is anyhow."""


async def make_indices(table: AsyncTable, kinds: Any) -> None:
    """Index what is asked by: id, partition, tokens of metadata, and words split at spaces, taken as they are."""
    words = kinds.FTS(
        base_tokenizer="whitespace",
        with_position=False,
        max_token_length=None,
        lower_case=False,
        stem=False,
        remove_stop_words=False,
        ascii_folding=False,
    )
    configs = {"id": kinds.BTree(), "partition": kinds.BTree(), "tokens": kinds.LabelList(), "words": words}
    have = {column for index in await table.list_indices() for column in index.columns}
    for column, config in configs.items():
        if column not in have:
            await table.create_index(column, config=config)


def publish(folder: Path, draft: str, name: str) -> None:
    """Give a table that is whole its name, unless another one has it already."""
    try:
        (folder / f"{draft}.lance").rename(folder / f"{name}.lance")
    except OSError:
        if not (folder / f"{name}.lance").is_dir():
            raise


class Upkeep:
    """Counts the writes to one table and tidies it up: merges files, brings indices up to date, drops old versions.

    Merging rewrites the table, so it waits until enough has changed.
    """

    def __init__(self) -> None:
        self._writes = 0
        self._rows = 0

    async def after(self, table: AsyncTable, rows: int) -> None:
        """One more write, of so many rows, was done."""
        self._writes += 1
        self._rows += rows
        if self._writes < FEW or (self._writes < MANY and self._rows * 4 < await table.count_rows()):
            return
        self._writes = self._rows = 0
        await table.optimize(cleanup_older_than=KEPT)
