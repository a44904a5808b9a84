"""Websites by the services that Dify names: bound by a key, crawled, indexed, read anew, and gone."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.platform import Platform

from host.tests.console.console_house import Browser
from host.tests.pipelines.pipeline_house import work

from .conftest import HOME, Service

#: What Dify's console sends when nothing is changed in its form.
UNCHANGED = {
    "crawl_sub_pages": True,
    "only_main_content": True,
    "includes": "",
    "excludes": "",
    "limit": 10,
    "max_depth": "",
    "use_sitemap": True,
}
RULE = {"mode": "custom", "rules": {"pre_processing_rules": [], "segmentation": {"separator": "##", "max_tokens": 500}}}
BEES = f"{HOME}bees"


class Base:
    """A knowledge base with one document, as its owner sees it."""

    def __init__(self, owner: Browser, platform: Platform, made: dict[str, Any]) -> None:
        self._owner, self._platform = owner, platform
        self.path = f"/datasets/{made['dataset']['id']}"
        [document] = made["documents"]
        self.document_id = document["id"]

    async def document(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._owner.ok("GET", f"{self.path}/documents/{self.document_id}")
        return found

    async def texts(self) -> list[str]:
        found = await self._owner.ok("GET", f"{self.path}/documents/{self.document_id}/segments")
        return [item["content"] for item in found["data"]]

    async def synchronize(self) -> None:
        await self._owner.ok("GET", f"{self.path}/documents/{self.document_id}/website-sync")
        await work(self._platform)

    async def retry(self) -> None:
        await self._owner.ok("POST", f"{self.path}/retry", {"document_ids": [self.document_id]}, status=204)
        await work(self._platform)


async def bound(owner: Browser, service: Service, **config: Any) -> Any:
    credentials = {"auth_type": service.auth_type, "config": {**service.config, **config}}
    body = {"category": "website", "provider": service.provider, "credentials": credentials}
    return await owner("POST", "/api-key-auth/data-source/binding", body)


async def crawled(owner: Browser, platform: Platform, service: Service, **options: Any) -> dict[str, Any]:
    body = {"provider": service.provider, "url": HOME, "options": {**UNCHANGED, **options}}
    begun = await owner.ok("POST", "/website/crawl", body)
    await work(platform)
    path = f"/website/crawl/status/{begun['job_id']}?provider={service.provider}"
    found: dict[str, Any] = await owner.ok("GET", path)
    return found


@pytest.fixture
async def base(owner: Browser, platform: Platform, service: Service) -> Base:
    """A page of the site, indexed."""
    assert (await bound(owner, service)).json() == {"result": "success"}
    state = await crawled(owner, platform, service)
    assert (state["status"], state["total"], state["current"]) == ("completed", 2, 2)
    chosen = {"provider": service.provider, "job_id": state["job_id"], "urls": [BEES], "only_main_content": True}
    info = {"data_source_type": "website_crawl", "website_info_list": chosen}
    body = {"data_source": {"info_list": info}, "indexing_technique": "economy", "process_rule": RULE}
    made = await owner.ok("POST", "/datasets/init", {**body, "doc_form": "text_model"})
    await work(platform)
    return Base(owner, platform, made)


async def test_a_site_is_crawled_and_indexed_and_read_anew(base: Base, service: Service) -> None:
    document = await base.document()
    assert (document["indexing_status"], document["data_source_type"]) == ("completed", "website_crawl")
    assert await base.texts() == ["Bees dance"]
    service.site[BEES] = service.page("Bees sleep")
    await base.synchronize()
    assert await base.texts() == ["Bees sleep"]


async def test_a_page_that_is_gone_ends_its_document_until_it_is_there_again(base: Base, service: Service) -> None:
    held = service.site.pop(BEES)
    await base.synchronize()
    document = await base.document()
    assert (document["indexing_status"], BEES in document["error"]) == ("error", True)
    service.site[BEES] = held
    await base.retry()
    assert (await base.document())["indexing_status"] == "completed"
    assert await base.texts() == ["Bees dance"]


async def test_a_key_that_the_service_refuses_is_not_bound(owner: Browser, service: Service) -> None:
    refused = await bound(owner, service, api_key="key-of-nobody")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert "key-of-nobody" not in refused.text
    assert (await owner.ok("GET", "/api-key-auth/data-source")) == {"sources": []}


async def test_a_server_inside_is_not_asked_unless_the_operator_allows_it(owner: Browser, service: Service) -> None:
    refused = await bound(owner, service, base_url="http://10.0.0.1:3002")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    assert "10.0.0.1" in refused.text


async def test_one_page_alone_and_a_crawl_that_fails(owner: Browser, platform: Platform, service: Service) -> None:
    await bound(owner, service)
    alone = await crawled(owner, platform, service, crawl_sub_pages=False)
    assert [page["source_url"] for page in alone["data"]] == [HOME]
    service.site[HOME] = service.page("")
    failed = await crawled(owner, platform, service, limit=1, crawl_sub_pages=False)
    assert (failed["status"], "no text" in failed["message"]) == ("error", True)
