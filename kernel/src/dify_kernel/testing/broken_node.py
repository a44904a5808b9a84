"""Three reference nodes that fulfil the contract, and variants that each break one sentence of it.

`BROKEN` maps a name to (node class, example, tests of NodeSuite that must fail).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any

from dify_kernel.contracts.http import HttpRequest
from dify_kernel.contracts.node import (
    Delta,
    InlineNode,
    Node,
    NodeConfig,
    NodeContext,
    NodeKind,
    NodeResult,
    NodeStatus,
    Pause,
    TextDelta,
)
from dify_kernel.errors import BadInput, DifyError
from dify_kernel.graph.pool import Selector
from dify_kernel.testing.node import NodeExample

__all__ = ["ASK", "BROKEN", "CALL", "UPPER", "AskNode", "CallNode", "UpperConfig", "UpperNode"]


class UpperConfig(NodeConfig, kw_only=True):
    """Which text to shout."""

    variable: list[str]


class UpperNode(InlineNode):
    """Gives a text in capitals; takes `empty` when there is none."""

    type = "upper"
    kind = NodeKind.BRANCH
    Config = UpperConfig

    def selectors(self) -> list[Selector]:
        """The text."""
        return [tuple(self.config.variable)]

    def handles(self) -> list[str]:
        """`source`, and `empty`."""
        return ["source", "empty"]

    def problems(self) -> list[str]:
        """A selector too short."""
        return [] if len(self.config.variable) >= 2 else ["`variable` needs a node and a name."]

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The text in capitals."""
        value = ctx.get(self.config.variable)
        text = str(value.data) if value is not None else ""
        return NodeResult(outputs={"output": text.upper()}, handle="source" if text else "empty")


class CallNode(Node):
    """Posts a text with its key and streams the length of the answer."""

    type = "call"
    Config = UpperConfig

    def selectors(self) -> list[Selector]:
        """The text."""
        return [tuple(self.config.variable)]

    def problems(self) -> list[str]:
        """A selector too short."""
        return [] if len(self.config.variable) >= 2 else ["`variable` needs a node and a name."]

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """One request."""
        body = str(ctx.require(self.config.variable).data).encode()
        headers = [("idempotency-key", self.key(ctx))]
        request = HttpRequest(method="POST", url="http://api.test/", headers=headers, content=body)
        answer = await ctx.ports.http.send(request)
        yield TextDelta(str(answer.status))
        yield NodeResult(outputs={"text": str(answer.status)})

    def key(self, ctx: NodeContext) -> str:
        """The stable key of this execution."""
        return ctx.key


