"""A scripted OpenAI-compatible server on loopback, for end-to-end tests and benchmarks. Standard library only.

    with OpenAIServer() as server:      # a thread of its own
        ...  server.url                 # http://127.0.0.1:PORT/v1

    python -m dify_kernel.testing.openai_server PORT

What it answers is scripted by the words of `dify_kernel.testing.script` in the last message, and by the API key:
`bad-key` is refused (401), `limited` is told to slow down (429), `old-server` refuses `stream_options`, and for
`plain-server` there is no model list and embeddings come as numbers whatever was asked. Models whose name starts
with `missing` do not exist. `requests` keeps what arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from urllib.parse import parse_qsl

from dify_kernel.testing.loopback import Asked
from dify_kernel.testing.openai_answers import Answer, answer_to

__all__ = ["OpenAIServer", "serve"]

KEEP = 1000
MAX_BODY = 64 * 1024 * 1024


class _Door:
    """Speaks HTTP/1.1 with keep-alive on one listening socket; counts the streams that a client left."""

    def __init__(self, requests: deque[Asked]) -> None:
        self.requests = requests
        self.open_streams = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (asked := await _read_request(reader)) is not None:
                self.requests.append(asked)
                if not await self._answer(asked, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left, as clients do
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Send the answer; whether the connection may be used again."""
        answer = answer_to(asked.method, asked.path, asked.headers, asked.body)
        if answer.stream is None:
            writer.write(_head(answer, f"content-length: {len(answer.body)}") + answer.body)
            await writer.drain()
            return True
        writer.write(_head(answer, "transfer-encoding: chunked"))
        self.open_streams += 1
        sending = asyncio.create_task(_send_stream(answer.stream, writer))
        leaving = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return await sending and not leaving.done()
            return False  # a client that closes in mid-stream ends the generation
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
            self.open_streams -= 1


async def _send_stream(stream: AsyncIterator[bytes], writer: asyncio.StreamWriter) -> bool:
    """Send piece by piece; False when the script breaks the connection off."""
    sent = 0
    async for piece in stream:
        if not piece:
            return False
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        sent += 1
        if sent % 32 == 0:
            await writer.drain()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True


def _head(answer: Answer, length: str) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Scripted", f"content-type: {answer.content_type}", length]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read_request(reader: asyncio.StreamReader) -> Asked | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    length = min(int(headers.get("content-length", "0")), MAX_BODY)
    body = await reader.readexactly(length) if length else b""
    path, _, query = target.partition("?")
    return Asked(method=method, path=path, query=parse_qsl(query, keep_blank_values=True), headers=headers, body=body)


class OpenAIServer:
    """The server in a thread of its own with its own event loop; a context manager. `port` 0 takes a free one."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.requests: deque[Asked] = deque(maxlen=KEEP)
        self._door = _Door(self.requests)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="openai-server", daemon=True)

    @property
    def root(self) -> str:
        """The address without /v1."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address with /v1."""
        return f"{self.root}/v1"

    @property
    def open_streams(self) -> int:
        """How many answers are being streamed now."""
        return self._door.open_streams

    def start(self) -> OpenAIServer:
        """Listen; returns when requests are answered."""
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the scripted server did not start")
        return self

    def stop(self) -> None:
        """End the thread; stopping twice is harmless."""
        if self._loop is not None and self._stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def __enter__(self) -> OpenAIServer:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        connections: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                connections.add(task)
                task.add_done_callback(connections.discard)
            await self._door(reader, writer)

        server = await asyncio.start_server(accept, "127.0.0.1", self.port, limit=1024 * 1024, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def serve(port: int) -> None:
    """Serve on 127.0.0.1 until cancelled."""
    door = _Door(deque(maxlen=KEEP))
    server = await asyncio.start_server(door, "127.0.0.1", port, limit=1024 * 1024, backlog=1024)
    async with server:
        sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
