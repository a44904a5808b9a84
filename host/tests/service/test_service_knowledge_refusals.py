"""What the knowledge API refuses, and that nothing of it stays."""

from __future__ import annotations

from typing import Any

import pytest

from .knowledge_calls import add_text, index_all, make
from .service_house import House, Key

SETTINGS: dict[str, Any] = {
    "search_method": "semantic_search",
    "reranking_enable": False,
    "top_k": 3,
    "score_threshold_enabled": False,
}


@pytest.fixture
async def key(house: House) -> Key:
    return await house.dataset_key()


@pytest.mark.parametrize(
    "wrong",
    [
        {"reranking_mode": "by_chance"},
        {"reranking_mode": "weighted_score", "weights": {"vector_setting": {"vector_weight": "NaN"}}},
        {"reranking_mode": "weighted_score", "weights": {"keyword_setting": {"keyword_weight": "Infinity"}}},
        {"score_threshold_enabled": True, "score_threshold": "NaN"},
        {"metadata_filtering_conditions": {"conditions": [{"comparison_operator": "is", "value": "red"}]}},
        {"metadata_filtering_conditions": {"conditions": [{"name": "color", "comparison_operator": "=="}]}},
        {"top_k": 10**30},
    ],
)
async def test_settings_that_no_search_could_follow_are_not_kept(house: House, key: Key, wrong: dict[str, Any]) -> None:
    dataset = await make(key, retrieval_model=SETTINGS)
    path = f"/datasets/{dataset['id']}"
    await add_text(key, dataset["id"])
    await index_all(house)
    for method, to, body in (
        ("PATCH", path, {"retrieval_model": {**SETTINGS, **wrong}}),
        ("POST", "/datasets", {"name": "Other", "retrieval_model": {**SETTINGS, **wrong}}),
        ("POST", f"{path}/retrieve", {"query": "wheel", "retrieval_model": {**SETTINGS, **wrong}}),
    ):
        refused = await key(method, to, body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param"), refused.text
    assert (await key("GET", path)).json()["retrieval_model_dict"] == dataset["retrieval_model_dict"]
    found = await key("POST", f"{path}/retrieve", {"query": "wheel"})
    assert len(found.json()["records"]) == 1, found.text


async def test_settings_are_shown_with_every_field(key: Key) -> None:
    shown = (await make(key, retrieval_model=SETTINGS))["retrieval_model_dict"]
    names = dict.fromkeys(("reranking_provider_name", "reranking_model_name"))
    rest = dict.fromkeys(("reranking_mode", "weights", "score_threshold"))
    assert shown == {**SETTINGS, **rest, "reranking_model": names}


async def test_as_many_hits_as_a_knowledge_base_can_have(house: House, key: Key) -> None:
    path = f"/datasets/{(await make(key))['id']}"
    await add_text(key, path.rpartition("/")[2])
    await index_all(house)
    found = await key("POST", f"{path}/retrieve", {"query": "wheel", "retrieval_model": {**SETTINGS, "top_k": 10_000}})
    assert len(found.json()["records"]) == 1, found.text
