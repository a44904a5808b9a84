"""Rows of the files of messages: what is kept of a file value, also of one that a node made up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dify_host.db.types import new_id
from dify_host.runs.message_files import answer_files, message_file_rows
from dify_host.runs.recorder import Creator
from dify_kernel.graph.values import File, FileTransfer, FileType

AT = datetime(2026, 1, 2, 3, 4, 5)
CREATOR = Creator(role="end_user", id=new_id())


def rows(*files: File) -> list[dict[str, Any]]:
    return message_file_rows(files, message_id="m", belongs_to="user", creator=CREATOR, at=AT)


def test_a_kept_file_is_known_by_its_id_and_a_remote_one_by_its_address() -> None:
    kept = File(type=FileType.IMAGE, transfer_method=FileTransfer.LOCAL_FILE, related_id=new_id(), url="signed")
    far = File(type=FileType.AUDIO, transfer_method=FileTransfer.REMOTE_URL, remote_url="https://x.test/a", id=new_id())
    first, second = rows(kept, far)
    assert (first["type"], first["transfer_method"], first["url"]) == ("image", "local_file", None)
    assert first["upload_file_id"] == kept.related_id
    assert (second["type"], second["transfer_method"], second["url"]) == ("audio", "remote_url", "https://x.test/a")
    assert second["upload_file_id"] is None
    for row in (first, second):
        assert (row["message_id"], row["belongs_to"], row["created_at"]) == ("m", "user", AT)
        assert (row["created_by_role"], row["created_by"]) == ("end_user", CREATOR.id)
    assert first["id"] < second["id"]


def test_a_file_that_names_nothing_has_no_row() -> None:
    for method in FileTransfer:
        assert rows(File(type=FileType.IMAGE, transfer_method=method)) == []
    assert rows(File(type=FileType.IMAGE, transfer_method=FileTransfer.LOCAL_FILE, related_id="made up")) == []


def test_files_of_an_answer() -> None:
    file = {"dify_model_identity": "__dify__file__", "type": "image", "transfer_method": "tool_file", "related_id": "a"}
    assert [item.related_id for item in answer_files({"answer": "x", "files": [file, {"type": "image"}, "text"]})] == [
        "a"
    ]
    nothing: list[dict[str, Any]] = [{}, {"files": None}, {"files": "text"}, {"files": []}]
    for outputs in nothing:
        assert answer_files(outputs) == []
