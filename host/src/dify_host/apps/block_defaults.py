"""What a node of each installed type begins with, read off its config struct."""

from __future__ import annotations

from typing import Any

import msgspec
from dify_kernel.contracts.node import Node
from dify_kernel.errors import PluginError
from dify_kernel.registry import Registry

__all__ = ["block_default", "block_defaults"]


def block_defaults(registry: Registry) -> list[dict[str, Any]]:
    """`{type, config}` of every node type that can be loaded, by name."""
    found = []
    for name in registry.names("nodes"):
        try:
            found.append(block_default(registry, name))
        except PluginError:
            continue  # the list of plugins tells what is wrong with it
    return found


def block_default(registry: Registry, kind: str) -> dict[str, Any]:
    """`{type, config}` of one; PluginNotFound when nothing offers it."""
    node: type[Node] = registry.node(kind)
    values = {}
    for field in msgspec.structs.fields(node.Config):
        if field.default is not msgspec.NODEFAULT:
            values[field.encode_name] = msgspec.to_builtins(field.default)
        elif field.default_factory is not msgspec.NODEFAULT:
            values[field.encode_name] = msgspec.to_builtins(field.default_factory())
    return {"type": kind, "version": node.version, "config": values}
