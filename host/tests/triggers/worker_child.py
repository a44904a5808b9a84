"""Run as a program: a worker over a whole platform, on queues of its own name; its environment is given as JSON."""

from __future__ import annotations

import json
import sys

from dify_host.jobs.embedded import broker_url
from dify_host.jobs.stopping import StopRequest
from dify_host.jobs.worker import WorkerProcess
from dify_host.platform import Platform
from dify_host.settings import HostSettings


def main(text: str, namespace: str) -> None:
    env = json.loads(text)
    url = broker_url(HostSettings.read(env))
    worker = WorkerProcess(url, lambda: Platform.opened(env, role="worker"), threads=2, namespace=namespace)
    worker.run(StopRequest().listen(), grace=5)


if __name__ == "__main__":
    main(*sys.argv[1:])
