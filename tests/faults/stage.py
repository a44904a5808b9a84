"""Where it happens: servers, two APIs and two workers as processes, each of which may be killed and started again."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import psutil
from dify_host.settings import HostSettings
from dify_kernel.testing.openai_server import OpenAIServer

from tests.e2e.running import Place, Running, free_port
from tests.e2e.servers import rows
from tests.faults.effects import EffectServer
from tests.faults.house import House, furnish
from tests.faults.servers import Server, mysql, postgres, valkey

__all__ = ["Stage", "Target", "cluster", "laptop"]

_SECRET = "one-for-all-processes"


class Target(Protocol):
    """Something that the killer may kill."""

    kind: str

    def kill(self) -> None:
        """End it at once, as a machine does that loses power."""
        ...

    def start(self) -> None:
        """Start it again, unless somebody else does."""
        ...

    def alive(self) -> bool:
        """Whether it runs."""
        ...


class Stage(msgspec.Struct, kw_only=True):
    """Everything that is running. `most_kills` is how often one target may be killed, 0 is as often as you like."""

    engine: str
    place: Place
    apis: list[str]
    targets: list[Target]
    house: House
    effects: EffectServer
    most_kills: int = 0

    @property
    def database(self) -> str:
        """The URL of the database."""
        return HostSettings.read(self.place.env).database


class ServerTarget:
    """A database or a queue."""

    def __init__(self, kind: str, server: Server) -> None:
        self.kind, self._server = kind, server
        self.kill, self.start, self.alive = server.kill, server.start, server.answers


class ProcessTarget:
    """A process of the platform; one that gives up is started again, as every supervisor does."""

    def __init__(self, kind: str, start: Callable[[], Running]) -> None:
        self.kind, self._start = kind, start
        self.gave_up: list[str] = []
        self._running = start()
        self._killed = False
        self._lock = threading.Lock()

    @property
    def running(self) -> Running:
        """The process of now."""
        return self._running

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            self._running.kill()

    def start(self) -> None:
        with self._lock:
            self._killed = False
            if not self._running.alive:
                self._running = self._start()

    def look(self) -> None:
        """Start it again when it ended by itself."""
        with self._lock:
            if not self._killed and not self._running.alive:
                self.gave_up.append(self._running.log())
                self._running = self._start()

    def alive(self) -> bool:
        return self._running.alive


class ChildTarget:
    """A process below `dify up`, which starts it again."""

    def __init__(self, kind: str, up: Running, word: str) -> None:
        self.kind, self._up, self._word = kind, up, word

    def kill(self) -> None:
        for process in self._found():
            process.send_signal(signal.SIGKILL)

    def start(self) -> None:
        """The supervisor does."""

    def alive(self) -> bool:
        return bool(self._found())

    def _found(self) -> list[psutil.Process]:
        below = psutil.Process(self._up.process.pid).children(recursive=True)
        return [process for process in below if self._word in _command(process)]


def _command(process: psutil.Process) -> list[str]:
    """The words of a command; a server's first word may hold its address too."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return []
    return [part for word in words for part in (word, word.rpartition("/")[2])]


@contextmanager
def cluster(engine: str, folder: Path) -> Iterator[Stage]:
    """Two APIs and two workers, one of which keeps the schedule, on servers of their own."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres() if engine == "postgresql" else mysql())
        queue = stack.enter_context(valkey())
        effects, models = stack.enter_context(EffectServer()), stack.enter_context(OpenAIServer())
        user, first = ("postgres", "postgres") if engine == "postgresql" else ("dify", "mysql")
        named = {"DB_TYPE": engine, "DB_HOST": "127.0.0.1", "DB_PORT": str(database.port), "DB_USERNAME": user}
        bus = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(queue.port)}
        place = Place(folder, SSRF_ALLOWED_HOSTS="127.0.0.1", SECRET_KEY=_SECRET, **named, **bus)
        rows(f"{engine}://{user}@127.0.0.1:{database.port}/{first}", "CREATE DATABASE dify")
        house = furnish(place.env, effects=effects.url, models=models.root)
        ports = [free_port(), free_port()]
        starts = [
            ("api", ("api",), ports[0]),
            ("api", ("api",), ports[1]),
            ("worker", ("worker", "--beat"), 0),
            ("worker", ("worker",), 0),
        ]
        processes = [ProcessTarget(kind, _starter(place, words, port)) for kind, words, port in starts]
        for process in processes:
            stack.callback(process.kill)
        for process in processes[:2]:
            process.running.healthy()
        servers = [ServerTarget("database", database), ServerTarget("queue", queue)]
        yield Stage(
            engine=engine,
            place=place,
            apis=[f"http://127.0.0.1:{port}" for port in ports],
            targets=[*processes, *servers],
            house=house,
            effects=effects,
        )


@contextmanager
def laptop(folder: Path) -> Iterator[Stage]:
    """`dify up` on SQLite and the embedded queue."""
    with ExitStack() as stack:
        effects, models = stack.enter_context(EffectServer()), stack.enter_context(OpenAIServer())
        place = Place(folder, SSRF_ALLOWED_HOSTS="127.0.0.1", SECRET_KEY=_SECRET)
        house = furnish(place.env, effects=effects.url, models=models.root)
        port = free_port()
        up = stack.enter_context(place.running("up", port=port)).healthy()
        words = {"api": "api", "worker": "worker", "queue": "valkey.sock"}
        yield Stage(
            engine="sqlite",
            place=place,
            apis=[f"http://127.0.0.1:{port}"],
            targets=[ChildTarget(kind, up, word) for kind, word in words.items()],
            house=house,
            effects=effects,
            most_kills=3,
        )


def _starter(place: Place, words: tuple[str, ...], port: int) -> Callable[[], Running]:
    return lambda: Running(place, words, port, {})
