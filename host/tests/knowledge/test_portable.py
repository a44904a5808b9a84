"""A knowledge base goes into a file and comes out the same elsewhere; a file that is not right leaves nothing."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import signal
import sys
import zipfile
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dify_host.db.engine import Database
from dify_host.db.types import utc_now
from dify_host.files.tables import upload_files
from dify_host.knowledge.documents import DocumentOptions, DocumentText
from dify_host.knowledge.errors import DatasetNameDuplicate, ImportCutOff, ProviderNotInitialize
from dify_host.knowledge.import_marks import SILENT, take_back_cut_off
from dify_host.knowledge.pictures import pictures_in
from dify_host.knowledge.portable import Importer
from dify_host.knowledge.portable_format import PortableFileRefused
from dify_host.knowledge.portable_write import Exporter
from dify_host.knowledge.records import IndexStruct
from dify_host.knowledge.retrieval import Asker
from dify_host.knowledge.segments import SegmentChanges
from dify_host.knowledge.tables import (
    child_chunks,
    dataset_imports,
    dataset_metadata_bindings,
    datasets,
    document_segments,
    documents,
)
from dify_kernel.errors import InvokeBadRequestError
from dify_kernel.registry import Registry

from .house import MODEL, House, custom_rule, embedded_stores
from .test_indexing import upload
from .test_pictures import docx, png

SCRIPT = Path(__file__).with_name("import_run.py")
TEXTS = {"a": "tea is green\ncoffee is black", "b": "milk is white\nwater is clear", "c": "wine is red\nbeer is brown"}
QUESTIONS = ("green tea", "clear water", "brown beer", "something")


@pytest.fixture
async def other(any_house: House, tmp_path: Path) -> AsyncIterator[House]:
    """Another workspace with a store of its own."""
    folder = tmp_path / "other"
    folder.mkdir()
    async with embedded_stores(Registry(), folder) as stores:
        house = House(any_house.db, stores)
        await house.storage.open()
        yield house


def exporter(house: House) -> Exporter:
    return Exporter(house.db, house.tenant, house.storage, house.stores)


def importer(house: House, **options: Any) -> Importer:
    return Importer(house.db, house.tenant, house.storage, house.stores, house.models, **options)


async def filled(house: House, technique: str = "high_quality") -> str:
    """Three documents in lines and, with vectors, one with children; one is off, one segment is off."""
    dataset = await house.dataset(technique=technique)
    ids = [await house.add(dataset.id, text, name) for name, text in TEXTS.items()]
    (first, _) = (await house.segments.find(dataset.id, ids[0], limit=9)).data
    await house.segments.update(dataset.id, ids[0], first.id, SegmentChanges(enabled=False), house.user)
    await house.documents.set_status(dataset.id, "disable", [ids[2]], house.user)
    if technique == "high_quality":
        inner = {"separator": "\n", "max_tokens": 50}
        rule = custom_rule(200, "\n\n", parent_mode="paragraph", subchunk_segmentation=inner)
        text = "cocoa is warm\nsoup is salty\n\njuice is orange"
        await house.add(dataset.id, text, "d", doc_form="hierarchical_model", process_rule=rule)
    return dataset.id


async def answers(house: House, dataset_id: str) -> list[list[tuple[str, str, float]]]:
    """What each question finds: names, texts, scores."""
    found = []
    for question in QUESTIONS:
        hits = await house.retriever.retrieve(dataset_id, question, Asker(user_id=house.user))
        found.append(sorted((hit.document.name, hit.segment.content, round(hit.score, 5)) for hit in hits))
    return found


async def shown(house: House, dataset_id: str) -> list[tuple[Any, ...]]:
    """Its documents and segments as they are seen, without ids."""
    seen: list[tuple[Any, ...]] = []
    for document in (await house.documents.find(dataset_id, limit=100)).data:
        seen.append((document.name, document.display_status, document.doc_form, document.word_count, document.tokens))
        for segment in (await house.segments.find(dataset_id, document.id, limit=100)).data:
            seen.append((segment.position, segment.content, segment.status, segment.enabled, segment.keywords))
    return seen


async def counted(house: House) -> dict[str, int]:
    """How many rows and objects of this tenant there are."""
    found = {}
    async with house.db.read() as conn:
        for table in (datasets, documents, document_segments, upload_files):
            query = sa.select(sa.func.count()).select_from(table).where(table.c.tenant_id == house.tenant.id)
            found[table.name] = (await conn.execute(query)).scalar_one()
    found["objects"] = len([entry async for entry in house.storage.scan()])
    return found


@pytest.mark.parametrize("technique", ["high_quality", "economy"])
async def test_out_and_in_it_is_the_same(any_house: House, other: House, tmp_path: Path, technique: str) -> None:
    house, path = any_house, tmp_path / "base.zip"
    dataset_id = await filled(house, technique)
    counts = await exporter(house).run(dataset_id, path)
    assert counts["vectors"] == (9 if technique == "high_quality" else 0)
    assert list(tmp_path.glob(".*.part")) == []
    asked: list[str] = []
    embed = other.models.embed

    async def noted(provider: str, model: str, texts: Sequence[str], **options: Any) -> Any:
        asked.extend(texts if options.get("input_type") != "query" else ())
        return await embed(provider, model, texts, **options)

    other.models.embed = noted  # type: ignore[method-assign]
    made = await importer(other).run(path, other.user)
    assert (made.name, made.to_index, made.counts) == ("Handbook", 0, counts)
    assert asked == []
    assert await shown(other, made.id) == await shown(house, dataset_id)
    assert await answers(other, made.id) == await answers(house, dataset_id)
    assert len(await other.vectors(made.id)) == len(await house.vectors(dataset_id))
    # It is a knowledge base like any other: it takes changes, and goes into the same file again.
    document = (await other.documents.find(made.id, limit=100)).data[-1]
    text = DocumentText(name="z", text="rum is old")
    await other.documents.update_by_text(made.id, document.id, text, other.user)
    await other.work()
    again = tmp_path / "again.zip"
    assert (await exporter(other).run(made.id, again))["documents"] == counts["documents"]
    with pytest.raises(DatasetNameDuplicate):
        await importer(other).run(path, other.user)
    second = await importer(other).run(path, other.user, name="Second")
    assert await answers(other, second.id) == await answers(house, dataset_id)


async def test_another_model_embeds_by_the_indexing_job(any_house: House, other: House, tmp_path: Path) -> None:
    house, path = any_house, tmp_path / "base.zip"
    dataset_id = await filled(house)
    await exporter(house).run(dataset_id, path)
    describe = other.models.describe

    async def only_other(provider: str, model: str, kind: Any) -> Any:
        if model == MODEL:
            raise InvokeBadRequestError("It is not here.")
        return await describe(provider, model, kind)

    other.models.describe = only_other  # type: ignore[method-assign]
    with pytest.raises(ProviderNotInitialize, match="fake/words"):
        await importer(other).run(path, other.user)
    made = await importer(other, default=("fake", "other")).run(path, other.user)
    assert (made.model, made.to_index) == ("fake/other", 4)
    await other.work()
    assert await shown(other, made.id) == await shown(house, dataset_id)
    assert await answers(other, made.id) == await answers(house, dataset_id)


async def test_files_go_along_or_stay(any_house: House, other: House, tmp_path: Path) -> None:
    house, path = any_house, tmp_path / "base.zip"
    dataset_id = await filled(house, "economy")
    assert (await exporter(house).run(dataset_id, path))["files"] == 3
    made = await importer(other).run(path, other.user)
    assert (await counted(other))["objects"] == 3
    for document in (await other.documents.find(made.id, limit=9)).data:
        async with other.db.read() as conn:
            key = sa.select(upload_files.c.key).join(documents, documents.c.file_id == upload_files.c.id)
            found = (await conn.execute(key.where(documents.c.id == document.id))).scalar_one()
        assert (await other.storage.load(found)).decode() == TEXTS[document.name]
    assert (await exporter(house).run(dataset_id, path, files=False))["files"] == 0
    bare = await importer(other).run(path, other.user, name="Bare")
    assert (await counted(other))["objects"] == 3
    assert await answers(other, bare.id) == await answers(house, dataset_id)


async def test_pictures_in_documents_are_found_where_they_come(any_house: House, other: House, tmp_path: Path) -> None:
    house, path = any_house, tmp_path / "base.zip"
    dataset = await house.dataset()
    options = DocumentOptions(process_rule=custom_rule(separator="Color", max_tokens=500))
    file_id = await upload(house, "colors.docx", docx(1, 2))
    await house.documents.create_by_file(dataset.id, file_id, options, house.user)
    await house.work()
    await exporter(house).run(dataset.id, path)
    made = await importer(other).run(path, other.user)
    (document,) = (await other.documents.find(made.id)).data
    for segment in (await other.segments.find(made.id, document.id)).data:
        (attached,) = segment.attachments
        assert pictures_in(segment.content) == [attached["id"]]
        async with other.db.read() as conn:
            key = sa.select(upload_files.c.key).where(upload_files.c.id == attached["id"])
            assert await other.storage.load((await conn.execute(key)).scalar_one()) in (png(1), png(2))


async def test_an_import_that_fails_takes_back_what_it_wrote(any_house: House, other: House, tmp_path: Path) -> None:
    house, path = any_house, tmp_path / "base.zip"
    dataset_id = await filled(house)
    await exporter(house).run(dataset_id, path)
    before = await counted(other)
    store: Any = await other.stores.open(other.stores.default)
    upsert = store.upsert

    async def full(*args: Any) -> None:
        await upsert(*args)
        raise OSError("no space left")

    store.upsert = full
    with pytest.raises(OSError, match="no space"):
        await importer(other).run(path, other.user)
    assert await counted(other) == before
    store.upsert = upsert
    made = await importer(other).run(path, other.user)
    assert await answers(other, made.id) == await answers(house, dataset_id)


@pytest.mark.skipif("sqlite" not in Registry().names("vdb"), reason="needs a store that survives the process")
async def test_a_killed_import_is_not_seen_and_is_done_again(
    sqlite_database: Database, sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "base.zip"
    async with embedded_stores(Registry(), tmp_path) as stores:
        house, other = House(sqlite_database, stores), House(sqlite_database, stores)
        dataset_id = await filled(house)
        await exporter(house).run(dataset_id, path)
        await other.storage.open()
        for calls in (0, 1):
            arguments = (sqlite_url, str(tmp_path / "vectors.db"), other.tenant.id, str(path), str(calls))
            process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), *arguments)
            assert await process.wait() == -signal.SIGKILL
            assert (await other.datasets.find()).total == 0
        made = await importer(other).run(path, other.user)
        assert await shown(other, made.id) == await shown(house, dataset_id)
        assert await answers(other, made.id) == await answers(house, dataset_id)
        assert (await counted(other))["documents"] == 4


@pytest.mark.skipif("sqlite" not in Registry().names("vdb"), reason="needs a store that survives the process")
async def test_what_a_killed_import_has_left_is_taken_back(
    sqlite_database: Database, sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "base.zip"
    async with embedded_stores(Registry(), tmp_path) as stores:
        house, other = House(sqlite_database, stores), House(sqlite_database, stores)
        dataset_id = await filled(house)
        await exporter(house).run(dataset_id, path)
        await other.storage.open()
        before = await everything(other)
        arguments = (sqlite_url, str(tmp_path / "vectors.db"), other.tenant.id, str(path), "1")
        process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), *arguments)
        assert await process.wait() == -signal.SIGKILL
        left = await everything(other)
        assert all(left[name] > before[name] for name in ("documents", "document_segments", "upload_files", "records"))
        assert await take_back_cut_off(other.db, other.storage, stores) == 0  # it may be at work yet
        assert await everything(other) == left
        async with other.db.write() as conn:
            await conn.execute(dataset_imports.update().values(looked_at=utc_now() - SILENT - timedelta(minutes=1)))
        assert await take_back_cut_off(other.db, other.storage, stores) == 1
        assert await everything(other) == before
        assert await take_back_cut_off(other.db, other.storage, stores) == 0
        assert await answers(house, dataset_id)


async def everything(house: House) -> dict[str, int]:
    """How many rows and records the installation holds, by table."""
    counts = {}
    tables = (documents, document_segments, child_chunks, upload_files, dataset_imports, dataset_metadata_bindings)
    async with house.db.read() as conn:
        for table in tables:
            counts[table.name] = (await conn.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
        spaces = (await conn.execute(sa.select(document_segments.c.dataset_id).distinct())).scalars().all()
        value = (await conn.execute(sa.select(datasets.c.index_struct))).scalars().first()
    index = IndexStruct.read(value)
    assert index is not None
    assert index.space is not None
    store = await house.stores.open(index.store)
    counts["records"] = sum([await store.count(index.space, dataset_id) for dataset_id in spaces])
    return counts


async def test_an_import_that_was_taken_back_does_not_appear(house: House, other: House, tmp_path: Path) -> None:
    path = tmp_path / "base.zip"
    await exporter(house).run(await filled(house), path)
    before = await counted(other)
    store: Any = await other.stores.open(other.stores.default)
    upsert = store.upsert

    async def slow(*args: Any) -> None:
        async with other.db.write() as conn:
            await conn.execute(dataset_imports.update().values(looked_at=utc_now() - SILENT - timedelta(minutes=1)))
        assert await take_back_cut_off(other.db, other.storage, other.stores) == 1
        await upsert(*args)

    store.upsert = slow
    with pytest.raises(ImportCutOff):
        await importer(other).run(path, other.user)
    store.upsert = upsert
    assert (await other.datasets.find()).total == 0
    made = await importer(other).run(path, other.user)
    assert (await counted(other))["documents"] > before["documents"]
    assert made.name


# -- hostile files -------------------------------------------------------------------------------------------------

Entries = dict[str, bytes]


def rewritten(path: Path, change: Callable[[Entries, dict[str, Any]], None], *, sealed: bool = True) -> Path:
    """The file with its entries changed; `sealed` gives the manifest the sizes and checksums that they have then."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(entries.pop("manifest.json"))
    change(entries, manifest)
    if sealed:
        manifest["entries"] = {
            name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in entries.items()
        }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (*entries.items(), ("manifest.json", json.dumps(manifest).encode())):
            archive.writestr(name, data)
    return path


