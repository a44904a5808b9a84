"""The local code sandbox: user code in a jail of namespaces, limits and a system call filter, or not at all."""

from __future__ import annotations

from .pool import SandboxPool
from .results import (
    Language,
    SandboxRefused,
    SandboxReport,
    SandboxResult,
    SandboxSettings,
    SandboxUnavailable,
)

__all__ = [
    "Language",
    "SandboxPool",
    "SandboxRefused",
    "SandboxReport",
    "SandboxResult",
    "SandboxSettings",
    "SandboxUnavailable",
]
