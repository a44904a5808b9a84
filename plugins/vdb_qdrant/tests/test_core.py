"""Filters, scores and ranks inside the server's own core, which runs in this process without a server."""

from types import SimpleNamespace

import pytest
import qdrant_edge as core
from dify_kernel.contracts.vector import Compare
from dify_kernel.contracts.vector_exact import narrow
from dify_kernel.contracts.vector_rules import cosine
from dify_kernel.testing.vector.data import NASTY, id_of, record, vector_of
from dify_kernel.testing.vector.filtering import CASES, ROWS
from dify_vdb_qdrant.filters import said, to_condition
from dify_vdb_qdrant.points import query_words, to_filter, to_point
from qdrant_client import models

#: The core's classes under the names of the client's.
MODELS = SimpleNamespace(
    FieldCondition=core.FieldCondition,
    Filter=core.Filter,
    HasIdCondition=lambda has_id: core.HasIdCondition(set(has_id)),
    MatchAny=lambda any: core.MatchAny(any),
    MatchValue=lambda value: core.MatchValue(value),
    Range=core.RangeFloat,
)


@pytest.fixture
def shard(tmp_path):
    config = core.EdgeConfig(
        vectors={"vector": core.EdgeVectorParams(size=6, distance=core.Distance.Cosine)},
        sparse_vectors={"words": core.EdgeSparseVectorParams(modifier=core.Modifier.Idf)},
    )
    shard = core.EdgeShard.create(str(tmp_path), config)
    yield shard
    shard.close()


def write(shard, partition, *records):
    points = []
    for item in records:
        made = to_point(models, partition, item)
        vector = dict(made.vector)
        if "words" in vector:
            vector["words"] = core.SparseVector(vector["words"].indices, vector["words"].values)
        points.append(core.Point(made.id, vector, made.payload))
    shard.update(core.UpdateOperation.upsert_points(points))


def within(partition, *filters):
    conditions = [
        {"key": "group_id", "match": {"value": partition}},
        *(to_condition(narrow(filter, said)[0]) for filter in filters),
    ]
    return to_filter(MODELS, conditions)


def test_every_filter_that_can_be_said(shard):
    write(shard, "p", *[record(name, **row) for name, row in ROWS.items()])
    write(shard, "q", *[record(f"other {name}", **row) for name, row in ROWS.items()])
    wrong = []
    for filter, names in CASES:
        if narrow(filter, said)[1]:
            points, _ = shard.scroll(core.ScrollRequest(limit=100, filter=within("p", filter)))
            if {str(point.id) for point in points} != {id_of(name) for name in names}:
                wrong.append(filter)
    assert wrong == []


def test_hostile_text(shard):
    write(shard, "p", *[record(text, text=text, value=text) for text in NASTY])
    for text in NASTY:
        points, _ = shard.scroll(core.ScrollRequest(limit=100, filter=within("p", Compare("eq", "value", text))))
        assert [str(point.id) for point in points] == [id_of(text)]


def test_scores_are_cosines(shard):
    write(shard, "p", *[record(i) for i in range(20)])
    query = vector_of("query", 6)
    nearest = core.Query.Nearest(query, using="vector")
    hits = shard.query(core.QueryRequest(limit=20, query=nearest, filter=within("p")))
    expected = {id_of(i): pytest.approx(cosine(query, vector_of(i, 6)), abs=1e-5) for i in range(20)}
    assert {str(hit.id): hit.score for hit in hits} == expected


def test_words_are_ranked_by_number_and_rarity(shard):
    texts = [f"apple filler number {i}" for i in range(6)]
    write(shard, "p", *[record(text, text=text) for text in (*texts, "apple and quince", "only quince", "", "知识库")])
    words = query_words("apple quince")
    sparse = core.Query.Nearest(core.SparseVector(words, [1.0] * len(words)), using="words")
    hits = shard.query(core.QueryRequest(limit=20, query=sparse, filter=within("p")))
    assert [str(hit.id) for hit in hits[:2]] == [id_of("apple and quince"), id_of("only quince")]
    assert {str(hit.id) for hit in hits[2:]} == {id_of(text) for text in texts}
