"""The contracts: one module a kind of plugin, each an abstract class with msgspec structs for what goes in and out.

`CONTRACT_VERSIONS` gives each kind's integer version. A plugin states the version it was written for as a keyword
of its distribution (`dify-contract-vdb-1`), so that the registry can check it before importing anything.
"""

from __future__ import annotations

from typing import Final

__all__ = ["CONTRACT_VERSIONS", "GROUPS"]

#: Entry-point group of each kind of plugin.
GROUPS: Final[dict[str, str]] = {
    "vdb": "dify.vdb",
    "storage": "dify.storage",
    "providers": "dify.providers",
    "nodes": "dify.nodes",
    "auth": "dify.auth",
    "tools": "dify.tools",
    "datasources": "dify.datasources",
    "hooks": "dify.hooks",
}

CONTRACT_VERSIONS: Final[dict[str, int]] = dict.fromkeys(GROUPS, 1)
