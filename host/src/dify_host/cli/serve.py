"""`dify api`, `worker`, `beat` and `serve`: one process of a cluster each, in the foreground."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click
from dify_kernel.errors import SettingsError

from dify_host.cli.address import check_address
from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_host.settings import HostSettings

__all__ = ["api", "beat", "open_files", "serve", "worker"]

_GRACE_SECONDS = 30
_OPEN_FILES = 65_536
_COLLECT_AFTER = 20_000  # new objects, where the default is 700
#: Longer than clients (5 s) and proxies (60 s) keep an idle connection: the one who closes it must not be us, or a
#: request that crosses the close is lost.
_IDLE_SECONDS = 75
#: Libraries that tell of every step at the level at which we tell what matters.
_CHATTY = ("alembic", "dramatiq", "httpx", "httpcore", "uvicorn.error")


@click.command()
@click.option("--host", help="Address to listen on (DIFY_BIND_ADDRESS).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (DIFY_PORT).")
@takes_call
def api(call: Call, host: str | None, port: int | None) -> None:
    """Run the API alone."""
    _run_api(call, host, port)


@click.command()
@click.option("--beat", "with_beat", is_flag=True, help="Keep the schedule in this process too.")
@click.option("--queue", "queues", multiple=True, help="Consume this queue alone; repeat for more.")
@takes_call
def worker(call: Call, with_beat: bool, queues: tuple[str, ...]) -> None:
    """Run a worker alone."""
    _run_worker(call, beat=with_beat, queues=set(queues) or None)


@click.command()
@takes_call
def beat(call: Call) -> None:
    """Run the schedule alone."""
    _run_beat(call)


@click.command()
@takes_call
def serve(call: Call) -> None:
    """Run what MODE names: api, worker or beat."""
    mode = _settings(call).mode
    if mode == "api":
        _run_api(call, None, None)
    elif mode == "worker":
        _run_worker(call, beat=False, queues=None)
    elif mode == "beat":
        _run_beat(call)
    else:
        raise SettingsError(f"MODE is {mode!r}.", hint="Use api, worker or beat.", setting="MODE")


def _run_api(call: Call, host: str | None, port: int | None) -> None:
    settings = _settings(call)
    address, number = host or settings.dify_bind_address, settings.dify_port if port is None else port
    gc.disable()
    open_files()
    check_address(address, number)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve_api(call, settings, address, number))
    call.out.result({"stopped": "api"})


async def _serve_api(call: Call, settings: HostSettings, host: str, port: int) -> None:
    import uvicorn

    from dify_host.app import create_app
    from dify_host.jobs.embedded import ensure_running
    from dify_host.jobs.relay import announce_jobs
    from dify_host.platform import Platform

    class Server(uvicorn.Server):
        """Leaves on a signal by returning, so that the platform is closed and the status is 0."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.handle_exit, number, None)
            yield
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    embedded = await asyncio.to_thread(ensure_running, settings)
    try:
        async with Platform.opened(call.env, role="api") as platform:
            announce_jobs(platform.db, platform.redis)
            config = uvicorn.Config(
                create_app(platform),
                host=host,
                port=port,
                log_config=None,
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=_GRACE_SECONDS,
                timeout_keep_alive=_IDLE_SECONDS,
            )
            server = Server(config)
            _loaded()
            await server.serve()
    finally:
        if embedded is not None:
            await asyncio.to_thread(embedded.close)


def _run_worker(call: Call, *, beat: bool, queues: set[str] | None) -> None:
    _settings(call)
    gc.disable()
    open_files()
    import dify_host.platform  # noqa: F401 - here, so that it is loaded before the collector starts
    from dify_host.jobs.worker import run_worker

    _loaded()
    run_worker(call.env, beat=beat, queues=queues)
    call.out.result({"stopped": "worker"})


def _run_beat(call: Call) -> None:
    _settings(call)
    from dify_host.jobs.worker import run_beat

    run_beat(call.env)
    call.out.result({"stopped": "beat"})


def open_files() -> None:
    """Let this process have as many open files as the system allows it: a run that waits for a model holds one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _loaded() -> None:
    """Let the garbage collector begin, and leave out what has been loaded: modules and classes stay for good.

    Collections while everything is imported find nothing and are a quarter of the CPU of a start. Later ones come more
    rarely than by default: a run makes thousands of objects and few cycles, and they cost a sixth of a run.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
    gc.enable()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes the fastest loop there is on this system."""
    if sys.platform == "win32":
        return asyncio.new_event_loop
    from uvloop import new_event_loop

    return new_event_loop


def _leave_out_httpx_command_line() -> None:
    """Keep httpx from importing its own command line, which brings 70 modules and 6 MB that no server needs.

    None in `sys.modules` makes an import fail as if the module were missing, which httpx is made for.
    """
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]


def _settings(call: Call) -> HostSettings:
    """Read the settings and start logging as they say."""
    _leave_out_httpx_command_line()
    from dify_host.settings import HostSettings

    settings = HostSettings.read(call.env)
    level = logging.getLevelNamesMapping().get(settings.log_level.upper())
    if level is None:
        raise SettingsError(
            f"LOG_LEVEL is {settings.log_level!r}.", hint="Use debug, info, warning or error.", setting="LOG_LEVEL"
        )
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if level > logging.DEBUG:
        for name in _CHATTY:
            logging.getLogger(name).setLevel(max(level, logging.WARNING))
    return settings
