"""The model process: `python -m dify_providers_local.server FD THREADS CONTEXT`. It ends when its socket closes.

The main thread reads what is asked; one thread generates, one embeds and one ranks, each with its own queue.
"""

from __future__ import annotations

import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from dify_providers_local.engines import ChatEngine, EmbeddingEngine, RankEngine, Refused
from dify_providers_local.messages import (
    LENGTH_BYTES,
    Ask,
    Cancel,
    Chat,
    Done,
    Embed,
    Failed,
    Load,
    Piece,
    Rank,
    Scores,
    Told,
    Vectors,
    decode_ask,
    frame,
)

__all__ = ["ModelServer", "main"]


class ModelServer:
    """Serves one socket with lazily loaded models."""

    def __init__(self, connection: socket.socket, *, threads: int, context: int) -> None:
        self._connection = connection
        self._threads = threads
        self._context = context
        self._sending = threading.Lock()
        self._cancelled: set[int] = set()
        self._chats: queue.Queue[Chat | Load] = queue.Queue()
        self._embeds: queue.Queue[Embed | Load] = queue.Queue()
        self._ranks: queue.Queue[Rank] = queue.Queue()
        self._chat: ChatEngine | None = None
        self._embedding: EmbeddingEngine | None = None
        self._ranking: RankEngine | None = None

    def serve(self) -> None:
        """Take what is asked until the socket closes."""
        threading.Thread(target=self._work, args=(self._chats, self._generate), daemon=True).start()
        threading.Thread(target=self._work, args=(self._embeds, self._embed), daemon=True).start()
        threading.Thread(target=self._work, args=(self._ranks, self._rank), daemon=True).start()
        while (ask := self._receive()) is not None:
            if isinstance(ask, Cancel):
                self._cancelled.add(ask.id)
            elif isinstance(ask, Embed) or (isinstance(ask, Load) and not ask.path):
                self._embeds.put(ask)
            elif isinstance(ask, Rank):
                self._ranks.put(ask)
            else:
                self._chats.put(ask)

    def _receive(self) -> Ask | None:
        head = self._exactly(LENGTH_BYTES)
        body = self._exactly(int.from_bytes(head, "big")) if head else None
        return decode_ask(body) if body is not None else None

    def _exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            piece = self._connection.recv(size - len(data))
            if not piece:
                return None
            data += piece
        return bytes(data)

    def _tell(self, message: Told) -> None:
        data = frame(message)
        with self._sending:
            self._connection.sendall(data)

    def _work(self, asked: queue.Queue[Any], answer: Callable[[Any], Told]) -> None:
        while True:
            ask = asked.get()
            try:
                told = Done(id=ask.id) if ask.id in self._cancelled else answer(ask)
            except Refused as exc:
                told = Failed(id=ask.id, message=str(exc), refused=True)
            except Exception as exc:
                told = Failed(id=ask.id, message=f"{type(exc).__name__}: {exc}")
            self._cancelled.discard(ask.id)
            self._tell(told)

    def _generate(self, ask: Chat | Load) -> Told:
        if self._chat is None or self._chat.path != ask.path:
            self._chat = None  # two models at once could be more than the memory
            self._chat = ChatEngine(ask.path, threads=self._threads, context=self._context)
        if isinstance(ask, Load):
            return Done(id=ask.id)

        def tell(text: str, reasoning: str) -> bool:
            if text or reasoning:
                self._tell(Piece(id=ask.id, text=text, reasoning=reasoning))
            return ask.id in self._cancelled

        finish, prompt, completion = self._chat.answer(ask.body, tell)
        return Done(id=ask.id, finish_reason=finish, prompt_tokens=prompt, completion_tokens=completion)

    def _embed(self, ask: Embed | Load) -> Told:
        if self._embedding is None:
            self._embedding = EmbeddingEngine(threads=self._threads)
        if isinstance(ask, Load):
            return Done(id=ask.id)
        data, tokens = self._embedding.embed(ask.texts, query=ask.query)
        self._tell(Vectors(id=ask.id, data=data, dimension=self._embedding.dimension, tokens=tokens))
        return Done(id=ask.id)

    def _rank(self, ask: Rank) -> Told:
        if self._ranking is None:
            self._ranking = RankEngine(ask.path, ask.words, threads=self._threads)
        scores = self._ranking.scores(ask.query, ask.texts, lambda: ask.id in self._cancelled) if ask.texts else []
        self._tell(Scores(id=ask.id, scores=scores))
        return Done(id=ask.id)


def main() -> None:
    """Serve the inherited socket, then end at once whatever the engines are doing."""
    descriptor, threads, context = map(int, sys.argv[1:4])
    try:
        ModelServer(socket.socket(fileno=descriptor), threads=threads, context=context).serve()
    except ConnectionError:
        pass  # the host went away
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()
