"""What the store does, written by hand over apsw: the same rows and the same question, and nothing around them.

The measurement of what an adapter adds calls these beside the store's own methods, against the same file. The
connection is the store's: the same journal, the same flushes, the same cache. Vectors are brought to length 1 here, as
the other stores' clients by hand do it; the store leaves that to its engine, and spends what it saves on its checks.
"""

import asyncio
import math
import struct

import msgspec
from dify_vdb_sqlite.words import to_words

KEY = "6b1f0f2e-0000-4000-8000-00000000000a"


async def upsert(store, space, records):
    """Write the records into the tables, in one transaction."""
    await asyncio.to_thread(_upsert, store, space, records)


async def search(store, space, vectors, top_k):
    """Find the nearest of each vector; their ids, texts, scores and metadata."""
    sql = (
        "SELECT id, text, json(metadata), 1 - distance FROM (SELECT key, vec_distance_cosine(vector, ?) AS distance"
        " FROM vectors WHERE key BETWEEN ? AND ? ORDER BY distance LIMIT ?)"
        " JOIN texts USING (key) JOIN facts USING (key) ORDER BY distance"
    )

    def one(vector):
        with store._database.read() as db:
            number = _partition(db, space)
            return db.execute(sql, (_packed(vector), number << 32, ((number + 1) << 32) - 1, top_k)).fetchall()

    answers = []
    for vector in vectors:
        rows = await asyncio.to_thread(one, vector)
        answers.append([(id, text, score, msgspec.json.decode(metadata)) for id, text, metadata, score in rows])
    return answers


def _upsert(store, space, records):
    with store._database.write() as db:
        db.execute(
            "INSERT OR IGNORE INTO partitions (space_id, name) SELECT id, ? FROM spaces WHERE name = ?",
            (KEY, space.name),
        )
        number = _partition(db, space)
        ids = msgspec.json.encode([record.id for record in records]).decode()
        sql = "SELECT id, key FROM texts WHERE partition_id = ? AND id IN (SELECT value FROM json_each(?))"
        known = dict(db.execute(sql, (number, ids)).fetchall())
        ((free,),) = db.execute("SELECT next FROM partitions WHERE id = ?", (number,)).fetchall()
        fresh = iter(range((number << 32) + free, (number << 32) + free + len(records)))
        keyed = [(known.get(record.id) or next(fresh), record) for record in records]
        db.executemany("REPLACE INTO texts VALUES (?, ?, ?, ?)", [(k, number, r.id, r.text) for k, r in keyed])
        db.executemany("REPLACE INTO vectors VALUES (?, ?)", [(k, _packed(r.vector)) for k, r in keyed])
        metadata = [(k, msgspec.json.encode(r.metadata).decode()) for k, r in keyed]
        db.executemany("REPLACE INTO facts VALUES (?, jsonb(?))", metadata)
        words = [(k, to_words(number, r.text)) for k, r in keyed]
        db.executemany("REPLACE INTO terms (rowid, words) VALUES (?, ?)", words)
        after = free + len(records) - len(known)
        db.execute("UPDATE partitions SET next = ? WHERE id = ?", (after, number))


def _partition(db, space):
    sql = "SELECT p.id FROM partitions p JOIN spaces s ON s.id = p.space_id WHERE s.name = ? AND p.name = ?"
    ((number,),) = db.execute(sql, (space.name, KEY)).fetchall()
    return number


def _packed(vector):
    norm = math.hypot(*vector)
    return struct.pack(f"{len(vector)}f", *[value / norm for value in vector])
