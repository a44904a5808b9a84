"""What every command gets: `--data` and `--json`, the environment they make, and a platform over it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dify_host.cli.output import Output

if TYPE_CHECKING:
    from dify_host.identity.workspaces import Member
    from dify_host.platform import Platform
    from dify_host.workspace import Workspace

__all__ = ["Call", "takes_call"]

T = TypeVar("T")


class Call:
    """One call of a command."""

    def __init__(self, *, data: str | None, json: bool) -> None:
        self.data = data
        self.out = Output(json=json)

    @functools.cached_property
    def env(self) -> dict[str, str]:
        """The environment over `.env`, with the data folder of `--data`."""
        from dify_host.settings import read_environment

        return read_environment(data=self.data)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a command's asynchronous part."""
        import asyncio
        import logging

        # The tables tell people what they asked for; only what went wrong belongs between them.
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        return asyncio.run(work)

    @asynccontextmanager
    async def platform(self, *, bus: bool = False) -> AsyncIterator[Platform]:
        """Open a platform on the database and the data folder; `bus` makes sure that the queue server answers too."""
        import asyncio

        from dify_host.jobs.embedded import ensure_running
        from dify_host.jobs.relay import announce_jobs
        from dify_host.platform import Platform
        from dify_host.settings import HostSettings

        server = ensure_running(HostSettings.read(self.env)) if bus else None
        try:
            async with Platform.opened(self.env, role="cli") as platform:
                if bus:
                    announce_jobs(platform.db, platform.redis)
                yield platform
        finally:
            if server is not None:
                await asyncio.to_thread(server.close)

    @asynccontextmanager
    async def workspace(self, *, bus: bool = False) -> AsyncIterator[tuple[Platform, Workspace, Member]]:
        """Open the oldest workspace as its owner; it is made when there is none."""
        from dify_host.identity.setup import ensure_local_workspace

        async with self.platform(bus=bus) as platform:
            owner = await ensure_local_workspace(platform.db, platform.keyring)
            yield platform, await platform.workspace(owner.tenant), owner


def takes_call(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--data` and `--json`, and a `Call` as its first argument."""

    @functools.wraps(command)
    def run(*args: Any, data: str | None, as_json: bool, **kwargs: Any) -> None:
        command(Call(data=data, json=as_json), *args, **kwargs)

    with_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object as the last line.")(run)
    return click.option("--data", metavar="DIR", help="Data folder (DIFY_DATA).")(with_json)
