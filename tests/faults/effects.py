"""An HTTP endpoint with side effects that outlives every kill: it notes each request by its key, and when it came."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter

import msgspec

from tests.faults.texts import lines_of

__all__ = ["Arrival", "EffectServer"]

_SECONDS = 0.15
_BROKEN, _SHAKY, _PAPER, _PAGE = "/broken", "/shaky", "/paper", "/page/"
_REASONS = {200: "OK", 404: "Gone", 500: "Broken", 503: "Later"}
_FILE = 'content-disposition: attachment; filename="paper.txt"\r\n'


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """One request: the key that its node sent, and Unix time."""

    key: str
    path: str
    at: float


class EffectServer:
    """Answers after a moment, in which its caller may die; `/shaky` refuses the first request of each key.

    `/broken` always fails, `/paper` is a file, below `/page` are pages of that name, but for those that are gone.
    `arrivals` keeps all that have a key.
    """

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.url = ""
        self._seen: Counter[str] = Counter()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="effects", daemon=True)

    def __enter__(self) -> EffectServer:
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                path, key = await _request(reader)
                at = time.time()
                if key:
                    self.arrivals.append(Arrival(key=key, path=path, at=at))
                self._seen[f"{path} {key}"] += 1
                await asyncio.sleep(_SECONDS)
                writer.write(self._answer(path, key))
                await writer.drain()
        writer.close()

    def _answer(self, path: str, key: str) -> bytes:
        refused = path == _SHAKY and self._seen[f"{path} {key}"] == 1
        gone = path.startswith(_PAGE) and path.endswith("gone")
        status = 500 if path == _BROKEN else 503 if refused else 404 if gone else 200
        body = _body(path)
        extra = _FILE if path == _PAPER else ""
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: text/plain\r\n{extra}content-length: {len(body)}"
        return head.encode() + b"\r\n\r\n" + body


def _body(path: str) -> bytes:
    if path.startswith(_PAGE):
        return "\n".join(lines_of(path.removeprefix(_PAGE))).encode()
    return b"the paper says so" if path == _PAPER else b"done"


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """The path and the key of the next request, its body read."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return first.split(" ")[1], headers.get("idempotency-key", "")
