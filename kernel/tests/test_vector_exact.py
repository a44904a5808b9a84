"""What keeps a store exact over an engine that is not: narrowing, tokens, over-fetching, going through a partition."""

import pytest
from dify_kernel.contracts.lexical import Bm25, bm25, text_terms
from dify_kernel.contracts.vector import And, Compare, Exists, Not, Or
from dify_kernel.contracts.vector_exact import (
    full_text_pages,
    fused,
    narrow,
    over_fetch,
    pages,
    plain,
    ranked,
    search_pages,
)
from dify_kernel.contracts.vector_fit import native_name, split_text, until_visible
from dify_kernel.contracts.vector_rules import matches
from dify_kernel.contracts.vector_tokens import leaf_tokens, metadata_tokens, said_by_tokens
from dify_kernel.errors import StoreUnavailable
from dify_kernel.testing.memory_vector import MemoryVectorStore
from dify_kernel.testing.vector.data import SPACE, P, at_angle, record, seed
from dify_kernel.testing.vector.filtering import CASES, ROWS
from hypothesis import given
from hypothesis import strategies as st

SCALARS = st.sampled_from(["", "a", "A", "1", "true", 0, 1, 1.0, 1.5, -2, 2**53 + 1, 2.0**53, True, False])
TEXTS = st.sampled_from(["", "a", "1"])
METADATA = st.dictionaries(st.sampled_from("fg"), SCALARS | st.lists(TEXTS, max_size=2), max_size=2)
LEAVES = st.one_of(
    st.builds(Compare, st.sampled_from(["eq", "ne"]), st.sampled_from("fg"), SCALARS),
    st.builds(Compare, st.sampled_from(["in", "not_in"]), st.sampled_from("fg"), st.lists(SCALARS, max_size=2)),
    st.builds(Compare, st.sampled_from(["lt", "ge"]), st.sampled_from("fg"), st.integers(-2, 2)),
    st.builds(Compare, st.sampled_from(["contains", "starts_with"]), st.sampled_from("fg"), TEXTS),
    st.builds(Exists, st.sampled_from("fg")),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3)),
        st.builds(Or, st.lists(inner, max_size=3)),
        st.builds(Not, inner),
    ),
    max_leaves=6,
)


def holds(filter, tokens):
    """A filter of leaves that tokens say, asked of tokens alone, as an engine would."""
    match filter:
        case None:
            return True
        case And(items):
            return all(holds(item, tokens) for item in items)
        case Or(items):
            return any(holds(item, tokens) for item in items)
        case Not(item):
            return not holds(item, tokens)
        case leaf:
            return not tokens.isdisjoint(leaf_tokens(leaf))


@given(FILTERS, METADATA)
def test_plain_means_the_same(filter, metadata):
    assert matches(plain(filter), metadata) is matches(filter, metadata)


@given(FILTERS, METADATA)
def test_what_narrow_leaves_holds_for_every_match(filter, metadata):
    said, whole = narrow(filter, said_by_tokens)
    found = holds(said, set(metadata_tokens(metadata)))
    assert found or not matches(filter, metadata)
    assert not whole or found is matches(filter, metadata)


def test_tokens_say_every_case_of_the_suite_that_narrow_calls_whole():
    whole_cases = 0
    for filter, names in CASES:
        said, whole = narrow(filter, said_by_tokens)
        found = {name for name, row in ROWS.items() if holds(said, set(metadata_tokens(row)))}
        assert found >= set(names), filter
        assert not whole or found == set(names), filter
        whole_cases += whole
    assert whole_cases > len(CASES) / 2


def test_an_engine_without_filters_is_told_nothing():
    assert narrow(And([Compare("eq", "f", 1), Exists("g")]), lambda leaf: False) == (None, False)
    assert narrow(None, lambda leaf: False) == (None, True)
    assert narrow(Compare("lt", "f", 1), said_by_tokens) == (Exists("f"), False)


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 12), st.integers(1, 80))
async def test_over_fetching_is_exact_or_says_that_it_is_not(kept, top_k, most):
    async def fetch(limit):
        assert limit <= most
        return list(enumerate(kept))[:limit]

    found = await over_fetch(fetch, lambda item: item[1], top_k, most=most)
    wanted = [item for item in enumerate(kept) if item[1]][:top_k]
    if found is None:
        assert len(kept) >= most
        assert sum(kept[:most]) < top_k
    else:
        assert found == wanted


@pytest.fixture
async def store():
    store = MemoryVectorStore()
    await store.open()
    yield store
    await store.close()


async def test_going_through_a_partition_finds_what_the_store_finds(store):
    texts = ("plum", "plum pear", "none", "pear pear plum", "")
    await seed(store, *[record(i, text=texts[i % 5], page=i) for i in range(40)])
    vector, filter = at_angle(17), Compare("ge", "page", 9)
    for top_k in (1, 7, 100):
        found = await search_pages(pages(store, SPACE, P, 6), vector, top_k=top_k, threshold=-0.2, filter=filter)
        wanted = await store.search(SPACE, P, vector, top_k=top_k, threshold=-0.2, filter=filter)
        assert found == wanted
        found = await full_text_pages(pages(store, SPACE, P, 6), "plum pear", top_k=top_k, filter=filter)
        assert found == await store.full_text(SPACE, P, "plum pear", top_k=top_k, filter=filter)
        found = await fused(store, SPACE, P, vector, "pear", top_k=top_k, filter=filter)
        assert found == await store.hybrid(SPACE, P, vector, "pear", top_k=top_k, filter=filter)


def test_ranked_scores_by_the_vectors():
    records = [record(angle, vector=at_angle(angle, 3.0)) for angle in (50, 10, 170)]
    hits = ranked(at_angle(0), records, top_k=2)
    assert [hit.id for hit in hits] == [records[1].id, records[0].id]


def test_candidates_rank_as_rare_words_do_when_the_number_of_documents_is_known():
    documents = {"a": "apple", "b": "apple quince", **{str(i): "filler" for i in range(8)}}
    words = Bm25("apple quince")
    assert words.add((id, documents[id]) for id in ("a", "b")) == {"a", "b"}
    assert [id for id, _ in words.ranked(len(documents))] == [id for id, _ in bm25("apple quince", documents)]


@given(st.text(max_size=40), st.integers(4, 9))
def test_split_text_joins_again(text, size):
    pieces = split_text(text, size)
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= size for piece in pieces)
    assert all(pieces) or pieces == [""]


@given(st.text(min_size=1, max_size=90), st.text(min_size=1, max_size=90))
def test_native_names_are_short_plain_and_apart(a, b):
    for name in (a, b):
        native = native_name(name, prefix="dify_", limit=48)
        assert len(native) <= 48
        assert native.startswith("dify_")
        assert set(native) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert (native_name(a) == native_name(b)) is (a == b)
    assert native_name("Suite_Six") != native_name("suite_six")


def test_a_limit_without_room_is_refused():
    with pytest.raises(ValueError, match="no room"):
        native_name("a", prefix="a_long_prefix_", limit=30)


def test_terms_fit_every_engine():
    assert max(map(len, text_terms("a" * 5000 + " b" * 3))) <= 64
    assert text_terms("x" * 100) != text_terms("x" * 99 + "y")


async def test_waiting_ends_when_it_is_seen_and_complains_when_it_is_not():
    answers = iter([False, False, True])

    async def seen():
        return next(answers)

    await until_visible(seen)

    async def never():
        return False

    with pytest.raises(StoreUnavailable, match="not visible"):
        await until_visible(never, seconds=0.05)
