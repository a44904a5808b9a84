"""External knowledge: APIs registered, datasets bound to them, and their answers in hit testing and in apps."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from dify_host.db.types import new_id
from dify_host.identity.tables import tenant_keys
from dify_host.identity.tenant_keys import TenantKeys
from dify_host.knowledge.errors import ExternalApiInUse, ExternalApiNotFound, ExternalKnowledgeFailed
from dify_host.knowledge.external import HIDDEN, ExternalKnowledge
from dify_host.knowledge.retrieval import Asker
from dify_host.knowledge.services import Knowledge
from dify_host.knowledge.tables import dataset_queries, external_knowledge_apis
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_host.net.crypto import KeyRing
from dify_kernel.contracts.ports import Retrieval
from dify_kernel.errors import BadInput

from .external_api import KEY, ExternalServer, external_server
from .house import House

CONDITIONS = {
    "logical_operator": "and",
    "conditions": [{"name": "page", "comparison_operator": ">", "value": 1}],
}


@pytest.fixture
def server() -> Iterator[ExternalServer]:
    with external_server() as server:
        yield server


@pytest.fixture
async def http() -> AsyncIterator[GuardedClient]:
    async with GuardedClient(OutboundSettings(ssrf_allowed_hosts=["127.0.0.1"])) as client:
        yield client


@pytest.fixture
async def knowledge(house: House, http: GuardedClient) -> Knowledge:
    keyring = KeyRing("a secret key of the tests")
    wrapped = base64.b64encode(keyring.new_tenant_key(house.tenant.id)).decode()
    async with house.db.write() as conn:
        await conn.execute(tenant_keys.insert().values(tenant_id=house.tenant.id, wrapped_key=wrapped))
    return msgspec.structs.replace(house.knowledge, http=http, keys=TenantKeys(house.db, keyring))


async def bound(house: House, external: ExternalKnowledge, server: ExternalServer, **retrieval: Any) -> str:
    api = await external.create("Library", server.url, KEY, house.user)
    return await external.create_dataset("Drinks", api.id, "drinks", house.user, retrieval=retrieval)


async def test_an_api_is_tried_and_its_key_is_kept_encrypted(
    house: House, knowledge: Knowledge, server: ExternalServer
) -> None:
    external = knowledge.external
    made = await external.create("Library", server.url + "/", KEY, house.user)
    assert made.settings["endpoint"] == server.url
    assert KEY not in json.dumps(made.settings)
    async with house.db.read() as conn:
        stored = (await conn.execute(sa.select(external_knowledge_apis.c.settings))).scalar_one()
    assert KEY not in stored
    for endpoint, key, error in (
        (server.url, "wrong", ExternalKnowledgeFailed),
        (server.url + "/elsewhere", KEY, ExternalKnowledgeFailed),
        ("http://10.0.0.1/v1", KEY, ExternalKnowledgeFailed),
        ("ftp://127.0.0.1", KEY, BadInput),
        (server.url, "", BadInput),
    ):
        with pytest.raises(error):
            await external.create("Other", endpoint, key, house.user)
    assert (await external.find(keyword="libr")).total == 1
    assert (await external.find(keyword="other")).total == 0


async def test_a_hidden_key_stays_and_goes_to_no_other_place(
    house: House, knowledge: Knowledge, server: ExternalServer
) -> None:
    external = knowledge.external
    made = await external.create("Library", server.url, KEY, house.user)
    for shown in (None, HIDDEN, made.settings["api_key"]):
        renamed = await external.update(made.id, "Renamed", server.url, shown, house.user)
        assert renamed.name == "Renamed"
        with external_server() as stranger, pytest.raises(BadInput, match="another endpoint"):
            await external.update(made.id, "Renamed", stranger.url, shown, house.user)
    with pytest.raises(ExternalKnowledgeFailed):
        await external.update(made.id, "Renamed", server.url, "wrong", house.user)


async def test_an_api_in_use_is_not_deleted(house: House, knowledge: Knowledge, server: ExternalServer) -> None:
    external = knowledge.external
    dataset_id = await bound(house, external, server)
    (api,) = (await external.find()).data
    assert api.dataset_bindings == [{"id": dataset_id, "name": "Drinks"}]
    assert await external.uses(api.id) == 1
    info = (await external.infos([dataset_id]))[dataset_id]
    assert (info.external_knowledge_id, info.external_knowledge_api_name) == ("drinks", "Library")
    with pytest.raises(ExternalApiInUse, match="Drinks"):
        await external.delete(api.id)
    async with house.db.write() as conn:
        await external.unbind(conn, dataset_id)
    await external.delete(api.id)
    with pytest.raises(ExternalApiNotFound):
        await external.get(api.id)


async def test_hit_testing_asks_the_api_with_everything_it_is_told(
    house: House, knowledge: Knowledge, server: ExternalServer
) -> None:
    dataset_id = await bound(house, knowledge.external, server, top_k=3)
    ask = knowledge.retriever.retrieve_external
    found = await ask(dataset_id, "tea", Asker(user_id=house.user))
    assert [(hit.title, hit.score, hit.metadata) for hit in found] == [
        ("cups.txt", 0.98, {}),
        ("hills.txt", 0.4, {"page": 2}),
    ]
    wish = {"top_k": 1, "score_threshold": 0.5, "score_threshold_enabled": True}
    await ask(dataset_id, "tea", Asker(user_id=house.user), wish, CONDITIONS)
    assert server.asked == [
        {
            "retrieval_setting": {"top_k": 3, "score_threshold": 0.0},
            "query": "tea",
            "knowledge_id": "drinks",
            "metadata_condition": None,
        },
        {
            "retrieval_setting": {"top_k": 1, "score_threshold": 0.5},
            "query": "tea",
            "knowledge_id": "drinks",
            "metadata_condition": CONDITIONS,
        },
    ]
    await house.recorded()
    async with house.db.read() as conn:
        assert len((await conn.execute(sa.select(dataset_queries))).all()) == 2
    with pytest.raises(BadInput, match="external"):
        await knowledge.retriever.retrieve(dataset_id, "tea", Asker(user_id=house.user))
    inner = await house.dataset()
    with pytest.raises(BadInput, match="not external"):
        await ask(inner.id, "tea", Asker(user_id=house.user))
    with pytest.raises(BadInput, match="250"):
        await ask(dataset_id, "x" * 251, Asker(user_id=house.user))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((403, '{"error_code": 1002, "error_msg": "Authorization failed"}'), "1002: Authorization failed"),
        ((400, '{"error_code": 2001, "error_msg": "The knowledge does not exist"}'), "2001"),
        ((500, "<html>out of order</html>"), "500: <html>out of order"),
        ((200, "not json"), "no list of records"),
        ((200, '{"records": "none"}'), "no list of records"),
        ((200, '{"answers": []}'), "no list of records"),
    ],
)
async def test_what_an_api_says_instead_of_records_is_told(
    house: House, knowledge: Knowledge, server: ExternalServer, answer: tuple[int, str], said: str
) -> None:
    dataset_id = await bound(house, knowledge.external, server)
    server.answer = answer
    with pytest.raises(ExternalKnowledgeFailed, match=said) as caught:
        await knowledge.retriever.retrieve_external(dataset_id, "tea", Asker(user_id=house.user))
    assert KEY not in str(caught.value)


async def test_an_app_asks_inner_and_external_knowledge_at_once(
    house: House, knowledge: Knowledge, server: ExternalServer
) -> None:
    dataset_id = await bound(house, knowledge.external, server)
    inner = await house.dataset("Shop")
    await house.add(inner.id, "Tea costs two euros\nA bus ticket costs three euros", "prices")
    port = knowledge.runtime(Asker(user_id=house.user, role="end_user", source="app", app_id=new_id()))
    found = await port.retrieve(Retrieval(query="tea costs", dataset_ids=[dataset_id, inner.id], top_k=3))
    scores = [item["metadata"]["score"] for item in found]
    assert scores == sorted(scores, reverse=True)
    assert [item["metadata"]["position"] for item in found] == [1, 2, 3]
    (cups,) = [item for item in found if item["title"] == "cups.txt"]
    assert cups["content"] == "Tea is drunk in cups."
    metadata = cups["metadata"]
    assert (metadata["dataset_name"], metadata["data_source_type"]) == ("Drinks", "external")
    assert (metadata["document_name"], metadata["segment_id"], metadata["_source"]) == ("cups.txt", None, "knowledge")
    alone = await port.retrieve(Retrieval(query="tea", dataset_ids=[dataset_id], top_k=1))
    assert len(alone) == 2, "how many one external dataset gives is its API's to decide"
    ranked = await port.retrieve(
        Retrieval(
            query="grown in hills",
            dataset_ids=[dataset_id, inner.id],
            top_k=1,
            reranking_enable=True,
            reranking_model={"provider": "fake", "model": "r"},
        )
    )
    assert [item["title"] for item in ranked] == ["hills.txt"]


async def test_another_tenants_api_cannot_be_bound(house: House, knowledge: Knowledge, server: ExternalServer) -> None:
    with pytest.raises(ExternalApiNotFound):
        await knowledge.external.create_dataset("Theirs", new_id(), "drinks", house.user)
    async with house.db.read() as conn:
        assert (await conn.execute(sa.select(external_knowledge_apis))).all() == []
