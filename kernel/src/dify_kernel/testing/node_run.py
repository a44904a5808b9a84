"""Runs one node outside an engine: what it gave, what it read and wrote, and ports that watch it or never answer."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from dify_kernel.contracts.node import Node, NodeContext, NodeResult, NodeStatus, Pause
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import DifyError, PlatformUnavailable
from dify_kernel.graph.pool import Pool, Selector
from dify_kernel.graph.values import Value, plain
from dify_kernel.testing.fakes import fake_pool

__all__ = [
    "NODE_ID",
    "AwayPort",
    "ClosedPorts",
    "HangingPort",
    "Outcome",
    "RecordingPool",
    "WatchedPort",
    "make_node",
    "map_ports",
    "run_node",
]

NODE_ID = "node"


@dataclass(kw_only=True)
class Outcome:
    """Everything that one run gave: deltas in order, the result or pause if there was one, or the error it raised."""

    deltas: list[Any]
    error: DifyError | None = None

    @property
    def result(self) -> NodeResult | None:
        """The last result."""
        return next((item for item in reversed(self.deltas) if isinstance(item, NodeResult)), None)

    @property
    def pause(self) -> Pause | None:
        """The last request to wait for somebody."""
        return next((item for item in reversed(self.deltas) if isinstance(item, Pause)), None)

    @property
    def failure(self) -> str:
        """The text of the failure, raised or reported; empty for a success."""
        if self.error is not None:
            return str(self.error)
        result = self.result
        return result.error if result is not None and result.status is NodeStatus.FAILED else ""

    def comparable(self) -> Any:
        """The outcome as plain data, for comparing two runs."""
        deltas = [plain(msgspec.to_builtins(item, enc_hook=str, builtin_types=(bytes,))) for item in self.deltas]
        return deltas, type(self.error).__name__, str(self.error)


def make_node(node: type[Node], config: Mapping[str, Any], node_id: str = NODE_ID) -> Node:
    """The node of DSL data, decoded as the engine decodes it: unknown keys ignored, numbers and booleans lenient."""
    return node(node_id, msgspec.convert(dict(config), node.Config, strict=False))


async def run_node(node: Node, ctx: NodeContext) -> Outcome:
    """Run a node to its end; a DifyError is kept in the outcome, anything else is raised."""
    outcome = Outcome(deltas=[])
    try:
        async for delta in node.run(ctx):
            outcome.deltas.append(delta)
    except DifyError as exc:
        outcome.error = exc
    return outcome


class RecordingPool(Pool):
    """A pool that remembers which selectors were read, and that anything was written."""

    __slots__ = ("reads", "writes")

    def __init__(self, variables: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.update_all(variables)
        self.reads: list[Selector] = []
        self.writes: list[str] = []

    def update_all(self, variables: Mapping[str, Mapping[str, Any]]) -> None:
        """Fill the pool before the node sees it."""
        source = fake_pool(variables)
        self._nodes = source._nodes
        self.secrets = source.secrets

    def set(self, node_id: str, name: str, data: Any) -> None:
        """A write by the node: remembered, and refused by the suite."""
        self.writes.append(f"{node_id}.{name}")
        super().set(node_id, name, data)

    def remove(self, node_ids: Any) -> None:
        """A removal by the node: remembered, and refused by the suite."""
        node_ids = list(node_ids)
        self.writes += node_ids
        super().remove(node_ids)

    def get(self, selector: Sequence[str]) -> Value | None:
        """One value, remembered as read."""
        self.reads.append(tuple(selector))
        return super().get(selector)

    def node(self, node_id: str) -> Mapping[str, Value]:
        """All values of a node, remembered as read whole."""
        self.reads.append((node_id,))
        return super().node(node_id)

    def __iter__(self) -> Iterator[tuple[str, str, Value]]:
        self.reads.append(())
        return super().__iter__()


class ClosedPorts:
    """The ports of a pure node: reaching for one is a failure."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a pure node reached for ports.{name}; declare pure = False")


class WatchedPort:
    """Passes calls on and writes them down, whatever object is behind."""

    def __init__(self, calls: list[Any], name: str, port: Any) -> None:
        self._name, self._port, self._calls = name, port, calls

    def __getattr__(self, method: str) -> Any:
        target = getattr(self._port, method)
        if not callable(target):
            return target

        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls.append((self._name, method, copy.deepcopy(args), copy.deepcopy(kwargs)))
            return target(*args, **kwargs)

        return call


class _Hanging:
    """What a hanging port answers: awaited, iterated or entered, it never ends."""

    def __init__(self, entered: asyncio.Event) -> None:
        self._entered = entered

    async def _hang(self) -> Any:
        self._entered.set()
        await asyncio.Event().wait()

    def __await__(self) -> Any:
        return self._hang().__await__()

    def __aiter__(self) -> _Hanging:
        return self

    async def __anext__(self) -> Any:
        return await self._hang()

    async def __aenter__(self) -> Any:
        return await self._hang()

    async def __aexit__(self, *_: object) -> None:
        return None


class HangingPort:
    """A port whose every call hangs; `entered` is set when one is waited for."""

    def __init__(self, entered: asyncio.Event) -> None:
        self._entered = entered

    def __getattr__(self, method: str) -> Any:
        return lambda *_, **__: _Hanging(self._entered)


class AwayPort:
    """A port of a platform whose database is away: every call raises PlatformUnavailable; `asked` is then true."""

    def __init__(self) -> None:
        self.asked = False

    async def _raise(self) -> Any:
        self.asked = True
        raise PlatformUnavailable("The database does not answer.")

    def __getattr__(self, method: str) -> Any:
        return lambda *_, **__: self

    def __await__(self) -> Any:
        return self._raise().__await__()

    def __aiter__(self) -> AwayPort:
        return self

    async def __anext__(self) -> Any:
        return await self._raise()

    async def __aenter__(self) -> Any:
        return await self._raise()

    async def __aexit__(self, *_: object) -> None:
        return None


def map_ports(ports: Ports, change: Callable[[str, Any], Any]) -> Ports:
    """The ports, each replaced by `change(name, port)`."""
    return Ports(**{name: change(name, getattr(ports, name)) for name in ports.__struct_fields__})
