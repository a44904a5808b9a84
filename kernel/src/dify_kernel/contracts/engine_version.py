"""The version of an engine that the platform stands on, and the versions that it is made for."""

from __future__ import annotations

import re

import msgspec

__all__ = ["EngineVersion"]


class EngineVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What answers. `version` is as the engine says it, empty when it is not there at all; `supported` are the versions
    that its user is made for, as a specifier set (PEP 440), such as `>=1.9,<3`."""

    name: str
    version: str
    supported: str

    @property
    def release(self) -> str:
        """The numbers with dots in the version: `2.6.1` of `v2.6.1-rc1`."""
        found = re.search(r"\d+(?:\.\d+)*", self.version)
        return found[0] if found else ""
