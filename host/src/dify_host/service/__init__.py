"""The Service API: controllers for client SDKs. No business rule lives here."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from dify_host.service.runs import RunController

__all__ = ["app_routes", "dataset_routes"]


def app_routes() -> list[ControllerRouterHandler]:
    """The routes below `/v1` for app keys."""
    return [RunController]


def dataset_routes() -> list[ControllerRouterHandler]:
    """The routes below `/v1` for knowledge keys."""
    return []
