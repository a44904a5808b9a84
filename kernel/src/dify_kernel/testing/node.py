"""The conformance suite of node classes: subclass `NodeSuite`, name the node, give examples.

class TestIfElse(NodeSuite):
    node = IfElseNode
    examples = [NodeExample(config={...}, variables={"start": {"n": 1}}, outputs={"result": True}, handle="true")]
    bad_configs = [{"cases": [{"case_id": "a", "conditions": [{"comparison_operator": "?"}]}]}]
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import msgspec
import pytest

from dify_kernel.contracts.node import (
    Body,
    Limits,
    Node,
    NodeContext,
    NodeKind,
    NodeResult,
    NodeStatus,
    Pause,
    TextDelta,
)
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import DifyError, PlatformUnavailable
from dify_kernel.graph.pool import Pool, Selector
from dify_kernel.graph.values import plain
from dify_kernel.testing.fakes import fake_context, fake_pool, fake_ports
from dify_kernel.testing.honesty import ContractSuite
from dify_kernel.testing.node_run import (
    NODE_ID,
    AwayPort,
    ClosedPorts,
    HangingPort,
    Outcome,
    RecordingPool,
    WatchedPort,
    make_node,
    map_ports,
    run_node,
)

__all__ = ["NodeExample", "NodeSuite", "Outcome", "RecordingPool", "make_node", "run_node"]

#: What the canvas and newer versions write beside a node's own fields.
FOREIGN = {
    "title": "A title",
    "desc": "",
    "selected": False,
    "isInIteration": False,
    "error_strategy": None,
    "retry_config": {"max_retries": 3, "retry_interval": 100, "retry_enabled": False},
    "a_field_of_the_future": {"nested": [1, None, {"a": "b"}]},
}


@dataclass(frozen=True, kw_only=True)
class NodeExample:
    """One config, the variables it meets, and what must come out.

    `outputs` None is not compared. `error` is a part of the text of the failure, raised or in a failed result; such an
    example must not succeed. `updates` are compared when given. `ports` is called once a run, for fresh fakes.

    A node that waits for somebody: `pause` is what it must ask for, `answer` what it then gets. With an answer, the
    rest of the example is about the run that has it; without, the pause is all that must come out.

    A container: `body` is called once a run, for a fresh inside (`dify_kernel.testing.fake_body`).
    """

    config: Mapping[str, Any]
    variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    outputs: Mapping[str, Any] | None = None
    handle: str = "source"
    error: str | None = None
    updates: Sequence[tuple[Selector, Any]] | None = None
    ports: Callable[[], Ports] = fake_ports
    limits: Limits = field(default_factory=Limits)
    pause: Pause | None = None
    answer: Mapping[str, Any] | None = None
    body: Callable[[], Body] | None = None
    name: str = ""

    @property
    def waits(self) -> bool:
        """Whether the node, when nobody has answered, must ask for a pause."""
        return self.pause is not None or self.answer is not None


class NodeSuite(ContractSuite, suite=True):
    """What every node owes the engine. Give `node`, `examples`, and `bad_configs` that must be refused."""

    node: ClassVar[type[Node]]
    examples: ClassVar[Sequence[NodeExample]] = ()
    bad_configs: ClassVar[Sequence[Mapping[str, Any]]] = ()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test an example."""
        if "example" in metafunc.fixturenames:
            examples = list(type(self).examples)
            ids = [example.name or str(number) for number, example in enumerate(examples)]
            metafunc.parametrize("example", examples, ids=ids)

    # -- inside ------------------------------------------------------------------------------------------------

    def _build(self, example: NodeExample) -> Node:
        return make_node(self.node, copy.deepcopy(dict(example.config)))

    def _context(
        self,
        example: NodeExample,
        pool: Pool | None = None,
        *,
        ports: Any = None,
        attempt: int = 0,
        answered: bool = True,
    ) -> NodeContext:
        given: Any = ports if ports is not None else ClosedPorts() if self.node.pure else example.ports()
        variables = pool if pool is not None else fake_pool(copy.deepcopy(dict(example.variables)))
        answer = copy.deepcopy(dict(example.answer)) if answered and example.answer is not None else None
        return fake_context(
            NODE_ID,
            variables,
            ports=given,
            limits=example.limits,
            attempt=attempt,
            answer=answer,
            body=example.body() if example.body else None,
        )

    async def _run(self, example: NodeExample) -> Outcome:
        return await run_node(self._build(example), self._context(example))

    # -- the class and its config ------------------------------------------------------------------------------

    def test_the_class_says_what_it_is(self) -> None:
        """Troubleshooting: set `type` (and `version`), `Config`, and write one sentence of docstring."""
        assert isinstance(self.node.type, str)
        assert self.node.type
        assert self.node.version
        assert (self.node.__doc__ or "").strip()
        assert isinstance(self.node.kind, NodeKind)

    def test_there_are_examples(self) -> None:
        """Troubleshooting: give at least one example that succeeds; without one the suite proves nothing."""
        assert any(example.error is None for example in self.examples)

    def test_config_gives_a_json_schema(self) -> None:
        """Troubleshooting: use types msgspec can describe; the console makes its form from the schema."""
        schema = msgspec.json.schema(self.node.Config)
        assert schema
        msgspec.json.encode(schema)

    def test_config_decodes_beside_foreign_keys(self, example: NodeExample) -> None:
        """Troubleshooting: do not forbid unknown fields; the canvas and other versions write more than you know."""
        config = {**FOREIGN, "type": self.node.type, "version": self.node.version, **copy.deepcopy(example.config)}
        with_foreign, alone = make_node(self.node, config), self._build(example)
        assert with_foreign.handles() == alone.handles()
        assert with_foreign.selectors() == alone.selectors()

    def test_good_configs_have_no_problems(self, example: NodeExample) -> None:
        """Troubleshooting: `problems()` found something in an example that is meant to run."""
        if example.error is None:
            assert self._build(example).problems() == []

    def test_bad_configs_are_refused(self) -> None:
        """Troubleshooting: a bad config must fail to decode, or be named by `problems()`, never by a crash."""
        for config in self.bad_configs:
            try:
                problems = make_node(self.node, copy.deepcopy(dict(config))).problems()
            except (msgspec.ValidationError, DifyError):
                continue
            assert problems, f"accepted {config}"
            assert all(isinstance(text, str) and text.strip() for text in problems)

    # -- one run -----------------------------------------------------------------------------------------------

    async def test_one_result_comes_last(self, example: NodeExample) -> None:
        """Troubleshooting: yield deltas, then exactly one NodeResult or Pause, then stop; or raise a DifyError."""
        for answered in (True, False):
            outcome = await run_node(self._build(example), self._context(example, answered=answered))
            ends = [index for index, item in enumerate(outcome.deltas) if isinstance(item, NodeResult | Pause)]
            if outcome.error is not None:
                assert ends == []
                assert outcome.error.message
            else:
                assert ends == [len(outcome.deltas) - 1]

    async def test_the_outcome_is_the_examples(self, example: NodeExample) -> None:
        """Troubleshooting: outputs, handle, updates or error differ from the example."""
        outcome = await self._run(example)
        if example.error is not None:
            assert example.error in outcome.failure
            return
        assert outcome.failure == ""
        if example.pause is not None and example.answer is None:
            return
        result = outcome.result
        assert result is not None
        if example.outputs is not None:
            assert _exact(plain(result.outputs)) == _exact(plain(dict(example.outputs)))
        if example.updates is not None:
            assert [(tuple(selector), plain(data)) for selector, data in result.updates] == [
                (tuple(selector), plain(data)) for selector, data in example.updates
            ]
        assert result.handle == example.handle

    async def test_the_handle_is_declared(self, example: NodeExample) -> None:
        """Troubleshooting: `handles()` must name every handle a result may carry, or its edges are never taken."""
        result = (await self._run(example)).result
        if result is not None and result.status is NodeStatus.SUCCEEDED:
            assert result.handle in self._build(example).handles()

    async def test_every_read_is_declared(self, example: NodeExample) -> None:
        """Troubleshooting: `selectors()` misses a variable; validation and stream order would not know of it.

        System variables and the node's own values need no declaration.
        """
        node, pool = self._build(example), RecordingPool(copy.deepcopy(dict(example.variables)))
        await run_node(node, self._context(example, pool))
        declared = [tuple(selector) for selector in node.selectors()]
        undeclared = [read for read in pool.reads if not _declared(read, declared)]
        assert undeclared == []

    async def test_updates_are_declared(self, example: NodeExample) -> None:
        """Troubleshooting: `writes()` must name every variable that `updates` changes; answers wait for them."""
        result = (await self._run(example)).result
        if result is not None:
            written = {tuple(selector) for selector, _ in result.updates}
            assert written <= {tuple(selector) for selector in self._build(example).writes()}

    async def test_text_deltas_add_up_to_the_output(self, example: NodeExample) -> None:
        """Troubleshooting: what was streamed under a name must be the text that the result holds under it."""
        outcome = await self._run(example)
        streamed: dict[str, str] = {}
        for item in outcome.deltas:
            if isinstance(item, TextDelta):
                streamed[item.name] = streamed.get(item.name, "") + item.text
        if outcome.result is not None and outcome.result.status is NodeStatus.SUCCEEDED:
            assert {name: outcome.result.outputs.get(name) for name in streamed} == streamed

    async def test_the_result_encodes_as_json(self, example: NodeExample) -> None:
        """Troubleshooting: outputs, inputs and process data go to the run log; keep them plain, or File."""
        result = (await self._run(example)).result
        if result is not None:
            for part in (result.outputs, result.inputs, result.process_data, result.metadata):
                data = plain(part)
                assert msgspec.json.decode(msgspec.json.encode(data)) == _listed(data)
            msgspec.json.encode([plain(data) for _, data in result.updates])

    def test_pieces_are_among_the_selectors(self, example: NodeExample) -> None:
        """Troubleshooting: every selector of a stream template belongs in `selectors()` too."""
        node = self._build(example)
        pieces = [tuple(piece) for piece in node.pieces() if not isinstance(piece, str)]
        assert set(pieces) <= {tuple(selector) for selector in node.selectors()}
        assert not pieces or node.kind is NodeKind.RESPONSE

    # -- waiting for somebody ----------------------------------------------------------------------------------

    async def test_the_pause_is_the_examples(self, example: NodeExample) -> None:
        """Troubleshooting: a node asks for a pause when its example says so and nobody has answered, else never."""
        outcome = await run_node(self._build(example), self._context(example, answered=False))
        assert (outcome.pause is not None) == example.waits
        if outcome.pause is not None and example.pause is not None:
            assert _exact(msgspec.to_builtins(outcome.pause)) == _exact(msgspec.to_builtins(example.pause))

    async def test_a_pause_is_plain_data(self, example: NodeExample) -> None:
        """Troubleshooting: a pause is kept and shown by others: name its type, keep its data what JSON can carry."""
        pause = (await run_node(self._build(example), self._context(example, answered=False))).pause
        if pause is not None:
            assert pause.type
            assert msgspec.json.decode(msgspec.json.encode(pause.data)) == pause.data
            assert pause.expires_in is None or pause.expires_in > 0

    async def test_the_answer_may_meet_another_process(self, example: NodeExample) -> None:
        """Troubleshooting: nobody holds a run that waits; take what you need from the config, the pool, the answer."""
        if example.answer is None:
            return
        asked = self._build(example)
        await run_node(asked, self._context(example, answered=False))
        here, there = await run_node(asked, self._context(example)), await self._run(example)
        assert here.comparable() == there.comparable()

    async def test_the_answer_is_not_changed(self, example: NodeExample) -> None:
        """Troubleshooting: the answer is a fact in the run's log; copy before changing."""
        context = self._context(example)
        await run_node(self._build(example), context)
        assert context.answer == (None if example.answer is None else dict(example.answer))

    # -- what a run must not do --------------------------------------------------------------------------------

    async def test_the_pool_is_not_changed(self, example: NodeExample) -> None:
        """Troubleshooting: nodes only read; give new values as outputs or `updates`, and copy before changing."""
        pool = RecordingPool(copy.deepcopy(dict(example.variables)))
        before = copy.deepcopy(pool.dump())
        await run_node(self._build(example), self._context(example, pool))
        assert pool.writes == []
        assert pool.dump() == before

    async def test_the_config_is_not_changed(self, example: NodeExample) -> None:
        """Troubleshooting: a node is shared by all runs of its plan; keep nothing of a run in it."""
        node = self._build(example)
        before = msgspec.json.encode(node.config)
        await run_node(node, self._context(example))
        assert msgspec.json.encode(node.config) == before

    async def test_a_second_run_of_the_same_node_is_the_same(self, example: NodeExample) -> None:
        """Troubleshooting: state of one run leaked into the next, or a pure node gives what it pleases."""
        node = self._build(example)
        first, second = await asyncio.gather(
            run_node(node, self._context(example)), run_node(node, self._context(example))
        )
        if self.node.pure or first.pause is not None:
            assert first.comparable() == second.comparable()
        elif first.result is not None and second.result is not None:
            assert first.result.handle == second.result.handle
            assert plain(first.result.outputs).keys() == plain(second.result.outputs).keys()

    async def test_missing_variables_end_in_an_answer(self, example: NodeExample) -> None:
        """Troubleshooting: with no variables at all a node gives a result, a pause or a DifyError, nothing else."""
        outcome = await run_node(self._build(example), self._context(example, fake_pool({})))
        assert outcome.result is not None or outcome.pause is not None or outcome.error is not None

    # -- nodes with effects ------------------------------------------------------------------------------------

    async def test_cancelling_works(self, example: NodeExample) -> None:
        """Troubleshooting: let CancelledError through; a caught BaseException must be raised again."""
        if self.node.pure:
            return
        entered = asyncio.Event()
        ports = map_ports(example.ports(), lambda _, __: HangingPort(entered))
        task = asyncio.create_task(run_node(self._build(example), self._context(example, ports=ports)))
        waiter = asyncio.create_task(entered.wait())
        await asyncio.wait({task, waiter}, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if task.done():
            task.result()
            return
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=5)
        assert done, "the node did not stop"
        assert task.cancelled(), "the node swallowed its cancellation"

    async def test_the_platform_away_is_not_its_failure(self, example: NodeExample) -> None:
        """Troubleshooting: raise PlatformUnavailable again where you catch DifyError; `NodeResult.failed` does."""
        if self.node.pure:
            return
        away = AwayPort()
        ports = map_ports(example.ports(), lambda _, __: away)
        outcome = await run_node(self._build(example), self._context(example, ports=ports))
        assert not away.asked or isinstance(outcome.error, PlatformUnavailable), "the node took it for a failure"

    async def test_a_second_attempt_sends_the_same(self, example: NodeExample) -> None:
        """Troubleshooting: a repeated call must carry the same `ctx.key`; keep random ids and times out of requests."""
        if self.node.pure:
            return
        calls: list[list[Any]] = []
        for attempt in (0, 1):
            seen: list[Any] = []
            ports = map_ports(example.ports(), partial(WatchedPort, seen))
            await run_node(self._build(example), self._context(example, ports=ports, attempt=attempt))
            calls.append(seen)
        assert calls[0] == calls[1]

    async def test_an_abandoned_run_cleans_up(self, example: NodeExample) -> None:
        """Troubleshooting: closing the iterator early must not raise; release what you hold in `finally`."""
        run: AsyncIterator[Any] = self._build(example).run(self._context(example))
        try:
            await anext(run)
        except (DifyError, StopAsyncIteration):
            return
        close = getattr(run, "aclose", None)
        assert close is not None, "run must be an async generator"
        await close()


def _declared(read: Selector, declared: Sequence[Selector]) -> bool:
    if read[:1] in ((NODE_ID,), ("sys",)):
        return True
    return any(read[: len(selector)] == selector or selector[: len(read)] == read for selector in declared if read)


def _exact(data: Any) -> Any:
    """Data in which 1, 1.0 and True differ."""
    if isinstance(data, dict):
        return {key: _exact(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [_exact(item) for item in data]
    return type(data).__name__, data


def _listed(data: Any) -> Any:
    """Data as JSON gives it back: tuples are lists, enums are text."""
    return msgspec.to_builtins(data)
