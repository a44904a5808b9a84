"""Hook implementations: the storages `opendal` and `local`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.contracts.storage import Storage
from dify_kernel.hookspecs import hookimpl

from dify_storage_opendal.settings import LocalSettings, OpendalSettings


def open_dal(settings: OpendalSettings) -> Storage:
    """The storage of the configured service."""
    from dify_storage_opendal.store import open_storage

    return open_storage(settings.opendal_scheme, settings.options())


def open_local(settings: LocalSettings) -> Storage:
    """The storage of a local folder."""
    from dify_storage_opendal.store import open_storage

    return open_storage("fs", {"root": settings.root()}, settings="STORAGE_LOCAL_PATH and DIFY_DATA")


@hookimpl
def register_storages(register: Callable[..., None]) -> None:
    """Offer both names."""
    register("opendal", OpendalSettings, open_dal, prefix="")
    register("local", LocalSettings, open_local, prefix="")
