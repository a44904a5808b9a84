"""Settings: the scheme, and one variable for each option of its service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from dify_kernel.settings import Doc

__all__ = ["LocalSettings", "OpendalSettings"]


class OpendalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What STORAGE_TYPE=opendal reads."""

    dify_data: Annotated[str, Doc("Folder of everything the installation keeps")] = ".dify"
    opendal_scheme: Annotated[str, Doc("OpenDAL service: fs, s3, azblob, gcs, oss, cos, obs, webdav, memory, …")] = "fs"
    opendal: Annotated[
        dict[str, str], Doc("OPENDAL_<SCHEME>_<OPTION>: every option of the service, e.g. OPENDAL_FS_ROOT")
    ] = {}

    def options(self) -> dict[str, str]:
        """The options of the chosen scheme; `fs` is rooted in `<DIFY_DATA>/storage` unless told otherwise."""
        start = self.opendal_scheme.lower().replace("-", "_") + "_"
        options = {key.removeprefix(start): value for key, value in self.opendal.items() if key.startswith(start)}
        if self.opendal_scheme == "fs":
            options.setdefault("root", str(Path(self.dify_data) / "storage"))
        return options


class LocalSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What STORAGE_TYPE=local reads."""

    dify_data: Annotated[str, Doc("Folder of everything the installation keeps")] = ".dify"
    storage_local_path: Annotated[str, Doc("Folder of the objects; default <DIFY_DATA>/storage")] = ""

    def root(self) -> str:
        """The folder of the objects."""
        return self.storage_local_path or str(Path(self.dify_data) / "storage")
