"""A worker process: consumes the queues, relays the outbox and, when asked, keeps the schedule.

One Platform lives in the event loop that the actors run on. SIGTERM or SIGINT: take no more jobs, finish those
under way within the grace, exit with 0; what is left over then is given to another worker.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from dify_kernel.errors import SettingsError
from dramatiq import Worker
from dramatiq.asyncio import EventLoopThread, set_event_loop_thread

from dify_host.jobs.actors import declare
from dify_host.jobs.broker import NAMESPACE, QUEUES, JobBroker
from dify_host.jobs.embedded import broker_url, ensure_running
from dify_host.jobs.relay import Relay, announce_jobs
from dify_host.jobs.schedule import Beat
from dify_host.jobs.stopping import StopRequest
from dify_host.settings import HostSettings

if TYPE_CHECKING:
    from dify_host.platform import Platform

__all__ = ["Opener", "WorkerProcess", "run_beat", "run_worker"]

log = logging.getLogger(__name__)

GRACE_SECONDS = 30.0
Opener = Callable[[], AbstractAsyncContextManager["Platform"]]


def run_worker(env: Mapping[str, str], *, beat: bool = False, queues: set[str] | None = None) -> None:
    """Run a worker on the main thread until SIGTERM or SIGINT; `beat` keeps the schedule in it too."""
    from dify_host.platform import Platform  # everything there is: only who runs a worker pays for it

    settings = HostSettings.read(env)
    embedded = ensure_running(settings)
    stop = StopRequest().listen()
    try:
        worker = WorkerProcess(
            broker_url(settings),
            lambda: Platform.opened(env, role="worker"),
            threads=settings.worker_threads,
            beat=beat,
            queues=queues,
        )
        worker.run(stop)
    finally:
        if embedded is not None:
            embedded.close()


def run_beat(env: Mapping[str, str]) -> None:
    """Keep the schedule on the main thread until SIGTERM or SIGINT."""
    from dify_host.platform import Platform

    embedded = ensure_running(HostSettings.read(env))
    stop = StopRequest().listen()

    async def keep() -> None:
        async with Platform.opened(env, role="beat") as platform:
            announce_jobs(platform.db, platform.redis)
            beat = asyncio.create_task(Beat(platform).run())
            beat.add_done_callback(lambda _task: stop.set())
            await asyncio.to_thread(stop.wait)
            beat.cancel()
            await asyncio.wait([beat])
            if not beat.cancelled():
                beat.result()

    try:
        asyncio.run(keep())
    finally:
        if embedded is not None:
            embedded.close()


class WorkerProcess:
    """The parts of a worker, started and stopped in order; one a process."""

    def __init__(
        self,
        url: str,
        opener: Opener,
        *,
        threads: int = 4,
        beat: bool = False,
        queues: set[str] | None = None,
        namespace: str = NAMESPACE,
    ) -> None:
        if unknown := sorted((queues or set()) - set(QUEUES)):
            raise SettingsError(f"There is no queue {', '.join(unknown)}.", hint=f"Queues: {', '.join(QUEUES)}.")
        self.broker = JobBroker(url, namespace=namespace)
        self._opener, self._threads, self._beat, self._queues = opener, threads, beat, queues
        self._platform: Platform | None = None
        self._opened = threading.Event()
        self._release = asyncio.Event()

    def run(self, stop: StopRequest, *, grace: float = GRACE_SECONDS) -> None:
        """Open the platform, consume until asked to stop, finish; raises what opening or the relay raised."""
        loop = EventLoopThread(logging.getLogger("dramatiq.loop"))
        loop.start(timeout=10)
        set_event_loop_thread(loop)
        holding = asyncio.run_coroutine_threadsafe(self._hold(stop), loop.loop)
        try:
            self._opened.wait()
            if self._platform is not None:
                worker = self._consume()
                stop.wait()
                self._finish(worker, grace)
            loop.loop.call_soon_threadsafe(self._release.set)
            concurrent.futures.wait([holding])
        finally:
            loop.stop()
            set_event_loop_thread(None)
        holding.result()

    def platform(self) -> Platform:
        """Return the platform that jobs work with."""
        if self._platform is None:
            raise RuntimeError("the worker is not open")
        return self._platform

    async def _hold(self, stop: StopRequest) -> None:
        """Keep the platform open with relay and schedule beside it; whatever ends early stops the worker."""
        try:
            async with self._opener() as platform:
                announce_jobs(platform.db, platform.redis, namespace=self.broker.namespace)
                declare(self.broker, self.platform)
                platform.watch_runs()
                tasks: list[asyncio.Task[Any]] = [
                    asyncio.create_task(Relay(platform.db, platform.redis, self.broker).run())
                ]
                if self._beat:
                    tasks.append(asyncio.create_task(Beat(platform).run()))
                tasks.append(asyncio.create_task(self._release.wait()))
                self._platform = platform
                self._opened.set()
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                stop.set()
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
                for task in tasks:
                    if not task.cancelled():
                        task.result()
        finally:
            self._opened.set()

    def _consume(self) -> Worker:
        self.broker.emit_after("process_boot")
        worker = Worker(self.broker, queues=self._queues, worker_timeout=1000, worker_threads=self._threads)
        worker.start()
        log.info("Worker consumes %s with %d threads.", ", ".join(sorted(self._queues or QUEUES)), self._threads)
        if left := sorted(set(QUEUES) - (self._queues or set(QUEUES))):
            log.warning("Jobs on %s wait for another worker: this one has a list of its own.", ", ".join(left))
        return worker

    def _finish(self, worker: Worker, grace: float) -> None:
        log.info("Worker stops: finishing jobs under way.")
        threading.Timer(0.05, self.broker.wake).start()  # so that consumers end their wait now
        worker.stop(timeout=int(grace * 1000))
        running = sum(thread.is_alive() for thread in worker.workers)
        if running:
            # Their parts must not be closed under them: end as if killed, which every job bears.
            log.warning("%d jobs did not end within %g s: another worker takes them.", running, grace)
            logging.shutdown()
            os._exit(0)
