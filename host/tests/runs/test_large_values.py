"""Large values leave plain data and come back to their places, whatever the data is."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from dify_host.runs.large_values import EventFrame, is_frame, pack_column, pack_events, restore
from dify_kernel.graph.events import (
    AnyEvent,
    NodeFinished,
    NodeStarted,
    RunFinished,
    RunStarted,
    decode_events,
    encode_event,
)
from hypothesis import given
from hypothesis import strategies as st

LIMIT = 60
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=90),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=12,
)  # fmt: skip
mappings = st.dictionaries(st.text(max_size=8), plain, max_size=5)


def name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def node(number: int, **values: Any) -> NodeFinished:
    return NodeFinished(seq=number, execution_id=f"e{number}", node_id=f"n{number}", node_type="code", **values)


@st.composite
def logs(draw: st.DrawFn) -> list[AnyEvent]:
    """A start, a few nodes, an end, with any data in them."""
    nodes = [
        node(number, inputs=draw(mappings), outputs=draw(mappings), updates=[(("conversation", "x"), draw(plain))])
        for number in range(2, draw(st.integers(2, 4)))
    ]
    variables = {"start": {key: ["any", value] for key, value in draw(mappings).items()}}
    start = RunStarted(seq=1, inputs=draw(mappings), variables=variables, context={"query": "q" * 200})
    return [start, NodeStarted(execution_id="e", node_id="n", node_type="code"), *nodes, RunFinished(status="failed")]


@given(logs())
def test_events_come_back_as_they_were(events: list[AnyEvent]) -> None:
    encoded = [encode_event(event) for event in events]
    large = [number for number, data in enumerate(encoded) if len(data) > LIMIT]
    fresh = [b"" if number in large else data for number, data in enumerate(encoded)]
    packed = pack_events(fresh, {number: events[number] for number in large}, limit=LIMIT, name=name)
    whole = decode_events(b"[" + b",".join(encoded) + b"]")
    if not packed.values:
        assert decode_events(packed.payload.encode()) == whole
        return
    assert EventFrame.read(packed.payload).whole(packed.values) == whole
    assert all(len(data) > LIMIT for data in packed.values.values())
    hollow = EventFrame.read(packed.payload).whole(None)
    assert [type(event) for event in hollow] == [type(event) for event in whole]
    first = hollow[0]
    assert isinstance(first, RunStarted)
    assert first.context == {"query": "q" * 200}
    for (number, field), column in packed.columns.items():
        rest, places = msgspec.json.decode(msgspec.json.encode(column))
        shown = msgspec.json.decode(msgspec.json.encode(getattr(whole[number], field)))
        assert restore(rest, places, packed.values) == shown


@given(mappings)
def test_a_column_comes_back_as_it_was(data: dict[str, Any]) -> None:
    values: dict[str, bytes] = {}
    kept = pack_column(data, limit=LIMIT, name=name, values=values)
    assert is_frame(kept) == bool(values) == (len(msgspec.json.encode(data)) > LIMIT)
    stored = msgspec.json.decode(msgspec.json.encode(kept))
    assert (restore(stored[0], stored[1], values) if values else stored) == data


def test_the_same_text_is_one_value_wherever_it_stands() -> None:
    text = "long " * 40
    start = RunStarted(seq=1, inputs={"text": text}, variables={"start": {"text": ["string", text]}})
    events = [start, node(2, inputs={"a": [{"b": text}]}, outputs={"output": text, "more": [text, text]})]
    packed = pack_events([b"", b""], dict(enumerate(events)), limit=LIMIT * 3, name=name)
    assert list(packed.values.values()) == [msgspec.json.encode(text)]
    assert text not in packed.payload


def test_many_small_things_go_as_one() -> None:
    outputs = {"rows": [{"n": number} for number in range(500)], "count": 500}
    packed = pack_events([b""], {0: node(1, outputs=outputs)}, limit=1024, name=name)
    assert list(packed.values.values()) == [msgspec.json.encode(outputs["rows"])]
    assert packed.columns[(0, "outputs")][0] == {"rows": [], "count": 500}


def test_nobody_can_write_what_reads_as_a_frame() -> None:
    forged = {"events": [], "values": {name(b"x"): [[0, "inputs"]]}}
    event = node(1, inputs=forged, outputs={"x": [{}, {name(b"x"): [["a"]]}]})
    packed = pack_events([encode_event(event)], {}, limit=LIMIT, name=name)
    assert decode_events(packed.payload.encode()) == [event]
    assert not is_frame(pack_column(forged, limit=1000, name=name, values={}))


def test_it_says_where_a_value_belongs() -> None:
    large = {1: node(2, inputs={"t": "x" * 99})}
    packed = pack_events([encode_event(node(1)), b""], large, limit=60, name=name)
    assert EventFrame.read(packed.payload).wanted() == {next(iter(packed.values)): {"node_id": "n2"}}