def replaced(entry: str, old: bytes, new: bytes) -> Callable[[Entries, dict[str, Any]], None]:
    def change(entries: Entries, _manifest: dict[str, Any]) -> None:
        assert old in entries[entry]
        entries[entry] = entries[entry].replace(old, new, 1)

    return change


def _traversal(entries: Entries, _manifest: dict[str, Any]) -> None:
    entries["files/../../../etc/cron.d/x"] = b"* * * * *"


def _bomb(entries: Entries, _manifest: dict[str, Any]) -> None:
    entries["files/00000000-0000-4000-8000-000000000000"] = bytes(20_000_000)


def _version(_entries: Entries, manifest: dict[str, Any]) -> None:
    manifest["version"] = 99


def _foreign_segment(entries: Entries, _manifest: dict[str, Any]) -> None:
    lines = [json.loads(line) for line in entries["parts/000001.jsonl"].splitlines()]
    for line in lines:
        if line["row"] == "segment":
            line["document_id"] = "00000000-0000-4000-8000-000000000000"
            break
    entries["parts/000001.jsonl"] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def _foreign_vector(entries: Entries, _manifest: dict[str, Any]) -> None:
    data = entries["vectors/000001.bin"]
    entries["vectors/000001.bin"] = bytes(16) + data[16:]


