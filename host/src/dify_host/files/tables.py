"""Tables of files that people upload and tools make; the bytes are in object storage."""

from __future__ import annotations

from dify_host.db.schema import big_integer, flag, index, long_text, moment, ref, string, table

__all__ = ["tool_files", "upload_files"]

upload_files = table(
    "upload_files",
    ref("tenant_id"),
    string("storage_type"),
    string("key"),
    string("name"),
    big_integer("size"),
    string("extension"),
    string("mime_type", null=True),
    string("created_by_role", 16, default="account"),
    ref("created_by"),
    flag("used"),
    ref("used_by", null=True),
    moment("used_at"),
    string("hash", 64, null=True),
    long_text("source_url"),
    index("tenant_id", "created_at"),
    index("tenant_id", "hash"),
    index("key"),
    updated=False,
)

tool_files = table(
    "tool_files",
    ref("tenant_id"),
    ref("user_id"),
    ref("conversation_id", null=True),
    string("file_key"),
    string("mimetype"),
    long_text("original_url"),
    string("name", default=""),
    big_integer("size", -1),
    index("conversation_id"),
    index("tenant_id", "created_at"),
    updated=False,
)
