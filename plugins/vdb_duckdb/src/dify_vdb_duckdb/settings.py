"""Where the file is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from dify_kernel.settings import Doc

__all__ = ["DuckdbSettings"]


class DuckdbSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the DuckDB store; each field is the lower-case name of its variable."""

    dify_data: Annotated[str, Doc("Folder of everything the embedded engines keep.")] = ".dify"
    duckdb_path: Annotated[str, Doc("File with the vectors; empty means `vectors.duckdb` in DIFY_DATA.")] = ""
    duckdb_threads: Annotated[int, Doc("Threads that one process computes with.", ge=1)] = 2
    duckdb_memory_limit: Annotated[str, Doc("The most memory that one process takes for it, such as `2GB`.")] = "1GB"
    duckdb_wait: Annotated[float, Doc("Seconds that a call waits while other processes use the file.", gt=0)] = 30.0

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.duckdb_path or Path(self.dify_data) / "vectors.duckdb")
