"""Hook implementation: offers the data sources of `aws_s3_storage` and `webdav`."""

from __future__ import annotations

from collections.abc import Callable

from dify_kernel.hookspecs import hookimpl

__all__ = ["register_datasources"]


@hookimpl
def register_datasources(register: Callable[..., None]) -> None:
    """Offer both providers."""
    from dify_datasources_drive.provider import S3Sources, WebdavSources

    register(S3Sources)
    register(WebdavSources)
