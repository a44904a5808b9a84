"""Pictures that documents link to: fetched while they are indexed, in bounds; one that fails leaves its link."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from dify_host.db.engine import Database
from dify_host.knowledge.documents import DocumentOptions
from dify_host.knowledge.extract.extractor import Extractor
from dify_host.knowledge.extract.pictures import LinkedPicture, placed
from dify_host.knowledge.indexing import Indexer
from dify_host.knowledge.picture_fetch import PictureFetcher
from dify_host.knowledge.pipeline_documents import SourceItem
from dify_host.knowledge.remote import WEBSITE_CRAWL, Fetched, content_hash
from dify_host.net.client import GuardedClient, OutboundSettings
from dify_kernel.registry import Registry
from dify_kernel.settings import Secret
from dify_kernel.testing.loopback import Answer, Asked, Loopback, loopback
from docx import Document
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import parse_xml
from hypothesis import given, settings
from hypothesis import strategies as st

from .house import House, custom_rule, embedded_stores
from .picture_run import FolderStorage
from .test_indexing import upload
from .test_pictures import docx, png, stored

SCRIPT = Path(__file__).with_name("picture_run.py")
LINK = re.compile(r"/files/[0-9a-f-]{36}/file-preview")
#: Ends the wait of the server that does not answer.
ENDED = threading.Event()


def answer(asked: Asked) -> Answer:
    """A picture of a color by its number; other paths fail in their own way."""
    name = asked.path.strip("/")
    if name.isdecimal():
        return 200, {"Content-Type": "image/png"}, png(int(name))
    if name == "moved":
        return 302, {"Location": "/7"}, b""
    if name == "slow":
        ENDED.wait(30)
    if name == "inner":
        return 302, {"Location": "http://169.254.169.254/7"}, b""
    return {
        "large": (200, {}, png(1) + bytes(3 * 1024 * 1024)),
        "page": (200, {"Content-Type": "image/png"}, b"<html>"),
        "error": (500, {"Content-Type": "image/png"}, png(1)),
    }.get(name, (404, {}, b""))


@pytest.fixture
def site() -> Iterator[Loopback]:
    ENDED.clear()
    with loopback(answer) as running:
        yield running
        ENDED.set()


@pytest.fixture
async def http() -> AsyncIterator[GuardedClient]:
    async with GuardedClient(OutboundSettings(ssrf_allowed_hosts=["127.0.0.1"])) as client:
        yield client


def linked(*addresses: str) -> list[LinkedPicture]:
    return [LinkedPicture(digest=str(number), address=address) for number, address in enumerate(addresses)]


def docx_with_links(*addresses: str) -> bytes:
    """A picture inside, and for each address a paragraph with a picture outside."""
    document = Document(io.BytesIO(docx(1)))
    for address in addresses:
        name = document.part.relate_to(address, RELATIONSHIP_TYPE.IMAGE, is_external=True)
        spaces = 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
        spaces += ' xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
        document.add_paragraph("Outside ")._p.append(parse_xml(f'<a:blip {spaces} r:link="{name}"/>'))
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


HTML = """<p>One <img src="http://a.test/1.png" alt="a [wheel]
here"> two <img src="/local.png"><img src="http://a.test/dot.gif" width="1" height=1>
<img src="data:image/gif;base64,R0lGODlh"> <script>x</script></p>"""
MARKDOWN = """# Top ![](http://a.test/t)
See ![a wheel](http://a.test/w_(1).png "title") and [no picture](http://a.test/x) and ![](<http://a.test/y>)
`![](http://a.test/code)` ![](relative.png) ![again](http://a.test/t)
```
![](http://a.test/fenced)
```"""
TAGS = """One <img src="http://a.test/1.png?a=1&amp;b=2" alt='a [wheel]'/> two <img
  width=40
  src=http://a.test/2.png>
<p><img alt=dot src="data:image/gif;base64,R0lGODlh"> and <img src="local.png"> `<img src='http://a.test/code'>`</p>"""
BASED = """<base href="https://a.test/docs/"><p><img src="x/1.png"><img src="http://b.test/2.png"><img><img src="//[x">
<img src="data:image/gif;base64,R0lGODlh"><img src="mailto:x">"""


async def test_the_pictures_that_a_document_links_to_are_named() -> None:
    read = await Extractor().illustrated(HTML.encode(), "a.html")
    addresses = {item.digest: item.address for item in read.linked}
    assert list(addresses.values()) == ["http://a.test/1.png"]
    (gif,) = read.pictures
    lines = placed(read.texts[0].text, addresses).split("\n")
    assert lines == ["One ![a (wheel) here](http://a.test/1.png) two ", f"![image](picture:{gif.digest})"]

    read = await Extractor().illustrated(MARKDOWN.encode(), "a.md")
    addresses = {item.digest: item.address for item in read.linked}
    assert list(addresses.values()) == ["http://a.test/t", "http://a.test/w_(1).png", "http://a.test/y"]
    assert sum(text.text.count("](picture:") for text in read.texts) == 4
    wanted = MARKDOWN.replace("# ", "").replace("<", "").replace(">", "")
    assert "\n".join(placed(text.text, addresses) for text in read.texts) == wanted

    read = await Extractor().illustrated(TAGS.encode(), "a.md")
    addresses = {item.digest: item.address for item in read.linked}
    assert list(addresses.values()) == ["http://a.test/1.png?a=1&b=2", "http://a.test/2.png"]
    (gif,) = read.pictures
    assert placed(read.texts[0].text, addresses) == (
        "One ![a (wheel)](http://a.test/1.png?a=1&b=2) two ![image](http://a.test/2.png)\n"
        f"![dot](picture:{gif.digest}) and  `<img src='http://a.test/code'>`"
    )

    read = await Extractor().illustrated(BASED.encode(), "a.html")
    assert [item.address for item in read.linked] == ["https://a.test/docs/x/1.png", "http://b.test/2.png"]
    assert len(read.pictures) == 1
    read = await Extractor().illustrated(BASED.replace("https://a.test", "").encode(), "a.html")
    assert [item.address for item in read.linked] == ["http://b.test/2.png"]

    read = await Extractor().illustrated(docx_with_links("http://a.test/d"), "a.docx")
    assert [item.address for item in read.linked] == ["http://a.test/d"]
    assert len(read.pictures) == 1
    assert read.texts[0].text.endswith(f"Outside ![image](picture:{read.linked[0].digest})")


async def test_there_is_a_bound_on_how_many_are_named() -> None:
    many = "\n".join(f"![](http://a.test/{number})" for number in range(80))
    read = await Extractor().illustrated(f"{many}\n![](http://a.test/{'x' * 3000})".encode(), "a.md")
    assert len(read.linked) == 50
    assert read.texts[0].text.count("](http://a.test/") == 31


async def test_what_comes_is_a_picture_and_nothing_else(site: Loopback, http: GuardedClient) -> None:
    names = ["7", "moved", "large", "page", "error", "missing", "inner"]
    wrong = ["http://169.254.169.254/7", "http://nobody.invalid/7", "http://user:word@127.0.0.1/7", "http://[::1"]
    found = await PictureFetcher(http).fetch(linked(*(f"{site.url}/{name}" for name in names), *wrong, "http:"))
    assert {name: picture.data for name, picture in found.items()} == {"0": png(7), "1": png(7)}
    assert {asked.headers["accept"].split(",")[0] for asked in site.asked} == {"image/png"}
    assert await PictureFetcher(http, largest=0).fetch(linked(f"{site.url}/7")) == {}
    assert await PictureFetcher(http, largest=20).fetch(linked(f"{site.url}/7")) == {}


async def test_a_slow_one_does_not_take_the_others_with_it(site: Loopback, http: GuardedClient) -> None:
    slow, quick = f"{site.url}/slow", f"{site.url}/7"
    began = time.monotonic()
    found = await PictureFetcher(http, seconds=2).fetch(linked(slow, slow + "?2", slow + "?3", slow + "?4", quick))
    assert list(found) == ["4"]
    found = await PictureFetcher(http, document_seconds=2).fetch(linked(quick, slow))
    assert list(found) == ["0"]
    assert time.monotonic() - began < 20


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40))
def test_no_address_makes_it_fail(rest: str) -> None:
    async def fetch() -> None:
        closed = OutboundSettings(ssrf_proxy_all_url=Secret("http://127.0.0.1:1"))
        async with GuardedClient(closed) as client:
            addresses = linked(f"http://{rest}", f"https://a.test/{rest}")
            assert await PictureFetcher(client, seconds=1).fetch(addresses) == {}

    asyncio.run(fetch())


async def test_pictures_are_fetched_linked_and_attached(any_house: House, site: Loopback, http: GuardedClient) -> None:
    house = any_house
    fetcher = PictureFetcher(http)
    indexer = Indexer(house.db, house.storage, house.stores, lambda tenant: house.models, fetcher=fetcher)
    dataset = await house.dataset()
    options = DocumentOptions(process_rule=custom_rule(max_tokens=500, separator="$"))
    missing = f"{site.url}/missing"
    sources = {
        "a.md": f"One ![]({site.url}/1) two ![the same]({site.url}/01) and ![gone]({missing})".encode(),
        "a.mdx": f"One <img src='{site.url}/1'> two <img src='{site.url}/01'/><img src='{missing}'>".encode(),
        "a.html": f"<p>One <img src='{site.url}/1'> two <img src='{site.url}/01'><img src='{missing}'>".encode(),
        "a.docx": docx_with_links(f"{site.url}/1", f"{site.url}/2", missing),
    }
    for name, data in sources.items():
        made = await house.documents.create_by_file(dataset.id, await upload(house, name, data), options, house.user)
        assert await indexer.run(made.document.id)
        place = dataset.id, made.document.id
        assert (await house.documents.get(*place)).indexing_status == "completed"
        (segment,) = (await house.segments.find(*place)).data
        names = LINK.findall(segment.content)
        assert f"]({missing})" in segment.content
        assert "picture:" not in segment.content
        # What has the same bytes is one picture, whether it lies in the document or is fetched from two places.
        assert (len(names), len(set(names))) == ((3, 2) if name == "a.docx" else (2, 1))
        assert [f"/files/{item['id']}/file-preview" for item in segment.attachments] == list(dict.fromkeys(names))
        await house.documents.delete(*place)
        assert await stored(house) == []


async def test_a_picture_that_is_there_no_more_becomes_a_link_again(house: House, http: GuardedClient) -> None:
    fetcher = PictureFetcher(http)
    indexer = Indexer(house.db, house.storage, house.stores, lambda tenant: house.models, fetcher=fetcher)
    dataset = await house.dataset()
    options = DocumentOptions(process_rule=custom_rule(max_tokens=500))
    there = [True]
    with loopback(lambda asked: answer(asked) if there[0] else (404, {}, b"")) as running:
        source = f"Look ![]({running.url}/1)".encode()
        file_id = await upload(house, "a.md", source)
        made = await house.documents.create_by_file(dataset.id, file_id, options, house.user)
        await indexer.run(made.document.id)
        assert len(await stored(house)) == 1
        there[0] = False
        place = dataset.id, made.document.id
        await house.documents.update_by_file(*place, await upload(house, "a.md", source), house.user)
        await indexer.run(made.document.id)
    (segment,) = (await house.segments.find(*place)).data
    assert (segment.content, segment.attachments) == (source.decode(), [])
    assert await stored(house) == []


@pytest.mark.skipif("sqlite" not in Registry().names("vdb"), reason="needs a store that survives the process")
async def test_killed_while_it_keeps_pictures_nothing_is_lost_or_doubled(
    sqlite_database: Database, sqlite_url: str, tmp_path: Path, site: Loopback
) -> None:
    source = f"One ![]({site.url}/1)\n\nTwo ![]({site.url}/2)".encode()
    folder = tmp_path / "storage"
    async with embedded_stores(Registry(), tmp_path) as stores:
        house = House(sqlite_database, stores, storage=FolderStorage(folder))
        dataset = await house.dataset()
        options = DocumentOptions(process_rule=custom_rule(separator="\n\n"))
        made = await house.documents.create_by_file(
            dataset.id, await upload(house, "a.md", source), options, house.user
        )
        arguments = (sqlite_url, str(tmp_path / "vectors.db"), str(folder), made.document.id)
        endings = []
        for writes, calls in ((1, 99), (2, 99), (99, 0), (99, 99)):
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(SCRIPT), *arguments, str(writes), str(calls)
            )
            endings.append(await process.wait())
        assert endings == [-signal.SIGKILL] * 3 + [0]
        await house.storage.open()
        assert sorted([await house.storage.load(key) for key in await stored(house)]) == sorted([png(1), png(2)])
        segments = (await house.segments.find(dataset.id, made.document.id)).data
        assert [LINK.sub("", item.content) for item in segments] == ["One ![]()", "Two ![]()"]
        assert [len(item.attachments) for item in segments] == [1, 1]


async def test_pictures_of_a_page_that_is_read_from_outside_are_kept(
    house: House, site: Loopback, http: GuardedClient
) -> None:
    text = f"# Wheels\r\nA <b>wheel</b> ![one]({site.url}/1)\r\n```\r\n![]({site.url}/2)\r\n```\r\n`![]({site.url}/3)`"

    class Outside:
        async def fetch(self, kind: str, info: dict[str, Any], *, unless_unchanged: bool = False) -> Fetched:
            return Fetched(text=text, info={"url": "http://a.test", "content_hash": content_hash(text)})

    indexer = Indexer(
        *(house.db, house.storage, house.stores, lambda tenant: house.models),
        remote=lambda tenant: Outside(),
        fetcher=PictureFetcher(http),
    )
    dataset = await house.dataset()
    options = DocumentOptions(process_rule=custom_rule(max_tokens=500, separator="$"))
    item = SourceItem(name="page", info={"url": "http://a.test"})
    made = await house.documents.create_by_source(dataset.id, WEBSITE_CRAWL, item, options, house.user)
    assert await indexer.run(made.document.id)
    place = dataset.id, made.document.id
    (segment,) = (await house.segments.find(*place)).data
    (attached,) = segment.attachments
    address = f"{site.url}/1"
    assert segment.content == text.replace("\r\n", "\n").replace(address, f"/files/{attached['id']}/file-preview")
    assert [asked.path for asked in site.asked] == ["/1"]
    await house.documents.delete(*place)
    assert await stored(house) == []
