"""Files: rules of uploads, values of requests, links that end, and no reach into another workspace."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from dify_host.db.engine import Database
from dify_host.db.tenant import Tenant
from dify_host.db.types import new_id
from dify_host.files.errors import (
    FileAccessDenied,
    FilenameNotExists,
    FileNotFound,
    FileTooLarge,
    UnsupportedFileType,
)
from dify_host.files.kinds import clean_name, extension_of
from dify_host.files.links import FileLinks
from dify_host.files.service import FileService, UploadFile
from dify_host.net.crypto import SignedLink, sign_link
from dify_host.settings import HostSettings
from dify_kernel.contracts.http import HttpResponse
from dify_kernel.contracts.storage import Storage
from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.values import File, FileTransfer, FileType, infer, plain
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import FakeHttp
from hypothesis import given
from hypothesis import strategies as st

SECRET = "a secret key of the tests"
SETTINGS = HostSettings(
    files_url="https://files.test/", upload_file_extension_blacklist=["exe", ".BAT"], upload_image_file_size_limit=1
)
MB = 1024 * 1024


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    store: Storage = Registry().get("storage", "opendal").build({"DIFY_DATA": str(tmp_path / "data")})
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def files(sqlite_database: Database, storage: Storage) -> FileService:
    return FileService(sqlite_database, Tenant(new_id()), storage, SETTINGS, secret_key=SECRET)


async def put(
    files: FileService, data: bytes = b"hello", name: str = "note.txt", mime: str | None = None
) -> UploadFile:
    return await files.upload(data, name, mime, created_by_role="end_user", created_by=new_id())


async def test_an_upload_is_kept(database: Database, storage: Storage) -> None:
    files = FileService(database, Tenant(new_id()), storage, SETTINGS, secret_key=SECRET)
    made = await put(files, b"bytes", "Résumé.final.PDF", "application/pdf")
    assert (made.name, made.extension, made.mime_type, made.size) == ("Résumé.final.PDF", "pdf", "application/pdf", 5)
    assert made.key == f"upload_files/{files.tenant.id}/{made.id}.pdf"
    assert made.storage_type == "opendal"
    assert await files.get(made.id) == made
    assert await files.open(made.id) == b"bytes"
    assert b"".join([piece async for piece in files.stream(made)]) == b"bytes"
    again = await put(files, b"bytes")
    assert (again.hash, again.id != made.id) == (made.hash, True)


@pytest.mark.parametrize("char", '/\\:*?"<>|\n\x00\u202e')
async def test_a_name_holds_no_path(files: FileService, char: str) -> None:
    with pytest.raises(BadInput) as caught:
        await put(files, name=f"a{char}b.txt")
    assert caught.value.code == "invalid_param"


@pytest.mark.parametrize("name", ["", None])
async def test_a_file_has_a_name(files: FileService, name: Any) -> None:
    with pytest.raises(FilenameNotExists) as caught:
        await put(files, name=name)
    assert caught.value.code == "filename_not_exists_error"


@given(
    st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=400), st.sampled_from(["pdf", "PNG"])
)
def test_a_long_name_keeps_its_extension(stem: str, extension: str) -> None:
    name = clean_name(f"{stem}.{extension}")
    assert len(name) <= 200
    assert extension_of(name) == extension.lower()


@pytest.mark.parametrize("name", ["run.exe", "run.EXE", "run.bat"])
async def test_the_blacklist(files: FileService, name: str) -> None:
    with pytest.raises(BadInput) as caught:
        await put(files, name=name)
    assert (caught.value.code, caught.value.status) == ("invalid_param", 400)


@pytest.mark.parametrize(
    ("name", "mime", "limit"),
    [
        ("a.png", None, 1),
        ("a.SVG", None, 1),
        ("a", "image/png", 1),
        ("a.txt", None, 15),
        ("a.unknown", None, 15),
        ("a.mp3", None, 50),
    ],
)
async def test_each_kind_has_its_limit(files: FileService, name: str, mime: str | None, limit: int) -> None:
    assert (await put(files, b"x" * (limit * MB), name, mime)).size == limit * MB
    with pytest.raises(FileTooLarge) as caught:
        await put(files, b"x" * (limit * MB + 1), name, mime)
    assert (caught.value.code, caught.value.status) == ("file_too_large", 413)


PROGRAMS = {
    "windows": b"MZ" + b"\x00" * 58 + (64).to_bytes(4, "little") + b"PE\x00\x00",
    "linux": b"\x7fELF\x02\x01\x01" + b"\x00" * 60,
    "macos": b"\xcf\xfa\xed\xfe" + b"\x00" * 60,
    "script": b"#!/bin/sh\nrm -rf /\n",
    "script with mark": b"\xef\xbb\xbf#! /usr/bin/env python3\n",
}


@pytest.mark.parametrize("what", PROGRAMS)
@pytest.mark.parametrize(("name", "mime"), [("a.png", None), ("a.pdf", None), ("a.txt", None), ("a", "image/png")])
async def test_a_disguised_program_is_refused(files: FileService, what: str, name: str, mime: str | None) -> None:
    with pytest.raises(UnsupportedFileType) as caught:
        await put(files, PROGRAMS[what], name, mime)
    assert (caught.value.code, caught.value.status) == ("unsupported_file_type", 415)


async def test_an_honest_program_and_odd_texts_are_taken(files: FileService) -> None:
    await put(files, PROGRAMS["script"], "deploy.sh")
    for text in (
        b"MZ is how this text begins, and it is only a text that goes on for a while after that.",
        b"# title",
        b"",
    ):
        await put(files, text, "a.md")


async def test_values_of_requests(files: FileService) -> None:
    made = await put(files, b"\x89PNG...", "cat.png", "image/png")
    value = await files.resolve({"type": "image", "transfer_method": "local_file", "upload_file_id": made.id})
    assert (value.type, value.filename, value.extension, value.size) == (FileType.IMAGE, "cat.png", ".png", 7)
    assert (value.tenant_id, value.related_id, value.mime_type) == (files.tenant.id, made.id, "image/png")
    assert await files.load(value) == b"\x89PNG..."
    stored = infer(plain(value)).data
    assert (await files.resolve(plain(stored))).related_id == made.id
    custom = await files.resolve({"type": "custom", "transfer_method": "local_file", "upload_file_id": made.id})
    assert custom.type is FileType.IMAGE
    audio = await files.resolve({"type": "audio", "transfer_method": "local_file", "upload_file_id": made.id})
    assert audio.type is FileType.AUDIO


@pytest.mark.parametrize(
    ("url", "kind", "name"),
    [
        ("https://x.test/a%20b.JPG?v=1", FileType.IMAGE, "a b.JPG"),
        ("http://x.test/report.pdf", FileType.DOCUMENT, "report.pdf"),
        ("HTTPS://x.test/clip.mp4#t=1", FileType.VIDEO, "clip.mp4"),
        ("https://x.test", FileType.CUSTOM, "file"),
    ],
)
async def test_remote_files(files: FileService, url: str, kind: FileType, name: str) -> None:
    for field in ("url", "remote_url"):
        value = await files.resolve({"transfer_method": "remote_url", field: url})
        assert (value.type, value.filename, value.remote_url, value.size) == (kind, name, url, -1)


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {"transfer_method": "carrier_pigeon"},
        {"transfer_method": "remote_url"},
        {"transfer_method": "remote_url", "url": "file:///etc/passwd"},
        {"transfer_method": "remote_url", "url": "http://[::1"},
        {"transfer_method": "remote_url", "url": 5},
        {"transfer_method": "local_file"},
        {"transfer_method": "local_file", "upload_file_id": "not an id"},
        {"transfer_method": "local_file", "upload_file_id": 5},
        {"transfer_method": "local_file", "upload_file_id": new_id()},
        {"transfer_method": "tool_file", "tool_file_id": new_id()},
        {"type": "poem", "transfer_method": "remote_url", "url": "http://x.test/a"},
    ],
)
async def test_a_file_object_that_leads_nowhere_is_bad_input(files: FileService, mapping: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        await files.resolve(mapping)


async def test_objects_without_a_file_are_left_out(files: FileService) -> None:
    url = "https://x.test/a.png"
    given: list[dict[str, Any]] = [{}, {"type": "image"}, {"transfer_method": "remote_url"}]
    found = await files.resolve_all([*given, {"transfer_method": "remote_url", "url": url}])
    assert [file.remote_url for file in found] == [url]


async def test_what_a_node_makes(database: Database, storage: Storage) -> None:
    files = FileService(database, Tenant(new_id()), storage, SETTINGS, secret_key=SECRET, user_id=new_id())
    made = await files.save(b"drawn", filename="../a picture.png", mime_type="image/png")
    assert (made.transfer_method, made.type, made.filename) == (
        FileTransfer.TOOL_FILE,
        FileType.IMAGE,
        ".._a picture.png",
    )
    assert await files.load(made) == b"drawn"
    row = await files.get_tool_file(made.id or "")
    assert row.file_key == f"tools/{files.tenant.id}/{made.id}.png"
    again = await files.resolve({"transfer_method": "tool_file", "tool_file_id": made.id})
    assert (again.related_id, again.size) == (made.id, 5)
    assert urlsplit(made.url or "").path == f"/files/tools/{made.id}.png"


async def test_remote_bytes_come_through_the_outbound_client(sqlite_database: Database, storage: Storage) -> None:
    answers = {
        "/a.txt": HttpResponse(status=200, headers=[], content=b"far away"),
        "/gone.txt": HttpResponse(status=404, headers=[], content=b""),
    }
    http: Any = FakeHttp(answers)
    files = FileService(sqlite_database, Tenant(new_id()), storage, SETTINGS, secret_key=SECRET, http=http)
    near = await files.resolve({"transfer_method": "remote_url", "url": "https://x.test/a.txt"})
    assert await files.load(near) == b"far away"
    with pytest.raises(NotFound):
        await files.load(await files.resolve({"transfer_method": "remote_url", "url": "https://x.test/gone.txt"}))


async def test_an_object_that_is_gone_is_not_found(files: FileService, storage: Storage) -> None:
    made = await put(files)
    await storage.delete(made.key)
    for call in (files.open(made.id), anext(files.stream(made)), files.load(files.value(made))):
        with pytest.raises(FileNotFound) as caught:
            await call
        assert caught.value.code == "file_not_found"


async def test_a_row_is_never_without_its_object(files: FileService) -> None:
    class FullDisk(Exception):
        pass

    async def refuse(key: str, data: Any) -> None:
        raise FullDisk

    files._storage.save = refuse  # type: ignore[method-assign]
    with pytest.raises(FullDisk):
        await put(files)
    async with files.db.read() as conn:
        from dify_host.files.tables import upload_files

        assert (await conn.execute(upload_files.select())).all() == []


def link_of(url: str) -> SignedLink:
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return msgspec.convert(query, SignedLink)


async def test_a_link_admits_its_holder(files: FileService) -> None:
    made = await put(files)
    url = files.signed_url(made.id)
    assert url.startswith(f"https://files.test/files/{made.id}/file-preview?timestamp=")
    assert files.verify(made.id, link_of(url))
    assert await files.links.admit(files.db, made.id, link_of(url)) == files.tenant
    tool = await files.save(b"x", filename="x.bin", mime_type="")
    assert await files.links.admit(files.db, tool.id or "", link_of(tool.url or ""), "tools") == files.tenant


async def test_a_link_that_was_changed_or_ended_admits_nobody(files: FileService) -> None:
    made, other = await put(files), await put(files)
    good = link_of(files.signed_url(made.id))
    ended = sign_link(SECRET, "files", files.tenant.id, made.id, now=1_000_000)
    bad = [
        (other.id, good, "files"),
        (made.id, good, "tools"),
        (new_id(), good, "files"),
        (made.id, ended, "files"),
        (made.id, msgspec.structs.replace(good, timestamp=str(int(good.timestamp) + 60)), "files"),
        (made.id, msgspec.structs.replace(good, nonce="0" * 32), "files"),
        (made.id, msgspec.structs.replace(good, sign="é"), "files"),
        (made.id, msgspec.structs.replace(good, timestamp="²"), "files"),
        (made.id, msgspec.structs.replace(good, timestamp="9" * 5000), "files"),
    ]
    for file_id, link, kind in bad:
        with pytest.raises(FileAccessDenied):
            await files.links.admit(files.db, file_id, link, kind)  # type: ignore[arg-type]
    assert not FileLinks(SETTINGS, "another secret key of tests").verify(files.tenant, made.id, good)


async def test_another_workspace_is_out_of_reach(
    files: FileService, sqlite_database: Database, storage: Storage
) -> None:
    theirs = FileService(sqlite_database, Tenant(new_id()), storage, SETTINGS, secret_key=SECRET)
    upload, made = await put(theirs), await theirs.save(b"x", filename="x.txt", mime_type="text/plain")
    borrowed = File(related_id=upload.id, tenant_id=theirs.tenant.id, transfer_method=FileTransfer.LOCAL_FILE)
    for call in (
        files.get(upload.id),
        files.open(upload.id),
        files.get_tool_file(made.id or ""),
        files.load(borrowed),
        files.load(made),
    ):
        with pytest.raises(NotFound):
            await call
    for mapping in (
        {"transfer_method": "local_file", "upload_file_id": upload.id},
        {"transfer_method": "local_file", "related_id": upload.id, "tenant_id": theirs.tenant.id},
        {"transfer_method": "tool_file", "tool_file_id": made.id},
    ):
        with pytest.raises(BadInput):
            await files.resolve(mapping)
    with pytest.raises(FileAccessDenied):
        await files.links.admit(files.db, upload.id, link_of(files.signed_url(upload.id)))
