"""Creates tables in revisions with the options that MySQL needs to behave as the other engines do."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

__all__ = ["create_table"]

_OPTIONS = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}


def create_table(name: str, *items: sa.schema.SchemaItem) -> sa.Table:
    """Create a table with these columns and constraints; on MySQL text compares byte by byte."""
    options: dict[str, Any] = {
        f"{engine}_{key}": value for engine in ("mysql", "mariadb") for key, value in _OPTIONS.items()
    }
    return op.create_table(name, *items, **options)
