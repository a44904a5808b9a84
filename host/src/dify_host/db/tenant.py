"""Who a repository works for."""

from __future__ import annotations

import msgspec

__all__ = ["Tenant"]


class Tenant(msgspec.Struct, frozen=True):
    """A workspace that has been authorised; only authentication, a job's row and tests make one."""

    id: str
