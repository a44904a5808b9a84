"""Streams of an answer: lines however the bytes were cut, and the cost of a line."""

from __future__ import annotations

import asyncio
import io
import re
import time
from typing import Any

import pytest
from dify_host.net.body import LineSplitter, charset_of
from dify_host.net.client import GuardedClient
from dify_kernel.contracts.http import HttpRequest, HttpTimeout, HttpTooLarge, Timeout
from hypothesis import given
from hypothesis import strategies as st

ENDS = st.sampled_from(["\n", "\r\n", "\r"])
TEXT = st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from("\r\n\u2028\x85\x0bé€😀")))


def cut(data: bytes, marks: list[int]) -> list[bytes]:
    places = sorted({mark % (len(data) + 1) for mark in marks})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def split(pieces: list[bytes], charset: str = "utf-8") -> list[str]:
    splitter = LineSplitter(charset)
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.finish()


@given(TEXT, st.lists(st.integers(0, 1000)))
def test_lines_do_not_depend_on_where_the_bytes_were_cut(text: str, marks: list[int]) -> None:
    text = text.removeprefix("\ufeff")
    wanted = re.split("\r\n|\n|\r", text)
    if wanted[-1] == "":
        wanted.pop()
    assert split(cut(text.encode(), marks)) == wanted


@given(st.lists(st.tuples(st.text().map(lambda t: re.sub("[\r\n\ufeff]", "", t)), ENDS)), st.lists(st.integers(0, 500)))
def test_every_line_comes_with_the_piece_that_ends_it(lines: list[tuple[str, str]], marks: list[int]) -> None:
    """No line waits for the next piece: a model's last token is seen when it is sent."""
    splitter = LineSplitter()
    for text, end in lines:
        # A CR and an LF of two different lines in a row are one line end to any reader.
        if splitter._after_cr and not text and end == "\n":
            continue
        assert splitter.feed((text + end).encode()) == [text]
    assert splitter.finish() == []


def test_byte_order_mark_and_bad_bytes() -> None:
    assert split([b"\xef\xbb", b"\xbfdata: 1\n", b"\xef\xbb\xbfx\n"]) == ["data: 1", "\ufeffx"]
    assert split([b"a\xff\nb"]) == ["a\ufffd", "b"]
    assert split(["grün\n".encode("latin-1")], "latin-1") == ["grün"]


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("", "utf-8"),
        ("text/event-stream", "utf-8"),
        ('text/plain; charset="ISO-8859-1"', "iso8859-1"),
        ("text/plain; x=y; Charset=GBK", "gbk"),
        ("text/plain; charset=utf-16", "utf-8"),
        ("text/plain; charset=rot13", "utf-8"),
        ("text/plain; charset=none-such", "utf-8"),
    ],
)
def test_charset(content_type: str, charset: str) -> None:
    assert charset_of(content_type) == charset


async def test_lines_arrive_while_the_answer_goes_on(client: GuardedClient, serve: Any) -> None:
    """The server sends the next piece only after the client has seen the line before."""
    seen = asyncio.Semaphore(0)
    pieces = [b"data: \xe2", b"\x82\xac\r", b"\ndata: 2\r\n\r\n", b"data: 3\rdata: 4\n", b"rest"]
    ends = [0, 1, 2, 2, 0]  # lines that each piece ends

    async def handler(exchange: Any) -> None:
        await exchange.begin(content_type="text/event-stream")
        for piece, count in zip(pieces, ends, strict=True):
            await exchange.chunk(piece)
            for _ in range(count):
                await seen.acquire()
        await exchange.chunk(b"")

    server = await serve(handler)
    got = []
    async with client, client.stream(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/")) as answer:
        assert answer.status == 200
        assert ("content-type", "text/event-stream") in answer.headers
        async for line in answer.lines():
            got.append(line)
            seen.release()
    assert got == ["data: €", "data: 2", "", "data: 3", "data: 4", "rest"]
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_chunks_then_the_rest(client: GuardedClient, serve: Any) -> None:
    first = asyncio.Event()

    async def handler(exchange: Any) -> None:
        await exchange.begin()
        await exchange.chunk(b"one")
        await first.wait()
        await exchange.chunk(b"two")
        await exchange.chunk(b"three")
        await exchange.chunk(b"")

    server = await serve(handler)
    async with client, client.stream(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/")) as answer:
        async for piece in answer.chunks():
            assert piece == b"one"
            break
        first.set()
        assert await answer.read() == b"twothree"
        assert await answer.read() == b""


async def test_limits_of_a_stream(client: GuardedClient, serve: Any) -> None:
    async def endless(exchange: Any) -> None:
        await exchange.begin()
        while True:
            await exchange.chunk(b"x" * 100)
            await asyncio.sleep(0.001)

    server = await serve(endless)
    url = f"http://allowed.test:{server.port}/"

    async def read_all(**limits: Any) -> None:
        async with client.stream(HttpRequest(method="GET", url=url, **limits)) as answer:
            async for _ in answer.lines():
                pass

    async with client:
        with pytest.raises(HttpTooLarge):
            await read_all(max_bytes=250)
        with pytest.raises(HttpTimeout):
            await read_all(timeout=Timeout(total=0.1))


async def test_an_error_of_the_reader_is_its_own(client: GuardedClient, serve: Any) -> None:
    server = await serve(lambda exchange: exchange.reply(b"x"))
    async with client:
        with pytest.raises(TimeoutError, match="mine"):
            async with client.stream(HttpRequest(method="GET", url=f"http://allowed.test:{server.port}/")):
                raise TimeoutError("mine")


@pytest.mark.bench
def test_splitting_is_cheap() -> None:
    event = b'data: {"id":"chatcmpl-1","choices":[{"index":0,"delta":{"content":"token"}}]}\n\n'
    splitter, stream = LineSplitter(), io.BytesIO(event * 20_000)
    started, lines = time.process_time(), 0
    while piece := stream.read(len(event)):
        lines += len(splitter.feed(piece))
    microseconds = (time.process_time() - started) / lines * 1e6
    print(f"{microseconds:.2f} us CPU a line")
    assert lines == 40_000
    assert microseconds < 20
