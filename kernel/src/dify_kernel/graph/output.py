"""Streams answer and end templates in template order, each piece as soon as its variable flows and its path is certain.

A response is *certain* when some path from the root to it has every blocking edge taken: edges that leave a branch, a
container or another response. Certainty spreads along edges, each looked at once, so deciding is linear in the graph.
One response streams at a time, in the order in which they became certain, ties in document order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dify_kernel.contracts.node import NodeKind
from dify_kernel.graph.plan import RESERVED, Plan, PlanNode
from dify_kernel.graph.pool import Pool, Selector
from dify_kernel.graph.values import Value, markdown

__all__ = ["Output", "OutputMap"]

_BLOCKING: Final = (NodeKind.BRANCH, NodeKind.CONTAINER, NodeKind.RESPONSE)


class OutputMap:
    """What streaming needs to know about a plan; built once per plan, shared by its runs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.blocking: list[bool] = []
        #: How many edges lead to each node.
        self.incoming: list[int] = []
        writers: list[int] = []
        for node in plan.nodes:  # once: going through thousands again and again costs more than what is asked of them
            self.blocking.append(node.branching or node.node.kind in _BLOCKING)
            self.incoming.append(len(node.incoming))
            if (names := node.node.writes()) and any(name[0] != node.id for name in names):
                writers.append(node.index)
        self.pieces: dict[int, list[str | Selector]] = {}
        #: Responses whose texts make up one answer; the others give outputs by name.
        self.answers = {index for index in plan.responses if plan.nodes[index].type == "answer"}
        self.wanted: set[tuple[str, str]] = set()
        self.writers: dict[int, list[int]] = {}
        self.late: dict[int, set[Selector]] = {}
        #: Where a value comes from; what stands inside a container is there when the container has ended.
        self.position = {inner: node.index for node in plan.nodes if node.body for inner in node.body.inner_ids()}
        self.position.update((node.id, node.index) for node in plan.nodes)
        #: The maps of containers' bodies, and the ids of all nodes of the plan, those inside containers among them.
        self.bodies = {node.index: OutputMap(node.body) for node in plan.nodes if node.body is not None}
        self.inner_ids = plan.inner_ids()
        #: Containers with a response inside: they stream what their rounds say, as if they were one response.
        self.speakers: set[int] = {index for index, map in self.bodies.items() if map.pieces or map.speakers}
        for index in plan.responses:
            pieces = plan.nodes[index].node.pieces()
            self.pieces[index] = pieces
            used = {piece[:2] for piece in pieces if isinstance(piece, tuple)}
            self.wanted |= {(piece[0], piece[1]) for piece in used if len(piece) == 2}
            ancestors = self._ancestors(index) if used else set()
            #: Ancestors that write a variable which the response shows: it must not stream before they are done.
            self.writers[index] = [
                writer
                for writer in writers
                if writer in ancestors and not used.isdisjoint(tuple(s[:2]) for s in plan.nodes[writer].node.writes())
            ]
            #: Variables that no ancestor gives: their value is what the response itself saw.
            self.late[index] = {
                piece for piece in pieces if isinstance(piece, tuple) and self._late(piece, ancestors, writers)
            }
        #: What is certain before anything runs, and the responses and speakers in it.
        self.certain = [False] * len(plan.nodes)
        self.first = self.spread(self.certain, plan.root) if self.pieces or self.speakers else []
        #: Nodes whose end may let something flow.
        self.watched = self._watched()

    def spread(self, certain: list[bool], start: int) -> list[int]:
        """Mark a node certain, and what follows it without a decision; the responses and speakers found, in order."""
        nodes, edges = self.plan.nodes, self.plan.edges
        found, stack = [], [start]
        while stack:
            index = stack.pop()
            if certain[index]:
                continue
            certain[index] = True
            if index in self.pieces or index in self.speakers:
                found.append(index)
            if not self.blocking[index]:
                stack.extend(edges[edge].target for edge in nodes[index].outgoing)
        return sorted(found)

    def _watched(self) -> set[int]:
        watched = set(self.speakers)
        for index, pieces in self.pieces.items():
            sources = (self.position.get(piece[0]) for piece in pieces if isinstance(piece, tuple))
            watched |= {index, *self.writers[index], *(source for source in sources if source is not None)}
        return watched

    def _ancestors(self, index: int) -> set[int]:
        ancestors: set[int] = set()
        stack = [index]
        while stack:
            for edge in self.plan.nodes[stack.pop()].incoming:
                source = self.plan.edges[edge].source
                if source not in ancestors:
                    ancestors.add(source)
                    stack.append(source)
        return ancestors

    def _late(self, selector: Selector, ancestors: set[int], writers: list[int]) -> bool:
        """Whether the value may still change, or come, while nothing before the response waits for it."""
        if any(
            writer not in ancestors and selector[:2] in {tuple(s[:2]) for s in self.plan.nodes[writer].node.writes()}
            for writer in writers
        ):
            return True
        source = self.position.get(selector[0])
        return source is not None and source not in ancestors


