"""A worker whose queue server is killed loses no job: neither what it does nor what waits or is to be repeated."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dify_host.jobs.broker import JobBroker
from dify_host.jobs.embedded import EmbeddedServer
from dify_kernel.errors import DifyError
from dramatiq import Worker

QUEUE = "dataset"
SECONDS = 30.0


class Later(DifyError):
    """What a job raises that wants to be repeated."""

    retryable = True


class Bench:
    """One worker in this process, on a server that is started again when it is killed."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server
        self.broker = JobBroker(f"unix://{server.socket}")
        self.worker = Worker(self.broker, queues={QUEUE}, worker_timeout=200, worker_threads=2)
        self.began: list[str] = []
        self.done = threading.Event()

    def declare(self, work: Callable[[int], Any]) -> Callable[[], None]:
        """Declare a job that is told how often it has begun; returns what sends it."""

        def run() -> None:
            self.began.append("run")
            work(len(self.began))
            self.done.set()

        actor = dramatiq.actor(run, actor_name="job", queue_name=QUEUE, broker=self.broker)
        self.worker.start()
        return lambda: (actor.send(), None)[1]

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the server at once."""
        assert self.server.pid is not None
        os.kill(self.server.pid, how)

    def until(self, happened: Callable[[], object]) -> None:
        """Ask again and again until something is so."""
        waiting = threading.Event()
        for _ in range(int(SECONDS / 0.01)):
            if happened():
                return
            waiting.wait(0.01)
        raise AssertionError("It did not happen in time.")

    def left(self) -> int:
        """How many jobs the server has, those under way and those that wait included."""
        return int(self.broker.do_qsize(QUEUE))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    server = EmbeddedServer(tmp_path)
    server.open()
    bench = Bench(server)
    yield bench
    bench.until(server.answers)
    bench.worker.stop(timeout=2000)
    bench.broker.close()
    server.close()


def test_a_job_that_waits_to_be_repeated_outlives_the_server(bench: Bench) -> None:
    def work(time: int) -> None:
        if time == 1:
            raise Later("not yet")

    bench.declare(work)()
    waiting = bench.worker.consumers[f"{QUEUE}.DQ"].delay_queue
    bench.until(waiting.qsize)
    bench.kill()
    assert bench.done.wait(SECONDS)
    assert len(bench.began) == 2
    bench.until(lambda: bench.left() == 0)


def test_a_job_that_fails_while_the_server_is_away_is_repeated(bench: Bench) -> None:
    sent = threading.Event()

    def work(time: int) -> None:
        if time == 1:
            assert sent.wait(SECONDS)  # a sender that has no answer yet would lose it
            bench.kill()
            raise Later("not yet")

    bench.declare(work)()
    sent.set()
    assert bench.done.wait(SECONDS)
    bench.until(lambda: bench.left() == 0)


def test_a_job_under_way_is_not_begun_again(bench: Bench) -> None:
    go = threading.Event()
    send = bench.declare(lambda time: go.wait(SECONDS) if time == 1 else None)
    send()
    bench.until(lambda: bench.began)
    consumer = bench.worker.consumers[QUEUE]
    before = consumer.consumer
    bench.kill()
    bench.until(lambda: consumer.consumer is not before and bench.server.answers())
    send()
    assert bench.done.wait(SECONDS)  # so the worker has found the server again
    go.set()
    bench.until(lambda: bench.left() == 0)
    assert len(bench.began) == 2


def test_a_job_whose_delivery_was_lost_is_delivered_again(bench: Bench) -> None:
    send = bench.declare(lambda _time: None)
    consumer = bench.worker.consumers[QUEUE]
    bench.until(lambda: consumer.consumer)
    bench.worker.pause()
    send()
    assert bench.broker.do_fetch(QUEUE, 1)  # as an answer that never arrives
    bench.worker.resume()
    bench.kill(signal.SIGTERM)  # which remembers that it has given the job away
    assert bench.done.wait(SECONDS)
    bench.until(lambda: bench.left() == 0)
