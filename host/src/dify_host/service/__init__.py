"""The Service API: controllers for client SDKs. No business rule lives here."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from dify_host.service.runs import RunController

__all__ = ["controllers"]


def controllers() -> list[ControllerRouterHandler]:
    """Every route below `/v1`."""
    return [RunController]
