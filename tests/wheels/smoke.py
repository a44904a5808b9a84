"""Starts the installed platform in an empty environment, runs an app over HTTP, and stops it; standard library only.

Run by the python of the environment: `python smoke.py EXAMPLES`, with a new folder in `DIFY_DATA`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

DIFY = str(Path(sys.executable).with_name("dify"))
START_SECONDS = 180
STOP_SECONDS = 60


def main(examples: Path) -> None:
    """Everything, in order; whatever fails ends the program with its reason."""
    print_size()
    port = free_port()
    with running(port) as url:
        command = [DIFY, "app", "import", str(examples / "order-workflow.yml"), "--publish", "--key", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
        if done.returncode:
            sys.exit(f"The app was not imported:\n{done.stdout}{done.stderr}")
        key = json.loads(done.stdout.splitlines()[-1])["api_key"]
        answer = run_workflow(url, key, {"part": "gripper pad", "amount": 2})
    expected = {"text": "Ordered 2 x gripper pad for 36 euros.", "total": 36, "needs_approval": False}
    data = answer["data"]
    if data["status"] != "succeeded" or {name: data["outputs"].get(name) for name in expected} != expected:
        sys.exit(f"The run answered {json.dumps(answer)}, not {json.dumps(expected)}")
    print(f"order-workflow.yml: {data['outputs']['text']}")


def print_size() -> None:
    """How much was installed."""
    folder = Path(sysconfig.get_path("purelib"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"{len(list(distributions()))} distributions, {size / 1e6:.0f} MB in site-packages")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(port: int) -> Iterator[str]:
    """The platform in the background, healthy; asked to stop at the end, and it must do so with status 0."""
    log = Path(os.environ["DIFY_DATA"]).with_suffix(".log")
    started = time.monotonic()
    with log.open("wb") as output:
        server = subprocess.Popen([DIFY, "up", "--port", str(port)], stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        until_healthy(url, server)
        print(f"healthy after {time.monotonic() - started:.1f} s")
        yield url
        server.send_signal(signal.SIGINT)
        status = server.wait(STOP_SECONDS)
        if status:
            raise SystemExit(f"`dify up` ended with status {status}")
        print("stopped cleanly")
    except BaseException:
        print(log.read_text(errors="replace")[-8000:], file=sys.stderr)
        raise
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()


def until_healthy(url: str, server: subprocess.Popen[bytes]) -> None:
    """Wait until /health answers 200."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"`dify up` ended with status {server.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"{url}/health did not answer within {START_SECONDS} s")


def run_workflow(url: str, key: str, inputs: dict[str, Any]) -> Any:
    """One blocking run of the app that the key belongs to."""
    body = json.dumps({"inputs": inputs, "response_mode": "blocking", "user": "smoke"}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/workflows/run", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
