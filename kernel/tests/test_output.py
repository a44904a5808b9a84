"""Streaming order: what is streamed equals what is stored, in one stated order, decided in linear time."""

from __future__ import annotations

import asyncio

from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.engine import Engine
from dify_kernel.graph.events import NodeFinished, StreamChunk
from dify_kernel.graph.output import Output, OutputMap
from dify_kernel.graph.plan import compile_plan
from dify_kernel.graph.pool import Pool
from dify_kernel.testing.fakes import fake_ports
from dify_kernel.testing.graph import GATES, edges, node, resolve, run_graph
from hypothesis import given, settings
from hypothesis import strategies as st

START = node("s", "begin")


async def test_text_waits_for_the_variable_before_it() -> None:
    run = await run_graph(
        [
            START,
            node("m", "stream", pieces=["a", "b"]),
            node("n", "stream", pieces=["c"]),
            node("a", "answer", answer="<{{#m.text#}}|{{#n.text#}}>"),
        ],
        edges("s > m > a", "s > n > a"),
    )
    chunks = [event.text for event in run.events if isinstance(event, StreamChunk)]
    assert chunks == ["<", "a", "b", "|", "c", ">"]


async def test_chunks_come_before_the_end_of_their_node() -> None:
    run = await run_graph(
        [START, node("m", "stream", pieces=["a", "b"]), node("a", "answer", answer="{{#m.text#}}")], edges("s > m > a")
    )
    last = max(i for i, e in enumerate(run.events) if isinstance(e, StreamChunk))
    end = next(i for i, e in enumerate(run.events) if isinstance(e, NodeFinished) and e.node_id == "m")
    assert last < end


async def test_nothing_streams_for_a_branch_that_is_not_taken_yet() -> None:
    GATES["decide"] = asyncio.Event()
    plan = compile_plan(
        {
            "nodes": [
                START,
                node("w", "stream", gate="decide"),
                node("c", "choose", handle="false"),
                node("yes", "answer", answer="YES"),
                node("no", "answer", answer="NO"),
            ],
            "edges": edges("s > w > c:true > yes", "c:false > no"),
        },
        resolve,
    )
    chunks: list[str] = []
    engine = Engine(
        plan,
        Pool(),
        run=RunInfo(run_id="r"),
        ports=fake_ports(),
        sink=lambda e: chunks.append(e.text) if isinstance(e, StreamChunk) else None,
    )
    task = asyncio.create_task(engine.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert chunks == []
    GATES["decide"].set()
    await task
    assert chunks == ["NO"]


async def test_an_answer_that_shows_a_written_variable_waits_for_the_writer() -> None:
    pool = Pool()
    pool.set("conversation", "n", "old")
    run = await run_graph(
        [
            START,
            node("m", "stream", pieces=["."]),
            node("w", "write", target=["conversation", "n"], value="new"),
            node("a", "answer", answer="{{#conversation.n#}}"),
        ],
        edges("s > m > w > a"),
        pool=pool,
    )
    assert run.streamed == run.finished.outputs["answer"] == "new"


async def test_several_answers_stream_in_document_order_and_are_stored_so() -> None:
    run = await run_graph(
        [
            START,
            node("slow", "stream", pieces=["1", "2", "3"]),
            node("fast", "text", text="F"),
            node("a1", "answer", answer="({{#slow.text#}})"),
            node("a2", "answer", answer="[{{#fast.output#}}]"),
        ],
        edges("s > slow > a1", "s > fast > a2"),
    )
    assert run.streamed == run.finished.outputs["answer"] == "(123)[F]"


async def test_a_missing_variable_streams_as_it_is_stored() -> None:
    run = await run_graph(
        [
            START,
            node("c", "choose", handle="true"),
            node("x", "text", text="X"),
            node("y", "text", text="Y"),
            node("a", "answer", answer="{{#x.output#}}-{{#y.output#}}-{{#gone.z#}}-end"),
        ],
        edges("s > c:true > x > a", "c:false > y > a"),
    )
    assert run.streamed == run.finished.outputs["answer"] == "X-y.output-gone.z-end"


def test_deciding_is_linear_in_the_graph() -> None:
    """Every edge is looked at once: 400 diamonds in a row (2**400 paths) touch each edge a bounded number of times."""
    nodes, paths = [START], []
    previous = "s"
    for i in range(400):
        nodes += [node(f"l{i}", "text"), node(f"r{i}", "text"), node(f"j{i}", "text")]
        paths += [f"{previous} > l{i} > j{i}", f"{previous} > r{i} > j{i}"]
        previous = f"j{i}"
    nodes.append(node("a", "answer", answer="x"))
    plan = compile_plan({"nodes": nodes, "edges": edges(*paths, f"{previous} > a")}, resolve)
    out = Output(OutputMap(plan), Pool(), lambda selector, text: None)
    out.pump()
    assert out.order == list(plan.responses)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """A random acyclic graph of text, stream, choose and answer nodes, every node reachable or not."""
    count = draw(st.integers(2, 9))
    nodes = [START]
    links = []
    for i in range(count):
        kind = draw(st.sampled_from(["text", "stream", "choose", "answer"]))
        back = [item["id"] for item in nodes]
        seen = draw(st.sampled_from(back))
        data: dict[str, object] = {
            "text": {"text": f"t{i}"},
            "stream": {"pieces": [f"<{i}", ">"]},
            "choose": {"handle": draw(st.sampled_from(["true", "false"]))},
            "answer": {"answer": f"A{i}:{{{{#{seen}.text#}}}}/{{{{#{seen}.output#}}}};"},
        }[kind]
        nodes.append(node(f"n{i}", kind, **data))
        for source in draw(st.lists(st.sampled_from(back), min_size=1, max_size=3, unique=True)):
            handle = draw(st.sampled_from(["true", "false"]))
            links.append({"source": source, "target": f"n{i}", "sourceHandle": handle})
    return nodes, links


@given(graphs())
@settings(max_examples=120, deadline=None)
def test_streamed_equals_stored_for_any_graph(graph: tuple[list[dict[str, object]], list[dict[str, object]]]) -> None:
    run = asyncio.run(run_graph(*graph))
    assert run.finished.status == "succeeded"
    assert run.streamed == run.finished.outputs.get("answer", "")
