"""`dify doctor`: tries every part of this installation for real, and says what to do about what fails."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click
from dify_kernel.errors import DifyError

from dify_host.cli.call import Call, takes_call
from dify_host.cli.round_trips import ChecksFailed, check_version, try_storage, try_vector_store

if TYPE_CHECKING:
    from dify_kernel.contracts.engine_version import EngineVersion
    from dify_kernel.registry import Registry

    from dify_host.settings import HostSettings

__all__ = ["Check", "doctor"]

_CHECK_SECONDS = 30.0
_LITTLE_SPACE = 1 << 30
_DATABASES = {"sqlite": ">=3.35", "postgresql": ">=13", "mysql": ">=8.0", "mariadb": ">=10.6"}
_QUEUES = ">=6.2"


class Check:
    """One check: `run` returns what was found; a DifyError, or any other error, is a failure with its reason."""

    def __init__(self, name: str, run: Callable[[], Awaitable[str]], advice: str) -> None:
        self.name, self._run, self._advice = name, run, advice
        self.ok = False
        self.found = ""
        self.advice = ""

    async def perform(self) -> None:
        """Run it, for half a minute at most."""
        try:
            self.found = await asyncio.wait_for(self._run(), _CHECK_SECONDS)
            self.ok = True
        except DifyError as exc:
            self.found, self.advice = exc.message, exc.hint or self._advice
        except TimeoutError:
            self.found, self.advice = f"no answer within {_CHECK_SECONDS:g} s", self._advice
        except Exception as exc:  # a check reports whatever is wrong, that is what it is for
            self.found, self.advice = f"{type(exc).__name__}: {exc}", self._advice


@click.command()
@takes_call
def doctor(call: Call) -> None:
    """Check this installation and say what to do."""
    checks = call.run(_perform(call))
    from rich.text import Text

    rows = [
        (Text("✓", "green") if item.ok else Text("✗", "bold red"), item.name, item.found, item.advice)
        for item in checks
    ]
    call.out.table("Doctor", ["", "check", "found", "what to do"], rows)
    failed = [item.name for item in checks if not item.ok]
    shown = [{"name": i.name, "ok": i.ok, "found": i.found, "advice": i.advice} for i in checks]
    if call.out.json:
        call.out.event({"checks": shown})
    if failed:
        raise ChecksFailed(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}.")
    call.out.done("Everything works.")


async def _perform(call: Call) -> list[Check]:
    from dify_kernel.registry import Registry

    from dify_host.settings import HostSettings

    settings = HostSettings.read(call.env)
    registry = Registry(disabled=settings.disabled_plugins)
    checks = [
        Check("data folder", lambda: _data_folder(settings), "Choose a folder you may write with --data or DIFY_DATA."),
        Check("disk space", lambda: _disk_space(settings), "Free some space, or move the data folder."),
        Check("database", lambda: _database(settings), "Check DB_* or DATABASE_URL, and that the server runs."),
        Check("queue and bus", lambda: _redis(settings), "Check REDIS_*, and that the server runs."),
        Check("indexing", lambda: _indexing(settings), "Start a worker: `dify worker`."),
        Check(
            "storage",
            lambda: _storage(call, registry, settings),
            _advice("STORAGE_TYPE", "storage", settings.storage_type),
        ),
        Check(
            "vector store",
            lambda: _vectors(call, registry, settings),
            _advice("VECTOR_STORE", "vdb", settings.vector_store),
        ),
        Check("code sandbox", lambda: _sandbox(settings), "Allow user namespaces, or set CODE_EXECUTION_ENDPOINT."),
        Check("plugins", lambda: _plugins(registry), "Reinstall or upgrade what is broken, or disable it."),
    ]
    for check in checks:
        await check.perform()
    return checks


def _advice(variable: str, kind: str, name: str) -> str:
    """What to do about a plugin of which nothing better is known."""
    return f"Check {variable}, the settings that `dify plugins show {kind}:{name}` lists, and that the server runs."


async def _data_folder(settings: HostSettings) -> str:
    def write() -> None:
        settings.make_data()
        probe = settings.data / f".probe.{os.getpid()}"
        probe.write_text("probe")
        probe.unlink()

    await asyncio.to_thread(write)
    return str(settings.data)


async def _disk_space(settings: HostSettings) -> str:
    free = shutil.disk_usage(settings.data).free
    if free < _LITTLE_SPACE:
        raise ChecksFailed(f"{free >> 20} MB are free.")
    return f"{free / (1 << 30):.1f} GB free"


async def _database(settings: HostSettings) -> str:
    from dify_host.db import migrate

    if not await _is_set_up(settings):
        raise ChecksFailed("There are no tables yet.", hint="Run `dify db upgrade`, or `dify up`, which does it too.")
    differences = await migrate.check(settings.database)
    if differences:
        shown = "; ".join(differences[:5])
        raise ChecksFailed(f"{len(differences)} differences: {shown}.", hint="Run `dify db upgrade`.")
    return f"{check_version(await _database_version(settings))}, at {migrate.head()}"


async def _is_set_up(settings: HostSettings) -> bool:
    """Whether there are tables; raises when the database does not answer."""
    from dify_host.db.engine import Database

    db = Database(settings.database)
    try:
        async with db.read():
            return await db.revision() is not None
    finally:
        await db.close()


async def _database_version(settings: HostSettings) -> EngineVersion:
    from dify_kernel.contracts.engine_version import EngineVersion

    from dify_host.db.engine import Database

    db = Database(settings.database)
    try:
        async with db.read() as conn:
            dialect = conn.dialect
            name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
            version = ".".join(str(part) for part in dialect.server_version_info or ())
    finally:
        await db.close()
    return EngineVersion(name=name, version=version, supported=_DATABASES[name])


async def _redis(settings: HostSettings) -> str:
    import redis.asyncio as redis
    from dify_kernel.contracts.engine_version import EngineVersion

    from dify_host.jobs.broker import workers_answer
    from dify_host.jobs.embedded import ensure_running, redis_url

    server = await asyncio.to_thread(ensure_running, settings)
    try:
        async with redis.Redis.from_url(redis_url(settings)) as client:
            told = await client.info("server")
            name = str(told.get("server_name", "redis"))
            version = str(told.get(f"{name}_version") or told.get("redis_version", ""))
            found = check_version(EngineVersion(name=name, version=version, supported=_QUEUES))
            workers = "a worker answers" if await workers_answer(client) else "no worker answers now"
    finally:
        if server is not None:
            await asyncio.to_thread(server.close)
    return f"{found}, {'embedded' if server else settings.redis_host}, {workers}"


async def _indexing(settings: HostSettings) -> str:
    from dify_host.db.engine import Database
    from dify_host.db.types import utc_now
    from dify_host.knowledge.tasks import SILENT
    from dify_host.knowledge.waiting import backlog

    if not await _is_set_up(settings):
        raise ChecksFailed("Not looked at: there are no tables yet.", hint="Run `dify db upgrade` first.")
    db = Database(settings.database)
    try:
        found = await backlog(db)
    finally:
        await db.close()
    told = f"{found.waiting} tasks of {found.workspaces} workspaces wait, {found.failed} have failed"
    if found.quiet_since is not None and utc_now() - found.quiet_since > SILENT:
        raise ChecksFailed(f"{told}; for some, no worker has come since {found.quiet_since:%Y-%m-%d %H:%M:%S} UTC.")
    return told if found.waiting or found.failed else "nothing waits"


async def _storage(call: Call, registry: Registry, settings: HostSettings) -> str:
    storage = registry.get("storage", settings.storage_type).build(call.env)
    return f"{settings.storage_type}: {await try_storage(storage)}"


async def _vectors(call: Call, registry: Registry, settings: HostSettings) -> str:
    store = registry.get("vdb", settings.vector_store).build(call.env)
    return f"{settings.vector_store}: {await try_vector_store(store)}"


async def _sandbox(settings: HostSettings) -> str:
    from dify_host.sandbox.chosen import sandbox_of

    sandbox = sandbox_of(settings)
    try:
        report = await sandbox.probe()
    finally:
        await sandbox.close()
    if report.level == "none":
        raise ChecksFailed(f"Code nodes cannot run: {' '.join(report.reasons)}")
    how = "full isolation" if report.level == "full" else f"the service at {settings.code_execution_endpoint}"
    return f"{how} for {', '.join(report.languages)}"


async def _plugins(registry: Registry) -> str:
    reports = await asyncio.to_thread(registry.check)
    broken = [f"{item.offer.kind}:{item.offer.name}: {item.reason}" for item in reports if item.state == "broken"]
    if broken:
        raise ChecksFailed(" ".join(broken))
    return f"{len(reports)} load"
