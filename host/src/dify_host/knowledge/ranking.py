"""How found pieces are ranked: retrieval settings, fusion of two searches, weighted scores, rerank models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
from dify_kernel.contracts.ports import ModelsPort
from dify_kernel.contracts.vector import Hit
from dify_kernel.errors import BadInput

from dify_host.knowledge.external_call import ExternalHit
from dify_host.knowledge.records import Document, Segment
from dify_host.knowledge.words import keyword_scores

__all__ = [
    "MOST_HITS",
    "Candidate",
    "ExternalPiece",
    "Piece",
    "RerankModel",
    "RetrievalModel",
    "Weights",
    "apply_weights",
    "cut",
    "fuse",
    "read_retrieval_model",
    "rerank",
]

_RRF = 60
#: More than anybody reads; what a store is asked for stays a number that every engine takes.
MOST_HITS = 10_000

SearchMethod = Literal["semantic_search", "full_text_search", "hybrid_search", "keyword_search"]


class RerankModel(msgspec.Struct, frozen=True, kw_only=True):
    """Which model reranks; without a name none does, and clients send back the null that they are shown."""

    reranking_provider_name: str | None = None
    reranking_model_name: str | None = None


class VectorSetting(msgspec.Struct, frozen=True, kw_only=True):
    """The share of the vector score."""

    vector_weight: float = 0.7
    embedding_provider_name: str | None = None
    embedding_model_name: str | None = None


class KeywordSetting(msgspec.Struct, frozen=True, kw_only=True):
    """The share of the keyword score."""

    keyword_weight: float = 0.3


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """score = vector_weight * vector score + keyword_weight * keyword score."""

    weight_type: str | None = None
    vector_setting: VectorSetting = VectorSetting()
    keyword_setting: KeywordSetting = KeywordSetting()


class RetrievalModel(msgspec.Struct, frozen=True, kw_only=True):
    """How one knowledge base is searched; fields as in the API."""

    search_method: SearchMethod = "semantic_search"
    reranking_enable: bool = False
    reranking_mode: Literal["reranking_model", "weighted_score"] | None = None
    reranking_model: RerankModel | None = None
    weights: Weights | None = None
    top_k: int = 4
    score_threshold_enabled: bool = False
    score_threshold: float | None = None
    metadata_filtering_conditions: dict[str, Any] | None = None

    @property
    def threshold(self) -> float | None:
        """The least score that counts; None when every score does."""
        return self.score_threshold if self.score_threshold_enabled else None

    @property
    def reranker(self) -> RerankModel | None:
        """The rerank model in use; None when there is none."""
        model = self.reranking_model
        chosen = self.reranking_enable and self.reranking_mode != "weighted_score"
        return model if chosen and model and model.reranking_model_name else None

    @property
    def weighting(self) -> Weights | None:
        """The weights in use; None when there are none."""
        return (self.weights or Weights()) if self.reranking_mode == "weighted_score" else None


class Piece(msgspec.Struct, kw_only=True):
    """Something found, as rankings see it; `vector_score` is its cosine similarity, None while it was not computed."""

    text: str
    score: float
    vector_score: float | None = None


class Candidate(Piece, kw_only=True):
    """A found segment. `text` is what matched: its content, or the best of its children.

    `children` are (id, content, position, score), best first.
    """

    segment: Segment
    document: Document
    node_id: str
    children: list[tuple[str, str, int, float]] = []


class ExternalPiece(Piece, kw_only=True):
    """A record of external knowledge; what it calls its score stands for the cosine similarity."""

    dataset_id: str
    hit: ExternalHit


P = TypeVar("P", bound=Piece)


def read_retrieval_model(value: Mapping[str, Any] | None) -> RetrievalModel:
    """Read stored or posted settings; None values count as not given. BadInput says what is wrong."""
    given = {key: item for key, item in (value or {}).items() if item is not None and item != ""}
    try:
        model = msgspec.convert(given, RetrievalModel)
    except msgspec.ValidationError as exc:
        raise BadInput(f"retrieval_model is not valid: {exc}.") from exc
    if not 1 <= model.top_k <= MOST_HITS:
        raise BadInput(f"top_k is {model.top_k}, and must be from 1 to {MOST_HITS}.", field="top_k")
    weights = model.weights or Weights()
    numbers = (model.score_threshold, weights.vector_setting.vector_weight, weights.keyword_setting.keyword_weight)
    if not all(math.isfinite(number) for number in numbers if number is not None):
        raise BadInput("retrieval_model has a threshold or weight that is no number.", field="retrieval_model")
    return model


def fuse(*lists: Sequence[Hit]) -> list[Hit]:
    """Join searches by reciprocal rank (k = 60), best first; of two hits of one record the first list's is kept."""
    ranks: dict[str, float] = {}
    hits: dict[str, Hit] = {}
    for found in lists:
        for rank, hit in enumerate(found, 1):
            hits.setdefault(hit.id, hit)
            ranks[hit.id] = ranks.get(hit.id, 0.0) + 1 / (_RRF + rank)
    return sorted(hits.values(), key=lambda hit: -ranks[hit.id])


def apply_weights(query: str, candidates: Sequence[P], weights: Weights) -> list[P]:
    """Score by the weighted sum of vector and keyword score, best first; a missing vector score counts as 0."""
    keyword = keyword_scores(query, [candidate.text for candidate in candidates])
    vector_weight, keyword_weight = weights.vector_setting.vector_weight, weights.keyword_setting.keyword_weight
    scored = [
        msgspec.structs.replace(
            candidate, score=vector_weight * (candidate.vector_score or 0.0) + keyword_weight * keyword[index]
        )
        for index, candidate in enumerate(candidates)
    ]
    return sorted(scored, key=lambda candidate: -candidate.score)


async def rerank(models: ModelsPort, model: RerankModel, query: str, candidates: Sequence[P], top_k: int) -> list[P]:
    """Score by a rerank model, best first, at most `top_k`; the model's errors are the caller's."""
    if not candidates:
        return []
    hits = await models.rerank(
        model.reranking_provider_name or "",
        model.reranking_model_name or "",
        query,
        [candidate.text for candidate in candidates],
        top_n=min(top_k, len(candidates)),
    )
    scored = [msgspec.structs.replace(candidates[hit.index], score=hit.score) for hit in hits]
    return sorted(scored, key=lambda candidate: -candidate.score)[:top_k]


def cut(candidates: Sequence[P], top_k: int, threshold: float | None) -> list[P]:
    """The first `top_k` whose score reaches the threshold."""
    return [c for c in candidates if threshold is None or c.score >= threshold][:top_k]
