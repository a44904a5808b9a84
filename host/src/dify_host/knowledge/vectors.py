"""The vector stores of this process: each opened once, by name, and each space created once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from dify_kernel.contracts.vector import Space, VectorStore
from dify_kernel.registry import Registry

__all__ = ["VectorStores"]


class VectorStores:
    """Opens stores by their public name; `default` is where new knowledge bases go."""

    def __init__(self, build: Callable[[str], VectorStore], *, default: str) -> None:
        self.default = default
        self._build = build
        self._opened: dict[str, VectorStore] = {}
        self._created: set[tuple[str, Space]] = set()
        self._turn = asyncio.Lock()

    @classmethod
    def from_registry(cls, registry: Registry, env: Mapping[str, str], *, default: str) -> VectorStores:
        """Stores that come from installed plugins, each with its settings from `env`."""

        def build(name: str) -> VectorStore:
            store: VectorStore = registry.get("vdb", name).build(env)
            return store

        return cls(build, default=default)

    async def open(self, name: str) -> VectorStore:
        """The opened store of that name; PluginNotFound when nothing installed offers it."""
        if name not in self._opened:
            async with self._turn:
                if name not in self._opened:
                    store = self._build(name)
                    await store.open()
                    self._opened[name] = store
        return self._opened[name]

    def search_methods(self, name: str) -> list[str]:
        """How knowledge bases in that store can be searched; PluginNotFound. No connection is opened for it."""
        store = self._opened.get(name) or self._build(name)
        able = store.capabilities
        methods = ["semantic_search"]
        if able.full_text:
            methods.append("full_text_search")
        if able.full_text or able.hybrid:
            methods.append("hybrid_search")
        return methods

    async def ready(self, name: str, space: Space) -> VectorStore:
        """The opened store, with the space in it; the store is asked to create a space once a process."""
        store = await self.open(name)
        if (name, space) not in self._created:
            await store.create(space)
            self._created.add((name, space))
        return store

    async def close(self) -> None:
        """Close every store; may be called twice."""
        opened, self._opened = self._opened, {}
        self._created.clear()
        for store in opened.values():
            await store.close()
