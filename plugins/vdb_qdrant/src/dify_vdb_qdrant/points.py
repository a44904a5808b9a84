"""Turns records into Qdrant's points and back, conditions into its models, and texts into sparse vectors of words.

The weight of a word in a text is the text's half of BM25; the server multiplies by the rarity of the word (IDF), so
that the product with a query of ones is the BM25 score.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from dify_kernel.contracts.lexical import query_terms, text_terms
from dify_kernel.contracts.vector import Hit, Record
from dify_kernel.contracts.vector_rules import clamp, unit

from dify_vdb_qdrant.filters import Condition, tokens

__all__ = ["PAYLOAD", "VECTOR", "WORDS", "query_words", "text_words", "to_filter", "to_hit", "to_point", "to_record"]

VECTOR, WORDS = "vector", "words"
PAYLOAD = ["page_content", "metadata"]
_K1, _B, _MEAN = 1.2, 0.75, 256


def to_point(models: Any, partition: str, record: Record) -> Any:
    """A record as a point; a text without words has no sparse vector."""
    vectors: dict[str, Any] = {VECTOR: unit(record.vector)}
    words = text_words(record.text)
    if words:
        vectors[WORDS] = models.SparseVector(indices=list(words), values=list(words.values()))
    payload = {
        "page_content": record.text,
        "metadata": record.metadata,
        "group_id": partition,
        "tokens": tokens(record.metadata),
    }
    return models.PointStruct(id=record.id, vector=vectors, payload=payload)


def to_record(point: Any) -> Record:
    """A point read with its payload and its vector."""
    payload = point.payload
    return Record(
        id=str(point.id), text=payload["page_content"], vector=point.vector[VECTOR], metadata=payload["metadata"]
    )


def to_hit(point: Any, *, cosine: bool) -> Hit:
    """A scored point; a cosine is kept within its range."""
    score = clamp(point.score) if cosine else point.score
    return Hit(id=str(point.id), text=point.payload["page_content"], score=score, metadata=point.payload["metadata"])


def to_filter(models: Any, conditions: list[Condition]) -> Any:
    """All of the conditions, as the client's model."""
    return models.Filter(must=[_model(models, condition) for condition in conditions])


def _model(models: Any, condition: Condition) -> Any:
    if "has_id" in condition:
        return models.HasIdCondition(has_id=condition["has_id"])
    if "range" in condition:
        return models.FieldCondition(key=condition["key"], range=models.Range(**condition["range"]))
    if "match" in condition:
        match = condition["match"]
        wanted = models.MatchAny(any=match["any"]) if "any" in match else models.MatchValue(value=match["value"])
        return models.FieldCondition(key=condition["key"], match=wanted)
    return models.Filter(**{word: [_model(models, item) for item in items] for word, items in condition.items()})


def text_words(text: str) -> dict[int, float]:
    """The words of a text by number, with the weight each has in it."""
    terms = text_terms(text)
    length = _K1 * (1 - _B + _B * len(terms) / _MEAN)
    weights: dict[int, float] = {}
    for term, count in Counter(terms).items():
        weights[_number(term)] = count * (_K1 + 1) / (count + length)
    return weights


def query_words(text: str) -> list[int]:
    """The words of a query by number."""
    return list(dict.fromkeys(_number(term) for term in query_terms(text)))


def _number(term: str) -> int:
    return int.from_bytes(hashlib.blake2s(term.encode(errors="replace"), digest_size=4).digest(), "big")
