"""The embedded Valkey: one a data folder, kept alive by those who use it, gone with the last of them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from dify_host.jobs.embedded import (
    EmbeddedServer,
    EmbeddedServerFailed,
    broker_url,
    ensure_running,
    redis_url,
    socket_path,
)
from dify_host.settings import HostSettings

OPENER = """
import sys
from pathlib import Path
from dify_host.jobs.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.open()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def server(data: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(data)
    server.open()
    yield server
    server.close()


def client(data: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket_path(data)), socket_timeout=5)


def wait_for(happened: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def opener(data: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", OPENER, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def settings(**env: str) -> HostSettings:
    return HostSettings.read(env)


def test_it_answers_on_a_socket_of_its_owner_alone_and_keeps_what_it_was_given(data: Path) -> None:
    first = EmbeddedServer(data)
    first.open()
    with client(data) as connection:
        connection.set("kept", "yes")
        assert connection.config_get("port")["port"] == "0"
    assert socket_path(data).stat().st_mode & 0o777 == 0o600
    assert socket_path(data).parent.stat().st_mode & 0o777 == 0o700
    first.close()
    first.close()
    assert not first.answers()
    second = EmbeddedServer(data)
    second.open()
    with client(data) as connection:
        assert connection.get("kept") == b"yes"
    second.close()


def test_a_second_user_joins_and_leaves_the_server_running(server: EmbeddedServer, data: Path) -> None:
    second = EmbeddedServer(data)
    second.open()
    assert server.pid is not None
    assert second.pid is None
    second.close()
    assert server.answers()


def test_many_starters_at_once_make_one_server(data: Path) -> None:
    starters = [opener(data) for _ in range(4)]
    try:
        pids = [pid for _, pid in starters if pid != "None"]
        assert len(pids) == 1
    finally:
        for process, _ in starters:
            process.communicate("")


def test_it_dies_with_a_parent_that_was_killed_and_loses_nothing(data: Path) -> None:
    process, pid = opener(data)
    with client(data) as connection:
        connection.set("kept", "yes")
    process.kill()
    process.communicate()
    wait_for(lambda: gone(int(pid)))
    server = EmbeddedServer(data)
    server.open()
    with client(data) as connection:
        assert connection.get("kept") == b"yes"
    server.close()


def test_those_who_joined_bring_it_back_when_its_starter_leaves(data: Path) -> None:
    process, _ = opener(data)
    joined = EmbeddedServer(data)
    joined.open()
    process.kill()
    process.communicate()
    wait_for(lambda: joined.pid is not None and joined.answers())
    joined.close()


def test_a_server_that_was_killed_is_started_again(server: EmbeddedServer) -> None:
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: server.pid not in (None, first) and server.answers())


def test_a_server_that_hangs_is_never_joined_by_a_second_one_on_its_files(server: EmbeddedServer, data: Path) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", OPENER, str(data)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        time.sleep(3)  # there is nothing to wait for: the point is what does not happen
        assert process.poll() is None
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "None"
    process.communicate("")


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 30)
    path = socket_path(data)
    assert len(str(path)) <= 100
    assert path != socket_path(tmp_path / ("Long" * 30))
    server = EmbeddedServer(data)
    server.open()
    assert path.parent.stat().st_mode & 0o777 == 0o700
    server.close()
    shutil.rmtree(path.parent)


def test_what_keeps_it_from_starting_is_said(data: Path) -> None:
    folder = data / "valkey" / "appendonlydir"
    folder.mkdir(parents=True)
    (folder / "appendonly.aof.manifest").write_text("not a manifest\n")
    with pytest.raises(EmbeddedServerFailed) as error:
        ensure_running(settings(DIFY_DATA=str(data)))
    assert "manifest" in str(error.value)


def test_the_url_of_the_bus_follows_the_settings(data: Path) -> None:
    assert ensure_running(settings(REDIS_HOST="example.org")) is None
    assert redis_url(settings(DIFY_DATA=str(data))) == f"unix://{socket_path(data)}?db=0"
    given = settings(
        REDIS_HOST="::1", REDIS_PORT="1", REDIS_USERNAME="u@", REDIS_PASSWORD="p:/w", REDIS_DB="3", REDIS_USE_SSL="1"
    )
    pool = redis.ConnectionPool.from_url(redis_url(given))
    kept = {name: pool.connection_kwargs[name] for name in ("host", "port", "username", "password", "db")}
    assert kept == {"host": "::1", "port": 1, "username": "u@", "password": "p:/w", "db": 3}
    assert pool.connection_class is redis.SSLConnection
    assert redis_url(settings(REDIS_HOST="h")) == "redis://h:6379/0" == broker_url(settings(REDIS_HOST="h"))
    assert broker_url(settings(REDIS_HOST="h", CELERY_BROKER_URL="redis://q:1/1")) == "redis://q:1/1"
