"""A process that works on the move of a knowledge base and kills itself at a given write of the target."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from dify_host.db.engine import Database
from dify_host.knowledge.rebuild import Rebuilder
from dify_host.knowledge.tasks import REBUILD, RETIRE, SWITCH
from dify_host.knowledge.turns import TurnRunner
from dify_host.knowledge.vectors import VectorStores
from dify_kernel.registry import Registry
from dify_kernel.testing.fake_models import FakeModels


async def main(url: str, env: dict[str, str], tenant_id: str, call: str, calls: int) -> None:
    db = Database(url)
    stores = VectorStores.from_registry(Registry(), env, default="sqlite")
    left = [calls]
    for name in ("sqlite", "qdrant"):
        store = await stores.open(name)
        if f"{name}.upsert" == call or f"{name}.delete" == call:
            method = call.partition(".")[2]
            setattr(store, method, _mortal(getattr(store, method), left))
    rebuilder = Rebuilder(db, stores, lambda tenant: FakeModels())
    handlers = {REBUILD: rebuilder.document, SWITCH: rebuilder.switch, RETIRE: rebuilder.retire}
    while await TurnRunner(db, handlers).run_here(tenant_id):
        pass
    await stores.close()
    await db.close()


def _mortal(work: Any, left: list[int]) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return await work(*args, **kwargs)

    return call


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])))
