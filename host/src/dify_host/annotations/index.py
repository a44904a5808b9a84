"""The vectors of annotations: one partition an app, the question embedded, the annotation's id as the record's."""

from __future__ import annotations

from collections.abc import Sequence

from dify_kernel.contracts.vector import Record

from dify_host.annotations.records import Annotation, ReplySetting
from dify_host.db.engine import Database
from dify_host.knowledge.embedding import Embedder
from dify_host.knowledge.records import IndexStruct
from dify_host.knowledge.vectors import VectorStores
from dify_host.models.runtime import ModelRuntime

__all__ = ["AnnotationIndex"]


class AnnotationIndex:
    """Writes and searches the annotations of one workspace's apps. Raises the errors of models and stores."""

    def __init__(self, db: Database, stores: VectorStores, models: ModelRuntime) -> None:
        self._db, self._stores, self._models = db, stores, models

    def _embedder(self, setting: ReplySetting) -> Embedder:
        return Embedder(self._db, self._models, setting.provider, setting.model)

    async def dimension(self, provider: str, model: str) -> int:
        """How long the model's vectors are; asks it, so that one that cannot be used is told at once."""
        return len(await Embedder(self._db, self._models, provider, model).query("dimension"))

    async def write(self, setting: ReplySetting, annotations: Sequence[Annotation]) -> None:
        """Index annotations, replacing by id; a question whose vector has no direction is never found."""
        space = setting.index.space
        if space is None or not annotations:
            return
        vectors = await self._embedder(setting).documents([item.question for item in annotations])
        records = [
            Record(
                id=item.id,
                text=item.question,
                vector=vector,
                metadata={"annotation_id": item.id, "app_id": item.app_id, "doc_id": item.id},
            )
            for item, vector in zip(annotations, vectors, strict=True)
            if vector is not None
        ]
        store = await self._stores.ready(setting.index.store, space)
        await store.upsert(space, setting.app_id, records)

    async def remove(self, setting: ReplySetting, annotation_ids: Sequence[str]) -> None:
        """Take annotations out."""
        if setting.index.space is not None and annotation_ids:
            store = await self._stores.ready(setting.index.store, setting.index.space)
            await store.delete(setting.index.space, setting.app_id, ids=list(annotation_ids))

    async def clear(self, index: IndexStruct, app_id: str) -> None:
        """Take all annotations of an app out of an index."""
        if index.space is not None:
            store = await self._stores.ready(index.store, index.space)
            await store.delete(index.space, app_id)

    async def nearest(self, setting: ReplySetting, question: str) -> tuple[str, float] | None:
        """The id of the nearest annotation above the app's threshold, and its similarity; None when none is near."""
        space = setting.index.space
        if space is None:
            return None
        vector = await self._embedder(setting).query(question)
        store = await self._stores.ready(setting.index.store, space)
        hits = await store.search(space, setting.app_id, vector, top_k=1, threshold=setting.score_threshold)
        return (hits[0].id, hits[0].score) if hits else None
