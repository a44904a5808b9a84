"""The inside of a container without an engine: each round is a function that sets values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.node import NodeStatus, Round
from dify_kernel.errors import NodeFailed
from dify_kernel.graph.pool import Pool

__all__ = ["FakeBody"]


class FakeBody:
    """A Body whose round `index` is `play(index, pool)`: it sets what the nodes inside would, or raises NodeFailed.

    The pool holds the variables of the round under `node_id`, shared rounds see what earlier ones left. `ran` gives
    the types of the nodes that ran. `calls` remembers (index, isolated) in order.
    """

    def __init__(
        self,
        play: Callable[[int, Pool], None],
        *,
        node_id: str = "node",
        ran: Callable[[int], Iterable[str]] = lambda _index: (),
        tokens: int = 0,
    ) -> None:
        self._play, self._ran, self._node_id, self._tokens = play, ran, node_id, tokens
        self._shared = Pool()
        self.calls: list[tuple[int, bool]] = []

    async def run(self, index: int, variables: Mapping[str, Any], *, isolated: bool) -> Round:
        """One round."""
        self.calls.append((index, isolated))
        pool = Pool() if isolated else self._shared
        pool.update(self._node_id, variables)
        error, error_type = "", ""
        try:
            self._play(index, pool)
        except NodeFailed as exc:
            error, error_type = exc.description, exc.error_type
        return Round(
            pool=pool,
            ran=frozenset(self._ran(index)),
            status=NodeStatus.FAILED if error else NodeStatus.SUCCEEDED,
            error=error,
            error_type=error_type,
            usage=Usage(total_tokens=self._tokens),
        )

    async def run_many(
        self, rounds: Sequence[Mapping[str, Any]], *, at_once: int, stop_at_failure: bool
    ) -> dict[int, Round]:
        """The rounds one after another."""
        ends: dict[int, Round] = {}
        for index, variables in enumerate(rounds):
            ends[index] = await self.run(index, variables, isolated=True)
            if stop_at_failure and ends[index].status is NodeStatus.FAILED:
                break
        return ends