def _half_vector(entries: Entries, _manifest: dict[str, Any]) -> None:
    entries["vectors/000001.bin"] = entries["vectors/000001.bin"][:-3]


def _twice(entries: Entries, _manifest: dict[str, Any]) -> None:
    entries["parts/000002.jsonl"] = entries["parts/000001.jsonl"]


def _unknown_field(entries: Entries, _manifest: dict[str, Any]) -> None:
    base = json.loads(entries["dataset.json"])
    entries["dataset.json"] = json.dumps(base | {"tenant_id": "x"}).encode()


def _cut(entries: Entries, _manifest: dict[str, Any]) -> None:
    entries["parts/000001.jsonl"] = entries["parts/000001.jsonl"][:-5]


@pytest.mark.parametrize(
    ("change", "sealed", "said"),
    [
        (_traversal, True, "has an entry 'files/../"),
        (_bomb, True, "unpacks to 20000000 bytes"),
        (_version, True, "version 99"),
        (replaced("parts/000001.jsonl", b"tea is green", b"tea is black"), False, "damaged|are not those"),
        (_foreign_segment, True, "names the document 00000000"),
        (_foreign_vector, True, "names the record 00000000"),
        (_half_vector, True, "whole vectors"),
        (_twice, True, "twice"),
        (_unknown_field, True, "unknown field `tenant_id`"),
        (_cut, True, "ends early"),
    ],
)
async def test_a_hostile_file_is_refused_and_leaves_nothing(
    house: House, tmp_path: Path, change: Callable[[Entries, dict[str, Any]], None], sealed: bool, said: str
) -> None:
    dataset_id = await filled(house)
    path = tmp_path / "base.zip"
    await exporter(house).run(dataset_id, path)
    rewritten(path, change, sealed=sealed)
    before = await counted(house)
    with pytest.raises(PortableFileRefused, match=said):
        await importer(house).run(path, house.user, name="Stranger")
    assert await counted(house) == before


async def test_anything_else_than_such_a_file_is_refused(house: House, tmp_path: Path) -> None:
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("word/document.xml", "<x/>")
    for number, data in enumerate((b"", b"hello", other.getvalue(), other.getvalue()[:40])):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(data)
        with pytest.raises(PortableFileRefused):
            await importer(house).run(path, house.user)
