"""Looks whether an address can be listened on, before anything is started that would find out later."""

from __future__ import annotations

import errno
import socket

from dify_kernel.errors import DifyError

__all__ = ["AddressUnavailable", "check_address"]


class AddressUnavailable(DifyError):
    """Nothing can listen on an address: another program does, or it is not of this machine."""

    code = "address_unavailable"


def check_address(host: str, port: int) -> None:
    """Listen for a moment; AddressUnavailable says why that does not work. Port 0 always does."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as exc:
        reason = "another program listens there" if exc.errno == errno.EADDRINUSE else str(exc.strerror).lower()
        raise AddressUnavailable(
            f"The API cannot listen on {host}:{port}: {reason}.",
            hint="Choose another address with --host and --port (DIFY_BIND_ADDRESS, DIFY_PORT).",
        ) from exc