class AskNode(Node):
    """Shows a text to somebody and takes the edge that they choose."""

    type = "ask"
    kind = NodeKind.BRANCH
    Config = UpperConfig

    def selectors(self) -> list[Selector]:
        """The text."""
        return [tuple(self.config.variable)]

    def handles(self) -> list[str]:
        """What can be answered, and that nobody did."""
        return ["yes", "no", "__timeout"]

    def problems(self) -> list[str]:
        """A selector too short."""
        return [] if len(self.config.variable) >= 2 else ["`variable` needs a node and a name."]

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The question, or what became of it."""
        shown = str(ctx.require(self.config.variable).data)
        if ctx.answer is None:
            yield Pause(type="choice", data={"text": shown, "choices": ["yes", "no"]}, expires_in=60.0)
            return
        chosen = "__timeout" if ctx.answer.get("timeout") else str(ctx.answer.get("action"))
        yield NodeResult(outputs={"chosen": chosen, "shown": shown}, handle=chosen)


UPPER = NodeExample(
    config={"variable": ["start", "name"]},
    variables={"start": {"name": "ada", "more": [1, {"a": 2}]}},
    outputs={"output": "ADA"},
)
CALL = NodeExample(
    config={"variable": ["start", "name"]}, variables={"start": {"name": "ada"}}, outputs={"text": "200"}
)
ASK = NodeExample(
    config={"variable": ["start", "name"]},
    variables={"start": {"name": "ada"}},
    pause=Pause(type="choice", data={"text": "ada", "choices": ["yes", "no"]}, expires_in=60.0),
    answer={"action": "yes", "seen": [1]},
    outputs={"chosen": "yes", "shown": "ada"},
    handle="yes",
)


# -- each breaks one thing -----------------------------------------------------------------------------------


class _StrictConfig(UpperConfig, kw_only=True, forbid_unknown_fields=True):
    pass


class _Opaque:
    pass


class _OpaqueConfig(UpperConfig, kw_only=True):
    extra: _Opaque | None = None


class _ForbidsUnknownKeys(UpperNode):
    Config = _StrictConfig


class _HasNoSchema(UpperNode):
    Config = _OpaqueConfig


class _ReadsUndeclared(UpperNode):
    def selectors(self) -> list[Selector]:
        return []


class _UndeclaredHandle(UpperNode):
    def handles(self) -> list[str]:
        return ["empty"]


class _AcceptsAnything(UpperNode):
    def problems(self) -> list[str]:
        return []


class _SeesProblemsEverywhere(UpperNode):
    def problems(self) -> list[str]:
        return ["no"]


class _WrongOutput(UpperNode):
    def evaluate(self, ctx: NodeContext) -> NodeResult:
        result = super().evaluate(ctx)
        result.outputs["output"] = result.outputs["output"].title()
        return result


class _MutatesValues(UpperNode):
    def evaluate(self, ctx: NodeContext) -> NodeResult:
        for values in ctx.pool._nodes.values():
            for value in values.values():
                if isinstance(value.data, list):
                    value.data.append(1)
        return super().evaluate(ctx)


class _WritesThePool(UpperNode):
    def evaluate(self, ctx: NodeContext) -> NodeResult:
        ctx.pool.set(self.id, "output", "x")
        return super().evaluate(ctx)


class _MutatesConfig(UpperNode):
    def evaluate(self, ctx: NodeContext) -> NodeResult:
        result = super().evaluate(ctx)
        self.config.variable = [*self.config.variable, "seen"]
        return result


class _RemembersRuns(UpperNode):
    def __init__(self, node_id: str, config: Any) -> None:
        super().__init__(node_id, config)
        self.count = 0

    def evaluate(self, ctx: NodeContext) -> NodeResult:
        self.count += 1
        result = super().evaluate(ctx)
        result.metadata = {"count": self.count}
        return result


class _PureWithPorts(UpperNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        await ctx.ports.http.send(HttpRequest(method="GET", url="http://api.test/"))
        yield self.evaluate(ctx)


class _NotJson(UpperNode):
    def evaluate(self, ctx: NodeContext) -> NodeResult:
        result = super().evaluate(ctx)
        result.process_data = {"pool": _Opaque()}
        return result


class _CrashesWithoutVariables(UpperNode):
    def evaluate(self, ctx: NodeContext) -> NodeResult:
        value = ctx.get(self.config.variable)
        return NodeResult(outputs={"output": value.data.upper()})  # type: ignore[union-attr]


class _UndeclaredUpdate(UpperNode):
    def evaluate(self, ctx: NodeContext) -> NodeResult:
        result = super().evaluate(ctx)
        result.updates = [(("conversation", "x"), 1)]
        return result


class _PiecesWithoutSelectors(UpperNode):
    kind = NodeKind.RESPONSE

    def pieces(self) -> list[str | Selector]:
        return [("llm", "text")]


class _TwoResults(CallNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        async for delta in super().run(ctx):
            yield delta
            if isinstance(delta, NodeResult):
                yield delta


class _NoResult(CallNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        async for delta in super().run(ctx):
            if not isinstance(delta, NodeResult):
                yield delta


class _ForgetsText(CallNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        yield TextDelta("more ")
        async for delta in super().run(ctx):
            yield delta


class _SwallowsCancellation(CallNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        try:
            async for delta in super().run(ctx):
                yield delta
        except asyncio.CancelledError:
            yield NodeResult(outputs={"text": "cancelled"})


class _TakesThePlatformForTheService(CallNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        try:
            async for delta in super().run(ctx):
                yield delta
        except DifyError as exc:
            yield NodeResult(status=NodeStatus.FAILED, error=str(exc))


class _NewKeyEachTime(CallNode):
    def key(self, ctx: NodeContext) -> str:
        return f"{ctx.key}:{random.random()}"


class _KeyOfTheAttempt(CallNode):
    def key(self, ctx: NodeContext) -> str:
        return f"{ctx.key}:{ctx.attempt}"


class _HoldsOn(CallNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        try:
            async for delta in super().run(ctx):
                yield delta
        finally:
            yield NodeResult(outputs={"text": "200"})


class _Raises(CallNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        raise BadInput("never works")
        yield NodeResult()


class _NoDocstring(UpperNode):
    __doc__ = ""


class _AnswersForThem(AskNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        ctx.answer = ctx.answer or {"action": "yes"}
        async for delta in super().run(ctx):
            yield delta


class _AsksAgain(AskNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        ctx.answer = None
        async for delta in super().run(ctx):
            yield delta


class _GoesOnWaiting(AskNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        async for delta in super().run(ctx):
            yield delta
            if isinstance(delta, Pause):
                yield NodeResult()


class _PausesWithObjects(AskNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        async for delta in super().run(ctx):
            yield Pause(type="choice", data={"choices": ("yes", "no")}) if isinstance(delta, Pause) else delta


class _RemembersTheQuestion(AskNode):
    def __init__(self, node_id: str, config: Any) -> None:
        super().__init__(node_id, config)
        self.asked = ""

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        if ctx.answer is None:
            self.asked = "what was asked"
        async for delta in super().run(ctx):
            if isinstance(delta, NodeResult):
                delta.outputs["asked"] = self.asked
            yield delta


class _ChangesTheAnswer(AskNode):
    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        for value in (ctx.answer or {}).values():
            if isinstance(value, list):
                value.clear()
        async for delta in super().run(ctx):
            yield delta


BROKEN: Mapping[str, tuple[type[Node], NodeExample, tuple[str, ...]]] = {
    "forbids unknown keys": (_ForbidsUnknownKeys, UPPER, ("test_config_decodes_beside_foreign_keys",)),
    "has no schema": (_HasNoSchema, UPPER, ("test_config_gives_a_json_schema",)),
    "reads undeclared": (_ReadsUndeclared, UPPER, ("test_every_read_is_declared",)),
    "undeclared handle": (_UndeclaredHandle, UPPER, ("test_the_handle_is_declared",)),
    "accepts anything": (_AcceptsAnything, UPPER, ("test_bad_configs_are_refused",)),
    "sees problems everywhere": (_SeesProblemsEverywhere, UPPER, ("test_good_configs_have_no_problems",)),
    "wrong output": (_WrongOutput, UPPER, ("test_the_outcome_is_the_examples",)),
    "mutates values": (_MutatesValues, UPPER, ("test_the_pool_is_not_changed",)),
    "writes the pool": (_WritesThePool, UPPER, ("test_the_pool_is_not_changed",)),
    "mutates config": (_MutatesConfig, UPPER, ("test_the_config_is_not_changed",)),
    "remembers runs": (_RemembersRuns, UPPER, ("test_a_second_run_of_the_same_node_is_the_same",)),
    "pure with ports": (_PureWithPorts, UPPER, ("test_one_result_comes_last",)),
    "not json": (_NotJson, UPPER, ("test_the_result_encodes_as_json",)),
    "crashes without variables": (_CrashesWithoutVariables, UPPER, ("test_missing_variables_end_in_an_answer",)),
    "undeclared update": (_UndeclaredUpdate, UPPER, ("test_updates_are_declared",)),
    "pieces without selectors": (_PiecesWithoutSelectors, UPPER, ("test_pieces_are_among_the_selectors",)),
    "two results": (_TwoResults, CALL, ("test_one_result_comes_last",)),
    "no result": (_NoResult, CALL, ("test_one_result_comes_last", "test_the_outcome_is_the_examples")),
    "forgets text": (_ForgetsText, CALL, ("test_text_deltas_add_up_to_the_output",)),
    "swallows cancellation": (_SwallowsCancellation, CALL, ("test_cancelling_works",)),
    "takes the platform for the service": (
        _TakesThePlatformForTheService,
        CALL,
        ("test_the_platform_away_is_not_its_failure",),
    ),
    "new key each time": (_NewKeyEachTime, CALL, ("test_a_second_attempt_sends_the_same",)),
    "key of the attempt": (_KeyOfTheAttempt, CALL, ("test_a_second_attempt_sends_the_same",)),
    "holds on": (_HoldsOn, CALL, ("test_an_abandoned_run_cleans_up",)),
    "raises": (_Raises, CALL, ("test_the_outcome_is_the_examples",)),
    "answers for them": (_AnswersForThem, ASK, ("test_the_pause_is_the_examples",)),
    "asks again": (_AsksAgain, ASK, ("test_the_outcome_is_the_examples",)),
    "goes on waiting": (_GoesOnWaiting, ASK, ("test_one_result_comes_last",)),
    "pauses with objects": (_PausesWithObjects, ASK, ("test_a_pause_is_plain_data",)),
    "remembers the question": (_RemembersTheQuestion, ASK, ("test_the_answer_may_meet_another_process",)),
    "changes the answer": (_ChangesTheAnswer, ASK, ("test_the_answer_is_not_changed",)),
    "no docstring": (_NoDocstring, UPPER, ("test_the_class_says_what_it_is",)),
}
