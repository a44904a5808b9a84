"""Where the tables are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from dify_kernel.settings import Doc

__all__ = ["LancedbSettings"]


class LancedbSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of the LanceDB store; each field is the lower-case name of its variable."""

    dify_data: Annotated[str, Doc("Folder of everything the embedded engines keep.")] = ".dify"
    lancedb_uri: Annotated[
        str, Doc("Folder, or address of a bucket (`s3://…`, `gs://…`, `az://…`); empty means `lancedb` in DIFY_DATA.")
    ] = ""

    @property
    def uri(self) -> str:
        """The folder or the bucket."""
        return self.lancedb_uri or str(Path(self.dify_data) / "lancedb")
