"""Parsing of streams: however a stream is cut into pieces, the same comes out."""

import json
import time

import msgspec
import pytest
from dify_kernel.contracts.model import LLMRequest, Pricing, PromptMessage
from dify_providers_openai.chat import DeltaReader
from dify_providers_openai.wire import Chunk, EventSplitter, ThoughtSplitter
from hypothesis import given
from hypothesis import strategies as st

REQUEST = LLMRequest(model="m", messages=[PromptMessage(role="user", content="hello there")])


@st.composite
def cut(draw, value):
    """A value cut into pieces anywhere."""
    size = len(value)
    marks = sorted(draw(st.lists(st.integers(0, size), max_size=12)))
    return [value[start:end] for start, end in zip([0, *marks], [*marks, size], strict=True)]


DATA = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=30)


@given(st.data(), st.lists(DATA, max_size=8), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_events_come_out_however_the_stream_is_cut(data, texts, end, space):
    noise = [f": ping{end}", f"event: message{end}", end, ""]
    stream = "".join(
        data.draw(st.sampled_from(noise)) + f"data:{' ' if space else ''}{text}{end}{end}" for text in texts
    )
    splitter = EventSplitter()
    found = [event for piece in data.draw(cut(stream.encode())) for event in splitter.feed(piece)]
    found += splitter.close()
    wanted = [text if space else text.removeprefix(" ") for text in texts]
    assert [event.decode() for event in found] == wanted


def test_an_event_of_several_lines_is_joined_and_the_last_may_lack_its_blank_line():
    splitter = EventSplitter()
    assert splitter.feed(b'data: {"a":\ndata: 1}\n\ndata: [DO') == [b'{"a":\n1}']
    assert splitter.feed(b"NE]") == []
    assert splitter.close() == [b"[DONE]"]


@given(st.data(), st.text(max_size=20), st.text(max_size=20).map(str.lstrip), st.sampled_from(["", " ", "\n\n"]))
def test_thoughts_are_told_from_the_answer_however_the_text_is_cut(data, thought, answer, blank):
    text = f"{blank}<think>{thought.replace('</think>', '')}</think>{blank}{answer}"
    splitter = ThoughtSplitter()
    parts = [splitter.feed(piece) for piece in data.draw(cut(text))] + [splitter.close()]
    assert "".join(part[0] for part in parts) == thought.replace("</think>", "")
    assert "".join(part[1] for part in parts) == answer


@given(st.data(), st.one_of(st.text(max_size=30), st.sampled_from(["<", "<thi", "<thinking>x", "a <think>b</think>"])))
def test_an_answer_without_a_leading_thought_is_left_alone(data, text):
    splitter = ThoughtSplitter()
    parts = [splitter.feed(piece) for piece in data.draw(cut(text))] + [splitter.close()]
    assert "".join(part[0] for part in parts) == ""
    assert "".join(part[1] for part in parts) == text


def test_a_thought_that_never_ends_is_reasoning():
    splitter = ThoughtSplitter()
    assert splitter.feed("<think>on and on</thi") == ("on and on", "")
    assert splitter.close() == ("</thi", "")


def read(*chunks, pricing=None):
    reader = DeltaReader(REQUEST, pricing)
    deltas = [reader.read(msgspec.json.decode(json.dumps(chunk), type=Chunk)) for chunk in chunks]
    return [delta for delta in deltas if delta is not None], reader.last()


def piece(finish=None, **delta):
    return {"id": "x", "object": "chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def test_reasoning_goes_by_either_name():
    deltas, last = read(piece(reasoning_content="why"), piece(reasoning="so"), piece(content="yes"), piece("stop"))
    assert [(delta.reasoning, delta.text) for delta in deltas] == [("why", ""), ("so", ""), ("", "yes")]
    assert last.finish_reason == "stop"


def test_tool_calls_without_an_index_or_with_a_repeated_id_are_put_right():
    def call(**fields):
        return piece(tool_calls=[fields])

    deltas, last = read(
        call(id="a", function={"name": "f", "arguments": ""}),
        call(function={"arguments": '{"x":'}),
        call(function={"arguments": "1}"}),
        call(id="b", function={"name": "g", "arguments": "{}"}),
        piece("stop"),
    )
    calls = [(c.index, c.id, c.name, c.arguments) for delta in deltas for c in delta.tool_calls]
    assert calls == [(0, "a", "f", ""), (0, "", "", '{"x":'), (0, "", "", "1}"), (1, "b", "g", "{}")]
    assert last.finish_reason == "tool_calls"
    deltas, _ = read(
        call(index=0, id="a", function={"name": "f", "arguments": "{"}),
        call(index=0, id="a", function={"name": "f", "arguments": "}"}),
    )
    assert [(c.id, c.name) for delta in deltas for c in delta.tool_calls] == [("a", "f"), ("", "")]


def test_a_server_that_does_not_count_is_estimated():
    _, last = read(piece(content="x" * 40), piece("length"))
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.finish_reason) == (2, 10, "length")


def test_usage_is_priced():
    usage = {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "details": {"cached": 1}}}
    _, last = read(piece(content="hi"), piece("stop"), usage, pricing=Pricing(input="2.5", output="10"))
    assert last.usage.total_tokens == 1500
    assert last.usage.prompt_price == "0.0025000"
    assert last.usage.completion_price == "0.0050000"
    assert last.usage.total_price == "0.0075000"
    assert last.usage.time_to_first_token is not None


@pytest.mark.parametrize(
    ("said", "reason"),
    [("stop", "stop"), ("eos", "stop"), ("max_tokens", "length"), ("content_filter", "content_filter")],
)
def test_finish_reasons_are_those_of_the_contract(said, reason):
    assert read(piece(content="x"), piece(said))[1].finish_reason == reason


@pytest.mark.bench
def test_a_token_costs_little():
    """Parsing alone: splitting, decoding, and making the delta, in pieces of one event as a server sends them."""
    count = 20_000
    envelope = {"id": "chatcmpl-123", "object": "chat.completion.chunk", "created": 1, "model": "gpt", "service": "x"}
    frames = [
        b"data: " + json.dumps({**envelope, **piece(content=f"word{index} ")}).encode() + b"\n\n"
        for index in range(count)
    ]
    splitter, reader = EventSplitter(), DeltaReader(REQUEST, None)
    decode = msgspec.json.Decoder(Chunk).decode
    started = time.process_time()
    deltas = [reader.read(decode(event)) for frame in frames for event in splitter.feed(frame)]
    cost = (time.process_time() - started) / count * 1e6
    print(f"{cost:.1f} us a token")
    assert len(deltas) == count
    assert cost < 60