class Output:
    """The streams of one run. Told about edges, chunks and ends; calls `send(selector, text)` in order."""

    def __init__(self, map: OutputMap, pool: Pool, send: Callable[[Selector, str], None]) -> None:
        self._map = map
        self._pool = pool
        self._send = send
        self._certain = list(map.certain)
        #: How many responses and speakers an edge may still make certain.
        self.uncertain = len(map.pieces) + len(map.speakers) - len(map.first)
        self._settled = [False] * len(map.plan.nodes)
        self._waiting = list(map.first)
        #: Whether something has happened since the last `pump` that may let text flow.
        self.news = True
        self._cursor = 0
        self._buffers: dict[tuple[str, str], list[str]] = {}
        self._seen: dict[tuple[int, Selector], Value | None] = {}
        self._sent = 0
        self._streaming = False
        #: Response nodes in the order in which they stream.
        self.order: list[int] = []
        self._said: dict[int, list[tuple[Selector, str]]] = {index: [] for index in map.speakers}

    def edge_taken(self, edge: int) -> None:
        """An edge was decided in favour, while responses are uncertain; it may make some of them certain."""
        target = self._map.plan.edges[edge].target
        if not self._certain[target]:
            found = self._map.spread(self._certain, target)
            self.uncertain -= len(found)
            self._waiting += found
            self.news = True

    def say(self, container: int, selector: Selector, text: str) -> None:
        """A round of a container said something."""
        said = self._said[container]
        if said and said[-1][0] == selector and self._sent < len(said):
            said[-1] = (selector, said[-1][1] + text)
        else:
            said.append((selector, text))
        self.news = True
        self.pump()

    def said(self, container: int) -> list[tuple[Selector, str]]:
        """What the rounds of a container have said, and where each text came from; empty for other nodes."""
        merged: list[tuple[Selector, str]] = []
        for selector, text in self._said.get(container, ()):
            if merged and merged[-1][0] == selector:
                text = merged.pop()[1] + text
            merged.append((selector, text))
        return merged

    def restore(self, container: int, said: list[tuple[Selector, str]]) -> None:
        """Take what a container had said before, at once."""
        if container in self._said:
            self._said[container] = [(tuple(selector), text) for selector, text in said]

    def node_settled(self, index: int) -> None:
        """A node finished or was skipped: its streams are closed."""
        self._settled[index] = True
        if index in self._map.watched:
            self.news = True
            for selector in self._map.late.get(index, ()):
                self._seen[(index, selector)] = self._pool.get(selector)

    def discard(self, node: PlanNode) -> None:
        """An attempt failed: forget what it streamed, unless a client has seen a part of it."""
        for key in [key for key in self._buffers if key[0] == node.id]:
            if not (self._sent and self._streaming and self._active() == key):
                del self._buffers[key]

    def _active(self) -> tuple[str, ...] | None:
        if self.order[-1] in self._said:
            return None
        piece = self._map.pieces[self.order[-1]][self._cursor]
        return piece[:2] if isinstance(piece, tuple) else None

    def chunk(self, node: PlanNode, name: str, text: str) -> None:
        """A running node gave a piece of one of its outputs."""
        key = (node.id, name)
        if key in self._map.wanted:
            self._buffers.setdefault(key, []).append(text)
            self.news = True
            self.pump()

    def pump(self) -> None:
        """Send everything that may be sent now."""
        if not self.news:
            return
        self.news = False
        while self._waiting or self._streaming:
            if not self._streaming:
                opened = self._next()
                if opened is None:
                    return
                self._waiting.remove(opened)
                self.order.append(opened)
                self._streaming = True
            if not self._pump_session(self.order[-1]):
                return
            self._streaming, self._cursor = False, 0

    def _next(self) -> int | None:
        """The first response that waits for no writer."""
        for response in self._waiting:
            if all(self._settled[writer] for writer in self._map.writers.get(response, ())):
                return response
        return None

    def _pump_session(self, response: int) -> bool:
        """Send pieces of one response; True when it is complete."""
        if response in self._said:
            return self._pump_speaker(response)
        pieces = self._map.pieces[response]
        node = self._map.plan.nodes[response]
        while self._cursor < len(pieces):
            piece = pieces[self._cursor]
            if isinstance(piece, str):
                self._send((node.id, "answer"), piece)
            elif not self._send_variable(node, piece):
                return False
            self._cursor += 1
            self._sent = 0
        return True

    def _pump_speaker(self, container: int) -> bool:
        said = self._said[container]
        while self._sent < len(said):
            self._send(*said[self._sent])
            self._sent += 1
        if self._settled[container]:
            self._sent = 0
        return self._settled[container]

    def _send_variable(self, response: PlanNode, selector: Selector) -> bool:
        """Send what has flowed of a variable; True when it is over."""
        if selector in self._map.late[response.index]:
            if self._settled[response.index]:
                self._send_value(response, selector, self._seen[(response.index, selector)])
            return self._settled[response.index]
        key = selector[:2]
        buffer = self._buffers.get(key) if len(selector) == 2 else None  # type: ignore[arg-type]
        source = self._map.position.get(selector[0])
        done = source is None or self._settled[source] or selector[0] in RESERVED
        if buffer is not None:
            while self._sent < len(buffer):
                self._send(selector, buffer[self._sent])
                self._sent += 1
            return done
        if not done:
            return False
        self._send_value(response, selector, self._pool.get(selector))
        return True

    def _send_value(self, response: PlanNode, selector: Selector, value: Value | None) -> None:
        text = response.node.missing(selector) if value is None else markdown(value)
        if value is not None or text:
            self._send(selector, text)
