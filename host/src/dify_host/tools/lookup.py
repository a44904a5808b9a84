"""How a provider of the workspace is named: by the id of its row, or by a name of its own."""

from __future__ import annotations

import uuid
from contextlib import suppress

import sqlalchemy as sa

__all__ = ["is_meant"]


def is_meant(table: sa.Table, text: str, *names: str) -> sa.ColumnElement[bool]:
    """The condition that a row has this id, or this text in one of the columns `names`."""
    conditions = [table.c[name] == text for name in names]
    with suppress(ValueError):  # no id, so it is a name
        conditions.append(table.c.id == str(uuid.UUID(text)))
    return sa.or_(*conditions)
