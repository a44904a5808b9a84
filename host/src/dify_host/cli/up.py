"""`dify up`: the whole platform on one machine, as a small supervisor with an API and a worker below it.

The supervisor imports no framework and no database library: it starts processes, prefixes what they print, starts
one that crashed again, and stops all of them in order.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import click
from dify_kernel.errors import DifyError

from dify_host.cli.address import check_address
from dify_host.cli.call import Call, takes_call
from dify_host.db.newest import is_newest
from dify_host.jobs.embedded import EmbeddedServer, ensure_running
from dify_host.jobs.orphans import die_with_parent
from dify_host.jobs.stopping import StopRequest
from dify_host.settings import HostSettings

__all__ = ["Child", "Supervisor", "up"]

_LOOK_SECONDS = 0.25
_STOP_SECONDS = 45.0
_HEALTHY_SECONDS = 20.0  # a child that ran this long is started again without a wait
_GIVE_UP_AFTER = 5
_COLOURS = {"api": "36", "worker": "35"}


class ChildKeepsFailing(DifyError):
    """A process of the platform ends again and again right after its start."""

    code = "child_keeps_failing"


@click.command()
@click.option("--host", help="Address to listen on (DIFY_BIND_ADDRESS).")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on (DIFY_PORT).")
@takes_call
def up(call: Call, host: str | None, port: int | None) -> None:
    """Start everything on this machine: API, worker, schedule, embedded engines."""
    env = dict(call.env)
    if host:
        env["DIFY_BIND_ADDRESS"] = host
    if port:
        env["DIFY_PORT"] = str(port)
    settings = HostSettings.read(env)
    check_address(settings.dify_bind_address, settings.dify_port)
    settings.make_data()
    stop = StopRequest().listen()
    server = ensure_running(settings)
    try:
        supervisor = Supervisor(settings, env, stop, say=call.out.say)
        supervisor.run(ready=lambda: _show_panel(call, settings, server))
    finally:
        if server is not None:
            server.close()
    call.out.result({"stopped": "up"})


class Child:
    """One process below the supervisor; `start` again after it has ended."""

    def __init__(self, name: str, command: list[str], env: dict[str, str]) -> None:
        self.name, self._command, self._env = name, command, env
        self.process: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self.next_start = 0.0
        self._started = 0.0
        self._printer: threading.Thread | None = None

    def start(self) -> None:
        """Start it on the main thread; it ends with the supervisor, and Ctrl-C in a terminal does not reach it."""
        self._started = time.monotonic()
        self.process = subprocess.Popen(  # noqa: S603 - this program with a fixed command
            self._command,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - two system calls
        )
        self._printer = threading.Thread(target=self._print, args=(self.process,), daemon=True)
        self._printer.start()

    def ended(self) -> int | None:
        """Return its status once it has ended; its next start is then set, later after each failure in a row."""
        code = self.process.poll() if self.process is not None else None
        if code is not None:
            healthy = time.monotonic() - self._started > _HEALTHY_SECONDS
            self.failures = 1 if healthy else self.failures + 1
            self.next_start = time.monotonic() + (0.5 * 2**self.failures if self.failures > 1 else 0.2)
            self.process = None
        return code

    def stop(self, deadline: float) -> None:
        """Wait until it has ended after SIGTERM; kill it at the deadline."""
        if self.process is not None:
            try:
                self.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self._printer is not None:
            self._printer.join(1)

    def _print(self, process: subprocess.Popen[bytes]) -> None:
        prefix = f"{self.name:<7}| "
        if sys.stdout.isatty():
            prefix = f"\x1b[{_COLOURS.get(self.name, '33')}m{prefix}\x1b[0m"
        for line in process.stdout or ():
            sys.stdout.write(prefix + line.decode("utf-8", "replace"))
            sys.stdout.flush()


class Supervisor:
    """Upgrades the database in a process of its own, then keeps the API and the worker running."""

    def __init__(
        self, settings: HostSettings, env: dict[str, str], stop: StopRequest, *, say: Callable[[str], None]
    ) -> None:
        self._settings, self._stop, self._say = settings, stop, say
        upgrade = settings.migration_enabled and not is_newest(settings.database)
        self._migration = Child("db", _command("db", "upgrade"), env) if upgrade else None
        # The database is at its newest when these start.
        # Few threads allocate much here: few arenas serve as well as one a thread, and what is freed is given back.
        memory = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}
        below = {**memory, **env, "MIGRATION_ENABLED": "false", "PYTHONUNBUFFERED": "1"}
        self.children = [Child("api", _command("api"), below), Child("worker", _command("worker", "--beat"), below)]

    def run(self, *, ready: Callable[[], None]) -> None:
        """Run until asked to stop; `ready` is called when the API answers for the first time."""
        try:
            if self._migration is not None and not self._migrate(self._migration):
                return
            for child in self.children:
                child.start()
            answered = False
            while not self._stop.wait(_LOOK_SECONDS if answered else 0.05):
                if not answered and answers(self._settings.dify_bind_address, self._settings.dify_port):
                    answered = True
                    ready()
                self._look()
        finally:
            self._finish()

    def _migrate(self, child: Child) -> bool:
        """Upgrade the database; False when asked to stop meanwhile."""
        child.start()
        while (code := child.ended()) is None:
            if self._stop.wait(0.02):
                self.children.append(child)
                return False
        child.stop(time.monotonic() + 5)
        if code:
            raise ChildKeepsFailing(f"The database cannot be upgraded (status {code}).", hint="Its message is above.")
        return True

    def _look(self) -> None:
        for child in self.children:
            if child.process is None:
                if time.monotonic() >= child.next_start:
                    child.start()
                continue
            code = child.ended()
            if code is None:
                continue
            if child.failures >= _GIVE_UP_AFTER:
                raise ChildKeepsFailing(
                    f"{child.name} ended {child.failures} times in a row, last with status {code}.",
                    hint="Its messages are above; `dify doctor` checks the installation.",
                )
            wait = max(0.0, child.next_start - time.monotonic())
            self._say(f"{child.name} ended with status {code}; starting it again in {wait:.1f} s.")

    def _finish(self) -> None:
        running = [child for child in self.children if child.process is not None and child.process.poll() is None]
        if running:
            self._say(f"Stopping {' and '.join(child.name for child in running)} …")
        for child in running:
            if child.process is not None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for child in running:
            child.stop(deadline)


def answers(host: str, port: int) -> bool:
    """Tell whether GET /health on an address answers 200."""
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    try:
        with socket.create_connection((target, port), timeout=2) as connection:
            connection.sendall(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "dify_host.cli.main", *words]


def _show_panel(call: Call, settings: HostSettings, server: EmbeddedServer | None) -> None:
    """Say where everything is; with --json as one line."""
    host = "localhost" if settings.dify_bind_address in ("127.0.0.1", "0.0.0.0", "::") else settings.dify_bind_address  # noqa: S104
    url = f"http://{host}:{settings.dify_port}"
    if call.out.json:
        call.out.event({"url": url, "data": str(settings.data), "pid": os.getpid()})
        return
    from rich.panel import Panel
    from rich.table import Table

    rows = Table.grid(padding=(0, 2))
    rows.add_row("First page", f"[link={url}][bold]{url}[/bold][/link]")
    rows.add_row("Service API", f"{url}/v1")
    rows.add_row("Data", str(settings.data))
    rows.add_row("Database", settings.database.partition(":")[0])
    rows.add_row("Queue", "embedded Valkey" if server is not None else f"{settings.redis_host}:{settings.redis_port}")
    rows.add_row("First account", "dify setup --email you@example.org --password …")
    call.out.console().print(
        Panel(rows, title="Dify is up", subtitle="Ctrl-C stops it", border_style="green", expand=False)
    )
