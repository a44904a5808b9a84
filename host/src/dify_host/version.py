"""The version of the host, as its distribution states it."""

from __future__ import annotations

from importlib.metadata import version

__all__ = ["VERSION"]

VERSION = version("dify-host")
