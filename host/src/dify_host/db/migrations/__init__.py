"""The alembic environment: revisions of the schema, run by `dify_host.db.migrate`."""

from __future__ import annotations

from typing import Final

__all__ = ["HEAD"]

#: The newest revision; a database that is there needs no alembic at start, which is slow to import.
HEAD: Final = "0001"
