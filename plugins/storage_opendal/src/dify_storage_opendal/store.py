"""The storages of this plugin: a folder, or any service of the client by its scheme."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dify_kernel.contracts.storage import Storage, StorageCapabilities
from dify_kernel.families.operator_storage import OperatorStorage

__all__ = ["open_storage"]

#: Where half-written objects of a folder live: inside the root, because a rename works only within one file system.
PARTIAL = ".partial"
#: Services that can sign a URL which a browser can open.
SIGNING = frozenset(("azblob", "cos", "gcs", "obs", "oss", "s3", "tos"))
STALE_SECONDS = 24 * 3600


def open_storage(scheme: str, options: Mapping[str, str], *, settings: str = "") -> Storage:
    """The storage of a scheme with the options of its service; nothing is opened yet. Messages name `settings`."""
    local = scheme == "fs"
    return OperatorStorage(
        _client,
        scheme,
        options,
        settings=settings or f"OPENDAL_SCHEME and the variables OPENDAL_{scheme.upper().replace('-', '_')}_…",
        capabilities=StorageCapabilities(signed_url=scheme in SIGNING, persistent=scheme != "memory"),
        network=scheme not in ("fs", "memory"),
        prepare=_prepare_folder if local else None,
        reserved=PARTIAL if local else "",
    )


def _client() -> Any:
    import opendal.layers

    return opendal


def _prepare_folder(options: dict[str, str]) -> dict[str, str]:
    """The options of a folder, made if missing, without what interrupted writes left behind more than a day ago."""
    root = Path(options["root"]).absolute()
    partial = Path(options.get("atomic_write_dir", root / PARTIAL))
    partial.mkdir(parents=True, exist_ok=True)
    for path in partial.iterdir():
        if path.is_file() and time.time() - path.stat().st_mtime > STALE_SECONDS:
            path.unlink(missing_ok=True)
    return {**options, "root": str(root), "atomic_write_dir": str(partial)}
