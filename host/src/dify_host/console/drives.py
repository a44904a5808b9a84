"""Drives as sources of documents: what there is to choose from."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Controller, post
from litestar.params import JSONBody

from dify_host.console.dataset_shapes import person_of
from dify_host.datasources.pool import drive_of
from dify_host.http.console_callers import DATASET_WRITERS, ConsoleAccount
from dify_host.knowledge.document_sources import drive_key

__all__ = ["DriveController"]


class BrowseBody(msgspec.Struct, kw_only=True):
    """Body of `/online-drive/pre-import/files`; a page ends with what asks for the next one."""

    credential_id: str
    datasource_name: str = ""
    dataset_id: str | None = None
    bucket: str = ""
    prefix: str = ""
    max_keys: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    next_page_parameters: dict[str, Any] | None = None


class DriveController(Controller):
    """Routes of drives; the credentials say which provider reads them."""

    path = "/online-drive"
    opt = DATASET_WRITERS

    @post("/pre-import/files", status_code=200)
    async def files(self, data: JSONBody[BrowseBody], caller: ConsoleAccount) -> dict[str, Any]:
        """A page of a folder, or of the buckets; `is_bound` are documents of the dataset already."""
        bound: frozenset[str] = frozenset()
        if data.dataset_id:
            await caller.workspace.datasets.access.require(data.dataset_id, person_of(caller))
            bound = await caller.workspace.knowledge.document_sources.bound(data.dataset_id)
        installed = caller.workspace.installed_datasources
        provider, credentials = await installed.opened(
            await installed.provider_of(data.credential_id), data.credential_id
        )
        page = await drive_of(provider, data.datasource_name).browse(
            credentials,
            bucket=data.bucket,
            prefix=data.prefix,
            limit=data.max_keys,
            next_page=data.next_page_parameters or None,
        )
        body: dict[str, Any] = {"bucket": data.bucket, "files": msgspec.to_builtins(page.files)}
        for file in body["files"]:
            info = {"credential_id": data.credential_id, "bucket": data.bucket, "id": file["id"]}
            file["is_bound"] = drive_key(info) in bound
        more = {"is_truncated": page.next_page is not None, "next_page_parameters": page.next_page}
        return body | more
