"""Writes the logs that are missing: `python -m tests.histories.record`. A log that is there is never written again."""

from __future__ import annotations

import asyncio

from dify_kernel.graph.events import encode_event

from .cases import CASES
from .runs import LOGS, record


def main() -> None:
    """Record every case that has no log."""
    LOGS.mkdir(exist_ok=True)
    for name, case in CASES.items():
        path = LOGS / f"{name}.jsonl"
        if not path.exists():
            log = asyncio.run(record(case))
            path.write_bytes(b"".join(encode_event(event) + b"\n" for event in log))
            print(f"{name}: {len(log)} events, {getattr(log[-1], 'status', '?')}")


if __name__ == "__main__":
    main()
