"""What search engines are asked: numbers that sort as words, filters within the engines' limits, bounded bulks."""

import math

import msgspec
import pytest
from dify_kernel.contracts.vector import And, Compare, Exists, Filter, Not, Or, Record
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.errors import InvalidQuery, StoreRateLimited, StoreUnauthorized, StoreUnavailable, VectorStoreError
from dify_kernel.families.search_engine_faults import fault_of, is_taken
from dify_kernel.families.search_engine_queries import ALWAYS, NEVER, Json, numbers, routing, to_document, within
from dify_kernel.families.search_engine_vectors import BULK_BYTES, BULK_RECORDS, _bulks
from dify_kernel.testing.vector.data import NASTY, id_of, record
from dify_kernel.testing.vector.filtering import CASES, ROWS
from hypothesis import given
from hypothesis import strategies as st

INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.one_of(INT64, st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3))
PARTITION = "a partition"


def found(query: Json, document: Json) -> bool:
    """What an engine makes of a query, on one document."""
    ((kind, value),) = query.items()
    match kind:
        case "match_all":
            return True
        case "match_none":
            return False
        case "term":
            return all(document[field] == wanted for field, wanted in value.items())
        case "terms":
            return any(set(wanted) & set(document[field]) for field, wanted in value.items())
        case "range":
            bounds = value["numbers"]
            return any(_between(word, bounds) for word in document["numbers"])
    some = [found(item, document) for item in value.get("should", [])]
    return (
        all(found(item, document) for item in value.get("filter", []))
        and not any(found(item, document) for item in value.get("must_not", []))
        and sum(some) >= value.get("minimum_should_match", 0)
    )


def _between(word: str, bounds: Json) -> bool:
    low, high = bounds.get("gte", bounds.get("gt")), bounds.get("lte", bounds.get("lt"))
    return (word > low if "gt" in bounds else word >= low) and (word < high if "lt" in bounds else word <= high)


@given(NUMBERS, NUMBERS)
def test_numbers_sort_as_words_exactly_as_they_are(a, b):
    ((first,), (second,)) = numbers({"n": a}), numbers({"n": b})
    assert (first < second, first == second) == (a < b, a == b)


@given(NUMBERS, NUMBERS, st.sampled_from(["lt", "le", "gt", "ge"]))
def test_order_is_the_contracts(stored, value, op):
    filter = Compare(op, "n", value)
    query, whole = within(PARTITION, filter)
    metadata = {"n": stored, "m": 1 - stored if abs(stored) < 9 else 0, "n2": value}
    document = to_document(PARTITION, record(1, **metadata))
    assert whole
    assert found(query, document) is matches(filter, metadata)


@pytest.mark.parametrize(("filter", "names"), CASES, ids=str)
def test_filters_find_what_they_mean_or_more(filter: Filter, names: str):
    query, whole = within(PARTITION, filter)
    documents = {name: to_document(PARTITION, record(name, **metadata)) for name, metadata in ROWS.items()}
    seen = {name for name, document in documents.items() if found(query, document)}
    assert seen == set(names) if whole else seen >= set(names)
    assert not any(found(query, {**document, "group_id": "another"}) for document in documents.values())


@pytest.mark.parametrize("text", NASTY)
def test_nothing_of_a_user_stands_in_a_query_but_the_partition(text):
    query, whole = within(text, Or([Compare("eq", "a", text), Not(Compare("in", "b", [text, "c"]))]))
    assert whole
    assert query["bool"]["filter"][0] == {"term": {"group_id": text}}
    assert text not in str(query["bool"]["filter"][1]) or text in ("1", "_", "null", "true")


def test_trees_stay_within_the_engines_depth():
    here = {"term": {"group_id": PARTITION}}
    deep: Filter = Exists("a")
    for _ in range(40):
        deep = Not(And([Or([deep])]))
    assert within(PARTITION, deep)[1]
    for i in range(40):
        deep = And([Or([deep, Exists(f"b{i}")]), Exists(f"c{i}")])
    assert within(PARTITION, deep) == (here, False), "the store checks it itself"
    assert within(PARTITION, None) == (here, True)
    assert within(PARTITION, Not(Or([])))[0] == {"bool": {"filter": [here, ALWAYS]}}
    assert within(PARTITION, Compare("in", "a", []))[0] == {"bool": {"filter": [here, NEVER]}}


def test_long_lists_are_divided():
    query, whole = within(PARTITION, Compare("in", "a", list(range(120_000))))
    parts = [part["terms"]["tokens"] for part in query["bool"]["filter"][1]["bool"]["should"]]
    assert whole
    assert max(map(len, parts)) <= 65_536
    assert len({token for part in parts for token in part}) == 120_000


def test_routing_is_one_plain_word():
    assert len({routing(text) for text in NASTY}) == len(NASTY)
    assert all(routing(text).isalnum() for text in [*NASTY, "a,b"])


def test_bulks_are_bounded_and_complete():
    written = [record(i, text="word " * (40_000 if i % 50 == 0 else 3)) for i in range(1_300)]
    bodies = list(_bulks(PARTITION, written))
    lines = [[msgspec.json.decode(line) for line in body.splitlines()] for body in bodies]
    assert all(len(body) <= BULK_BYTES and body.endswith(b"\n") for body in bodies)
    assert all(len(some) <= 2 * BULK_RECORDS for some in lines)
    assert [line["id"] for some in lines for line in some[1::2]] == [item.id for item in written]
    assert all(line["index"]["routing"] == routing(PARTITION) for some in lines for line in some[::2])
    assert list(_bulks(PARTITION, [])) == []


def test_vectors_are_written_normalised():
    written = Record(id=id_of(1), text="", vector=[3.0, 4.0])
    assert math.hypot(*to_document(PARTITION, written)["vector"]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (400, "parsing_exception", InvalidQuery),
        (401, "security_exception", StoreUnauthorized),
        (403, "security_exception", StoreUnauthorized),
        (403, "cluster_block_exception", StoreUnavailable),
        (404, "index_not_found_exception", InvalidQuery),
        (408, "timeout", StoreUnavailable),
        (429, "es_rejected_execution_exception", StoreRateLimited),
        (503, "no_shard_available_action_exception", StoreUnavailable),
        (418, "teapot", VectorStoreError),
    ],
)
def test_statuses_become_errors(status, kind, error):
    answer = {"error": {"type": kind, "reason": "outer", "root_cause": [{"type": kind, "reason": "the\nreason"}]}}
    fault = fault_of(status, answer, engine="E at h", setting="E_HOST", credentials="E_KEY")
    assert type(fault) is error
    assert "the reason" in str(fault)


@pytest.mark.parametrize("answer", [None, "", "<html>Bad gateway</html>", {}, {"error": "text"}, {"error": {}}])
def test_answers_of_something_else_become_errors_too(answer):
    fault = fault_of(502, answer, engine="E at h", setting="E_HOST", credentials="E_KEY")
    assert isinstance(fault, StoreUnavailable)
    assert not is_taken(answer)
