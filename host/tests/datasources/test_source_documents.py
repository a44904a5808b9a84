"""Documents of websites and online workspaces: made, indexed, read anew, and what happens when the source fails."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.patience import Patience
from dify_host.platform import Platform
from dify_kernel.errors import DatasourceUnavailable

from ..console.console_house import Browser
from ..pipelines.pipeline_house import work
from ..service.service_house import House

HOME = "https://site.test/"
SEGMENTATION = {"separator": "###", "max_tokens": 500}
ONE_PIECE = {"mode": "custom", "rules": {"pre_processing_rules": [], "segmentation": SEGMENTATION}}
OPTIONS = {"indexing_technique": "economy", "process_rule": ONE_PIECE, "doc_form": "text_model"}


class Base:
    """A knowledge base, and its documents by name."""

    def __init__(self, owner: Browser, house: House, platform: Platform, made: dict[str, Any]) -> None:
        self.owner, self.house, self.platform = owner, house, platform
        self.id = made["dataset"]["id"]
        self.path = f"/datasets/{self.id}"
        self.documents = {item["name"]: item["id"] for item in made["documents"]}

    async def document(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = await self.owner.ok("GET", f"{self.path}/documents/{self.documents[name]}")
        return found

    async def texts(self, name: str) -> list[str]:
        found = await self.owner.ok("GET", f"{self.path}/documents/{self.documents[name]}/segments")
        return [item["content"] for item in found["data"]]

    async def sync(self, name: str, route: str) -> None:
        await self.owner.ok("GET", f"{self.path}/documents/{self.documents[name]}/{route}")
        await work(self.platform)


async def crawl(owner: Browser, platform: Platform, **options: Any) -> dict[str, Any]:
    body = {"provider": "memory", "url": HOME, "options": options}
    begun = await owner.ok("POST", "/website/crawl", body)
    assert begun["status"] == "active"
    path = f"/website/crawl/status/{begun['job_id']}?provider=memory"
    assert (await owner.ok("GET", path))["status"] == "active"
    assert "crawl_website" in await work(platform)
    found: dict[str, Any] = await owner.ok("GET", path)
    return found


async def made(owner: Browser, house: House, platform: Platform, info: dict[str, Any]) -> Base:
    found = await owner.ok("POST", "/datasets/init", {"data_source": {"info_list": info}, **OPTIONS})
    await work(platform)
    return Base(owner, house, platform, found)


def websites(job_id: str, *urls: str) -> dict[str, Any]:
    pages = {"provider": "memory", "job_id": job_id, "urls": list(urls), "only_main_content": True}
    return {"data_source_type": "website_crawl", "website_info_list": pages}


def notion(credential_id: str, *ids: str) -> dict[str, Any]:
    pages = [{"page_id": key, "page_name": f"name of {key}", "page_icon": None, "type": "page"} for key in ids]
    listed = [{"credential_id": credential_id, "workspace_id": "w", "pages": pages}]
    return {"data_source_type": "notion_import", "notion_info_list": listed}


@pytest.fixture
async def site(owner: Browser, house: House, platform: Platform, credential_id: str) -> Base:
    """Two pages of the site, indexed."""
    state = await crawl(owner, platform)
    return await made(owner, house, platform, websites(state["job_id"], f"{HOME}bees", f"{HOME}ants"))


@pytest.fixture
async def pages(owner: Browser, house: House, platform: Platform, credential_id: str) -> Base:
    """Both documents of the workspace, indexed."""
    return await made(owner, house, platform, notion(credential_id, "p1", "p2"))


async def test_a_website_is_crawled_and_its_pages_are_indexed_as_the_crawl_read_them(
    owner: Browser, house: House, platform: Platform, credential_id: str, sources: Any
) -> None:
    state = await crawl(owner, platform, limit=3, includes="", max_depth=2)
    assert (state["status"], state["total"], state["current"]) == ("completed", 3, 3)
    assert {"title", "description", "source_url", "markdown"} == set(state["data"][0])
    sources.READ.clear()
    base = await made(owner, house, platform, websites(state["job_id"], f"{HOME}bees"))
    document = await base.document(f"{HOME}bees")
    assert (document["indexing_status"], document["data_source_type"]) == ("completed", "website_crawl")
    assert await base.texts(f"{HOME}bees") == ["Bees dance."]
    assert sources.READ == []
    assert (await owner.ok("GET", base.path))["data_source_type"] == "website_crawl"


async def test_a_crawl_that_fails_says_why(
    owner: Browser, platform: Platform, credential_id: str, sources: Any
) -> None:
    sources.FAILURES.append(DatasourceUnavailable("The site is away.", hint="Try again later."))
    state = await crawl(owner, platform)
    assert (state["status"], state["message"]) == ("error", "The site is away. Try again later.")


async def test_a_crawl_is_seen_by_its_workspace_and_provider_only(
    owner: Browser, stranger: Browser, platform: Platform, credential_id: str
) -> None:
    job = (await crawl(owner, platform))["job_id"]
    for browser, path in (
        (stranger, f"{job}?provider=memory"),
        (owner, f"{job}?provider=web"),
        (owner, "..%2Fx?provider=memory"),
    ):
        assert (await browser("GET", f"/website/crawl/status/{path}")).status_code == 404, path


async def test_a_crawl_needs_credentials_and_options_that_fit(owner: Browser, sources: Any) -> None:
    wanted = {"provider": "memory", "url": HOME, "options": {}}
    refused = await owner("POST", "/website/crawl", wanted)
    assert (refused.status_code, refused.json()["code"]) == (400, "datasource_credentials_missing")
    refused = await owner("POST", "/website/crawl", {**wanted, "provider": "nobody"})
    assert (refused.status_code, refused.json()["code"]) == (404, "datasource_not_found")
    refused = await owner("POST", "/website/crawl", {**wanted, "provider": "web", "options": {"limit": "many"}})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")


async def test_a_page_is_read_anew_and_indexed_only_when_it_has_changed(site: Base, sources: Any) -> None:
    bees = f"{HOME}bees"
    before = await site.owner.ok("GET", f"{site.path}/documents/{site.documents[bees]}/segments")
    sources.READ.clear()
    for _ in range(2):  # the first reading leaves the crawl behind, the second compares
        await site.sync(bees, "website-sync")
    assert [bees, bees] == sources.READ
    after = await site.owner.ok("GET", f"{site.path}/documents/{site.documents[bees]}/segments")
    assert after["data"] == before["data"]
    assert (await site.document(bees))["indexing_status"] == "completed"
    sources.PAGES[bees] = ("Bees sleep.", ())
    await site.sync(bees, "website-sync")
    assert await site.texts(bees) == ["Bees sleep."]
    assert await site.texts(f"{HOME}ants") == ["Ants march."]


async def test_a_page_that_is_gone_ends_its_document_and_a_retry_reads_it_again(site: Base, sources: Any) -> None:
    bees = f"{HOME}bees"
    held = sources.PAGES.pop(bees)
    await site.sync(bees, "website-sync")
    document = await site.document(bees)
    assert document["indexing_status"] == "error"
    assert "There is no page" in document["error"]
    sources.PAGES[bees] = held
    await site.owner.ok("POST", f"{site.path}/retry", {"document_ids": [document["id"]]}, status=204)
    await work(site.platform)
    assert (await site.document(bees))["indexing_status"] == "completed"


async def test_a_source_that_is_away_for_a_moment_is_asked_again(pages: Base, platform: Platform, sources: Any) -> None:
    sources.TEXTS["p1"] = ("Bees", "Bees hum.", "2025-09-09T00:00:00.000Z")
    await pages.owner.ok("GET", f"{pages.path}/documents/{pages.documents['name of p1']}/notion/sync")
    sources.FAILURES.append(DatasourceUnavailable("Slow down."))
    indexer = Indexer(
        platform.db,
        platform.storage,
        platform.vectors,
        platform.models_of,
        remote=platform.datasources.documents,
        patience=Patience(attempts=2, pause=0.01),
    )
    assert await indexer.run(pages.documents["name of p1"])
    assert await pages.texts("name of p1") == ["Bees hum."]


async def test_online_documents_are_listed_shown_and_indexed(owner: Browser, pages: Base, credential_id: str) -> None:
    path = f"/notion/pre-import/pages?credential_id={credential_id}"
    [workspace] = (await owner.ok("GET", path))["notion_info"]
    assert workspace["workspace_name"] == "Memory"
    assert [page["is_bound"] for page in workspace["pages"]] == [False, False]
    [workspace] = (await owner.ok("GET", f"{path}&dataset_id={pages.id}"))["notion_info"]
    assert [page["is_bound"] for page in workspace["pages"]] == [True, True]
    shown = await owner.ok("GET", f"/notion/pages/p1/page/preview?credential_id={credential_id}")
    assert shown == {"content": "# Bees\n\nBees dance."}
    info = (await pages.document("name of p2"))["data_source_info"]
    assert (info["notion_page_id"], info["last_edited_time"]) == ("p2", "2025-02-01T10:00:00.000Z")
    assert await pages.texts("name of p2") == ["Ants march."]


async def test_what_is_in_the_knowledge_base_is_not_added_twice(
    owner: Browser, pages: Base, credential_id: str
) -> None:
    body = {"data_source": {"info_list": notion(credential_id, "p1", "p2")}, **OPTIONS}
    assert (await owner.ok("POST", f"{pages.path}/documents", body))["documents"] == []


async def test_a_synchronized_workspace_reads_only_what_was_edited(pages: Base, sources: Any) -> None:
    sources.READ.clear()
    sources.TEXTS["p2"] = ("Ants", "Ants dig.", "2025-10-01T10:00:00.000Z")
    await pages.owner.ok("GET", f"{pages.path}/notion/sync")
    await work(pages.platform)
    assert sources.READ == ["p2"]
    assert await pages.texts("name of p2") == ["Ants dig."]
    assert [(await pages.document(name))["indexing_status"] for name in pages.documents] == ["completed", "completed"]


async def test_credentials_that_are_gone_end_the_document_with_the_reason(
    owner: Browser, pages: Base, credential_id: str, sources: Any
) -> None:
    await owner.ok("POST", "/auth/plugin/datasource/memory/delete", {"credential_id": credential_id})
    await pages.sync("name of p1", "notion/sync")
    document = await pages.document("name of p1")
    assert (document["indexing_status"], "Credential not found" in document["error"]) == ("error", True)


async def test_only_documents_of_the_source_can_be_synchronized(pages: Base) -> None:
    path = f"{pages.path}/documents/{pages.documents['name of p1']}"
    refused = await pages.owner("GET", f"{path}/website-sync")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
    await pages.owner.ok("GET", f"{path}/notion/sync")
    assert (await pages.owner("GET", f"{path}/notion/sync")).status_code == 400  # it waits already


async def test_estimates_read_the_source_and_keep_nothing(
    owner: Browser, platform: Platform, credential_id: str
) -> None:
    rule = {"process_rule": ONE_PIECE}
    body = {"notion_info_list": notion(credential_id, "p1", "p2")["notion_info_list"], **rule}
    found = await owner.ok("POST", "/datasets/notion-indexing-estimate", body)
    assert (found["total_segments"], found["preview"][1]["content"]) == (2, "Ants march.")
    job = (await crawl(owner, platform))["job_id"]
    body = {"info_list": websites(job, f"{HOME}bees"), **rule}
    found = await owner.ok("POST", "/datasets/indexing-estimate", body)
    assert [item["content"] for item in found["preview"]] == ["Bees dance."]
    assert (await owner.ok("GET", "/datasets"))["total"] == 0


async def test_choosing_no_page_is_refused(owner: Browser, credential_id: str) -> None:
    for info in (notion(credential_id), websites("x"), {"data_source_type": "website_crawl"}):
        body = {"data_source": {"info_list": info}, **OPTIONS}
        refused = await owner("POST", "/datasets/init", body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
