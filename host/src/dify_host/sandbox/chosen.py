"""Which code sandbox the settings choose: the jail of this machine, or a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .pool import SandboxPool
from .remote import RemoteSandbox, RemoteSettings
from .results import SandboxSettings

if TYPE_CHECKING:
    from dify_host.settings import HostSettings

__all__ = ["Sandbox", "sandbox_of"]

Sandbox = SandboxPool | RemoteSandbox


def sandbox_of(settings: HostSettings) -> Sandbox:
    """The sandbox of these settings, not started yet; SettingsError for an address that is none. Close it."""
    if not settings.code_execution_endpoint:
        return SandboxPool(
            SandboxSettings(
                concurrency=settings.sandbox_max_workers,
                memory_mb=settings.sandbox_max_memory,
                packages=settings.sandbox_packages,
            )
        )
    return RemoteSandbox(
        RemoteSettings(
            endpoint=settings.code_execution_endpoint,
            api_key=settings.code_execution_api_key,
            connect_timeout=settings.code_execution_connect_timeout,
            read_timeout=settings.code_execution_read_timeout,
            write_timeout=settings.code_execution_write_timeout,
            ssl_verify=settings.code_execution_ssl_verify,
            max_connections=settings.code_execution_pool_max_connections,
            max_keepalive_connections=settings.code_execution_pool_max_keepalive_connections,
            keepalive_expiry=settings.code_execution_pool_keepalive_expiry,
        )
    )
