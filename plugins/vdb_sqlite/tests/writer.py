"""A process that writes to a store until its work is done or it is killed: `writer.py FILE NAME COUNT`.

It prints a line after each write that came back, and nothing it printed may be lost.
"""

import asyncio
import sys
import uuid

from dify_kernel.contracts.vector import Record, Space
from dify_vdb_sqlite import SqliteVectorSettings, SqliteVectorStore

SPACE = Space("shared", 4)


async def main(path: str, name: str, count: int) -> None:
    store = SqliteVectorStore(SqliteVectorSettings(sqlite_vec_path=path))
    await store.open()
    await store.create(SPACE)
    for i in range(count):
        id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {i}"))
        record = Record(id=id, text=f"{name} word{i}", vector=[1.0, i, 0.5, 0.25], metadata={"name": name})
        await store.upsert(SPACE, "p", [record])
        print(id, flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
