"""Where the file is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from dify_kernel.settings import Doc

__all__ = ["SqliteVectorSettings"]


class SqliteVectorSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the SQLite vector store; each field is the lower-case name of its variable."""

    dify_data: Annotated[str, Doc("Folder of everything the embedded engines keep.")] = ".dify"
    sqlite_vec_path: Annotated[str, Doc("File with the vectors; empty means `vectors.db` in DIFY_DATA.")] = ""

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.sqlite_vec_path) if self.sqlite_vec_path else Path(self.dify_data) / "vectors.db"
