"""The indexing job of a document that means harm ends in `error` with the reason, and the next one is completed."""

from __future__ import annotations

import pytest
from dify_host.db.types import new_id
from dify_host.knowledge.documents import DocumentOptions
from dify_host.knowledge.links import Links

from .good_documents import good_documents
from .hostile import hostile_files
from .house import House, custom_rule

#: One of each kind that can end in nothing but an error.
SAMPLE = [
    ("cut at 0", "pdf"),
    ("cut at 7", "docx"),
    ("dense part", "xlsx"),
    ("parts that overlap", "docx"),
    ("password on the whole", "pptx"),
    ("password", "pdf"),
    ("scans", "pdf"),
    ("entities: deep", "xml"),
    ("a book outside", "epub"),
    ("a count of 1000000", "pdf"),
    ("rungs", "json"),
    ("no message", "eml"),
]


@pytest.mark.timeout(300)
async def test_each_ends_in_error_with_its_reason_and_the_next_document_is_completed(house: House) -> None:
    dataset = await house.dataset()
    cases = {(name, extension): data for name, extension, data in hostile_files()}
    good, made = list(good_documents().items()), []
    for number, (name, extension) in enumerate(SAMPLE):
        healthy = good[number % len(good)]
        for kind, data in ((extension, cases[name, extension]), healthy):
            upload_id = await upload(house, f"{number}.{kind}", kind, data)
            options = DocumentOptions(process_rule=custom_rule())
            made.append((name, await house.documents.create_by_file(dataset.id, upload_id, options, house.user)))
    await house.work()
    for number, (name, created) in enumerate(made):
        document = await house.documents.get(dataset.id, created.document.id)
        if number % 2:
            assert document.indexing_status == "completed", document.error
        else:
            assert document.indexing_status == "error", name
            assert (document.error or "").strip(), name


async def upload(house: House, name: str, extension: str, data: bytes) -> str:
    """Keep a file as an upload of the tenant; its id."""
    upload_id = new_id()
    await house.storage.save(f"upload_files/{upload_id}", data)
    values = {
        "id": upload_id,
        "storage_type": "memory",
        "key": f"upload_files/{upload_id}",
        "name": name,
        "size": len(data),
        "extension": extension,
        "created_by": house.user,
    }
    async with house.db.write() as conn:
        await Links(house.db, house.tenant).add_upload(conn, values)
    return upload_id
