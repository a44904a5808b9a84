"""Shapes that several routes share."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response
from litestar.params import PathParameter, QueryParameter

from dify_host.db.repository import Page
from dify_host.runs.conversations import unix

__all__ = [
    "Deleted",
    "FileObject",
    "IdInPath",
    "Limit",
    "PageNumber",
    "Success",
    "deleted",
    "page_body",
    "shown",
]

FileObject = dict[str, Any]
"""A file in a request: `{type, transfer_method, url | upload_file_id}`; objects that name no file are skipped."""

IdInPath = Annotated[UUID, PathParameter()]
"""An id in a path; a text that is none leads nowhere (404)."""
Limit = Annotated[int, QueryParameter(ge=1, le=100)]
"""How many items a page has."""
PageNumber = Annotated[int, QueryParameter(ge=1, le=99_999)]
"""Which page, from 1."""


class Success(msgspec.Struct, kw_only=True):
    """What an action answers."""

    result: str = "success"


Deleted = Response[int]
"""The answer of Dify's knowledge API to a deletion: status 200 with the number 204 as its body."""


def deleted() -> Deleted:
    """Say that something is gone, or done."""
    return Response(204, status_code=200, media_type="application/json")


def shown(value: Any) -> Any:
    """A struct (or a list of them) as the API shows it: times as Unix seconds, None where there is no time."""
    if isinstance(value, datetime):
        return unix(value)
    if isinstance(value, msgspec.Struct):
        return {name: shown(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    return value


def page_body(page: Page[Any]) -> dict[str, Any]:
    """A page of a list."""
    return {
        "data": shown(page.data),
        "has_more": page.has_more,
        "limit": page.limit,
        "total": page.total,
        "page": page.page,
    }
