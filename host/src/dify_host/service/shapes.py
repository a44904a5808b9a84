"""Shapes that several routes share."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["FileObject", "Success"]

FileObject = dict[str, Any]
"""A file in a request: `{type, transfer_method, url | upload_file_id}`; objects that name no file are skipped."""


class Success(msgspec.Struct, kw_only=True):
    """What an action answers."""

    result: str = "success"
