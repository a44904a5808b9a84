"""Embeds texts through the cache table: what was embedded once with a model is never sent again."""

from __future__ import annotations

import array
import asyncio
import math
import struct
import sys
from collections.abc import Iterator, Sequence
from functools import partial

import sqlalchemy as sa
from dify_kernel.contracts.model import ModelType
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.errors import InvokeBadRequestError, InvokeError

from dify_host.db.engine import Database
from dify_host.db.statements import put_missing
from dify_host.db.types import new_id
from dify_host.knowledge.chunk import estimate_tokens, text_hash
from dify_host.knowledge.patience import Patience, Told, patiently
from dify_host.knowledge.side_by_side import side_by_side
from dify_host.knowledge.tables import embeddings

__all__ = ["DEFAULT_BATCH", "Embedder", "unit"]

#: Texts a call when the model does not say how many it takes.
DEFAULT_BATCH = 16
_LOOKUP = 500
_CONCURRENT = 4
_AT_LENGTH = 1e-9
# Vendors bound the tokens of one call too; this is well below the bounds that are known.
_TOKENS = 100_000

Vector = list[float]


def unit(vector: Sequence[float]) -> Vector | None:
    """The vector at length 1; None when it has no direction: empty, zero, NaN or infinite."""
    length = math.hypot(*vector)
    if not length or not math.isfinite(length):
        return None
    if abs(length - 1) < _AT_LENGTH:  # most models give it so, and float32 keeps no more
        return list(vector)
    return [number / length for number in vector]


class Embedder:
    """One embedding model of one tenant, before the cache. Vectors have length 1.

    Calls that may succeed later are repeated with `patience`; `told` hears what they wait for. `refused` says why a
    text got no vector, by its hash.
    """

    def __init__(
        self,
        db: Database,
        models: ModelsPort,
        provider: str,
        model: str,
        *,
        patience: Patience | None = None,
        told: Told | None = None,
    ) -> None:
        self._db = db
        self._models = models
        self._provider = provider
        self._model = model
        self._patience = patience or Patience(attempts=1)
        self._told = told
        self._free = asyncio.Semaphore(_CONCURRENT)
        self.refused: dict[str, str] = {}

    async def batch_size(self) -> int:
        """How many texts the model takes in one call."""
        info = await self._models.describe(self._provider, self._model, ModelType.TEXT_EMBEDDING)
        return info.max_chunks or DEFAULT_BATCH

    async def query(self, text: str) -> Vector:
        """The vector of a question; InvokeError when the model gives none that can be used."""
        answer = await self._models.embed(self._provider, self._model, [text], input_type="query")
        vector = unit(answer.vectors[0]) if len(answer.vectors) == 1 else None
        if vector is None:
            raise InvokeError(
                f"Model {self._model} gave no usable vector for the query.", hint="Check the model.", model=self._model
            )
        return vector

    async def documents(self, texts: Sequence[str], hashes: Sequence[str] | None = None) -> list[Vector | None]:
        """One vector a text, in order; None where the model gave none that can be used: `refused` says why.

        `hashes` are the `text_hash` of the texts, when they are known. A text that occurs twice is sent once. Misses
        are sent in batches side by side; each batch is kept as soon as it is back. A text that the model refuses costs
        the others nothing; when it refuses all of them its error is raised.
        """
        hashes = hashes or [text_hash(text) for text in texts]
        known: dict[str, Vector | None] = dict(await self._cached(set(hashes)))
        missing = {key: text for key, text in zip(hashes, texts, strict=True) if key not in known}
        if missing:
            size = await self.batch_size()
            refusals: list[InvokeBadRequestError] = []
            calls = [self._embed(batch, refusals) for batch in _batches(missing, size)]
            for answer in await side_by_side(calls):
                known.update(answer)
            if refusals and len(refusals) == len(set(hashes)):
                raise refusals[0]
        return [known[key] for key in hashes]

    async def _embed(self, batch: dict[str, str], refusals: list[InvokeBadRequestError]) -> dict[str, Vector | None]:
        """Embed one batch of hash -> text, and keep what can be used; of a refused batch, each half by itself."""
        try:
            async with self._free:
                vectors = await patiently(partial(self._call, batch), self._patience, self._told)
        except InvokeBadRequestError as exc:
            if len(batch) == 1:
                refusals.append(exc)
                (key,) = batch
                self.refused[key] = f"The embedding model refused this text: {exc.message}"
                return {key: None}
            items = list(batch.items())
            found: dict[str, Vector | None] = {}
            for half in (items[: len(items) // 2], items[len(items) // 2 :]):
                found |= await self._embed(dict(half), refusals)
            return found
        await self._keep(vectors)
        return vectors

    async def _call(self, batch: dict[str, str]) -> dict[str, Vector | None]:
        answer = await self._models.embed(self._provider, self._model, list(batch.values()))
        if len(answer.vectors) != len(batch):
            raise InvokeError(
                f"Model {self._model} gave {len(answer.vectors)} vectors for {len(batch)} texts.",
                hint="Lower the model's max_chunks, or use another model.",
                model=self._model,
            )
        return dict(zip(batch, map(unit, answer.vectors), strict=True))

    async def _keep(self, vectors: dict[str, Vector | None]) -> None:
        rows = [
            {
                "id": new_id(),
                "provider_name": self._provider,
                "model_name": self._model,
                "hash": key,
                "embedding": _pack(vector),
            }
            for key, vector in vectors.items()
            if vector is not None
        ]
        if rows:
            key = ["model_name", "hash", "provider_name"]
            await self._db.run_write(lambda conn: put_missing(conn, embeddings, rows, key=key))

    async def _cached(self, hashes: set[str]) -> dict[str, Vector]:
        return await self._db.run_read(partial(self._kept, sorted(hashes)))

    def _kept(self, ordered: Sequence[str], conn: sa.Connection) -> dict[str, Vector]:
        found: dict[str, Vector] = {}
        for start in range(0, len(ordered), _LOOKUP):
            query = sa.select(embeddings.c.hash, embeddings.c.embedding).where(
                embeddings.c.model_name == self._model,
                embeddings.c.provider_name == self._provider,
                embeddings.c.hash.in_(ordered[start : start + _LOOKUP]),
            )
            found.update({row.hash: _unpack(row.embedding) for row in conn.execute(query)})
        return found


def _batches(missing: dict[str, str], size: int) -> Iterator[dict[str, str]]:
    """Cut hash -> text into calls of at most `size` texts, and of so many tokens unless it is one text alone."""
    batch: dict[str, str] = {}
    tokens = 0
    for key, text in missing.items():
        more = estimate_tokens(text)
        if batch and (len(batch) == size or tokens + more > _TOKENS):
            yield batch
            batch, tokens = {}, 0
        batch[key] = text
        tokens += more
    if batch:
        yield batch


def _pack(vector: Vector) -> bytes:
    """Write as little-endian float32."""
    return struct.pack(f"<{len(vector)}f", *vector)  # a third of the time that an array of the same takes


def _unpack(data: bytes) -> Vector:
    packed = array.array("f")
    packed.frombytes(bytes(data))
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tolist()
