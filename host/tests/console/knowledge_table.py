"""The console's routes of knowledge bases: whom each serves, and bodies with which it gets as far as it can."""

from __future__ import annotations

import uuid
from typing import Any, Final

from dify_host.identity.workspaces import ROLES

__all__ = ["KNOWLEDGE", "KNOWLEDGE_BODIES"]

SOME: Final = str(uuid.uuid4())
MEMBER: Final = set(ROLES)
WRITER: Final = {"owner", "admin", "editor", "dataset_operator"}
EDITOR: Final = {"owner", "admin", "editor"}
ADMIN: Final = {"owner", "admin"}

D, DOC = "/datasets/{dataset_id}", "/datasets/{dataset_id}/documents/{document_id}"
SEG = f"{DOC}/segments/{{segment_id}}"
CHILD = f"{SEG}/child_chunks"
API = "/datasets/external-knowledge-api"
SOURCES = "/auth/plugin/datasource"
API_ID = f"{API}/{{external_knowledge_api_id}}"

KNOWLEDGE: Final[list[tuple[str, str, set[str]]]] = [
    ("GET", "/datasets", MEMBER),
    ("POST", "/datasets", WRITER),
    ("POST", "/datasets/init", WRITER),
    ("GET", D, MEMBER),
    ("PATCH", D, WRITER),
    ("DELETE", D, WRITER),
    *(
        ("GET", f"{D}/{name}", MEMBER)
        for name in (
            *("use-check", "related-apps", "indexing-status", "error-docs", "permission-part-users"),
            *("auto-disable-logs", "queries", "api-keys", "metadata", "documents"),
        )
    ),
    ("GET", "/datasets/api-keys", MEMBER),
    ("POST", "/datasets/api-keys", ADMIN),
    ("DELETE", "/datasets/api-keys/{api_key_id}", ADMIN),
    ("POST", f"{D}/api-keys", EDITOR),
    ("DELETE", f"{D}/api-keys/{{api_key_id}}", ADMIN),
    ("POST", f"{D}/api-keys/{{status}}", WRITER),
    *(
        ("GET", f"/datasets/{name}", MEMBER)
        for name in ("api-base-info", "retrieval-setting", "process-rule", "metadata/built-in")
    ),
    ("GET", "/datasets/retrieval-setting/{vector_type}", MEMBER),
    ("POST", "/datasets/indexing-estimate", WRITER),
    ("POST", f"{D}/metadata", WRITER),
    ("PATCH", f"{D}/metadata/{{metadata_id}}", WRITER),
    ("DELETE", f"{D}/metadata/{{metadata_id}}", WRITER),
    ("POST", f"{D}/metadata/built-in/{{action}}", WRITER),
    ("POST", f"{D}/documents/metadata", WRITER),
    ("POST", f"{D}/hit-testing", MEMBER),
    ("POST", f"{D}/external-hit-testing", MEMBER),
    ("POST", f"{D}/documents", WRITER),
    ("DELETE", f"{D}/documents", WRITER),
    ("PATCH", f"{D}/documents/status/{{action}}/batch", WRITER),
    ("POST", f"{D}/retry", WRITER),
    ("GET", f"{D}/batch/{{batch}}/indexing-status", MEMBER),
    ("GET", f"{D}/batch/{{batch}}/indexing-estimate", MEMBER),
    ("GET", DOC, MEMBER),
    ("DELETE", DOC, WRITER),
    *(
        ("GET", f"{DOC}/{name}", MEMBER)
        for name in ("download", "indexing-status", "indexing-estimate", "pipeline-execution-log", "segments")
    ),
    ("PATCH", f"{DOC}/processing/{{action}}", WRITER),
    ("PATCH", f"{DOC}/processing/pause", WRITER),
    ("PATCH", f"{DOC}/processing/resume", WRITER),
    ("PUT", f"{DOC}/metadata", WRITER),
    ("POST", f"{DOC}/rename", WRITER),
    ("POST", f"{DOC}/segment", WRITER),
    ("PATCH", f"{DOC}/segment/{{action}}", WRITER),
    ("DELETE", f"{DOC}/segments", WRITER),
    ("POST", f"{DOC}/segments/batch_import", WRITER),
    ("GET", "/datasets/batch_import_status/{job_id}", WRITER),
    ("PATCH", SEG, WRITER),
    ("DELETE", SEG, WRITER),
    ("GET", CHILD, MEMBER),
    ("POST", CHILD, WRITER),
    ("PATCH", CHILD, WRITER),
    ("PATCH", f"{CHILD}/{{child_chunk_id}}", WRITER),
    ("DELETE", f"{CHILD}/{{child_chunk_id}}", WRITER),
    ("GET", API, MEMBER),
    ("POST", API, WRITER),
    ("GET", API_ID, MEMBER),
    ("PATCH", API_ID, WRITER),
    ("DELETE", API_ID, WRITER),
    ("GET", f"{API_ID}/use-check", MEMBER),
    ("POST", "/datasets/external", EDITOR),
    ("GET", "/data-source/integrates", MEMBER),
    ("GET", "/api-key-auth/data-source", MEMBER),
    ("POST", "/api-key-auth/data-source/binding", ADMIN),
    ("DELETE", "/api-key-auth/data-source/{binding_id}", ADMIN),
    ("GET", "/notion/pre-import/pages", WRITER),
    ("GET", "/notion/pages/{page_id}/{page_type}/preview", WRITER),
    ("POST", "/datasets/notion-indexing-estimate", WRITER),
    ("POST", "/online-drive/pre-import/files", WRITER),
    ("GET", f"{D}/online-drive/sync", WRITER),
    ("GET", f"{DOC}/online-drive/sync", WRITER),
    ("GET", f"{D}/notion/sync", WRITER),
    ("GET", f"{DOC}/notion/sync", WRITER),
    ("GET", f"{DOC}/website-sync", WRITER),
    ("POST", "/website/crawl", WRITER),
    ("GET", "/website/crawl/status/{job_id}", WRITER),
    ("GET", "/files/upload", MEMBER),
    ("POST", "/files/upload", MEMBER),
    ("GET", "/files/support-type", MEMBER),
    ("GET", "/files/{file_id}/preview", MEMBER),
    ("GET", f"{SOURCES}/list", MEMBER),
    ("GET", f"{SOURCES}/default-list", MEMBER),
    ("GET", f"{SOURCES}/{{provider_id}}", MEMBER),
    ("POST", f"{SOURCES}/{{provider_id}}", EDITOR),
    ("POST", f"{SOURCES}/{{provider_id}}/update", EDITOR),
    ("POST", f"{SOURCES}/{{provider_id}}/update-name", EDITOR),
    ("POST", f"{SOURCES}/{{provider_id}}/default", EDITOR),
    ("POST", f"{SOURCES}/{{provider_id}}/delete", EDITOR),
    ("GET", "/tags", MEMBER),
    ("POST", "/tags", WRITER),
    ("PATCH", "/tags/{tag_id}", WRITER),
    ("DELETE", "/tags/{tag_id}", EDITOR),
    ("POST", "/tag-bindings/create", WRITER),
    ("POST", "/tag-bindings/remove", WRITER),
]

_SOURCE: Final = {"data_source_type": "upload_file", "file_info_list": {"file_ids": [SOME]}}
_API: Final = {"name": "Elsewhere", "settings": {"endpoint": "http://127.0.0.1:9", "api_key": "secret-key-1"}}
KNOWLEDGE_BODIES: Final[dict[str, Any]] = {
    "/datasets": {"name": str(uuid.uuid4())},
    "/datasets/init": {"indexing_technique": "economy", "data_source": {"info_list": _SOURCE}},
    D: {"name": "Other"},
    "/datasets/indexing-estimate": {"info_list": _SOURCE, "process_rule": {"mode": "automatic"}},
    f"{D}/metadata": {"type": "string", "name": "color"},
    f"{D}/metadata/{{metadata_id}}": {"name": "color"},
    f"{D}/documents/metadata": {"operation_data": []},
    f"{D}/hit-testing": {"query": "wheel"},
    f"{D}/external-hit-testing": {"query": "wheel"},
    f"{D}/documents": {"indexing_technique": "economy", "data_source": {"info_list": _SOURCE}},
    f"{D}/retry": {"document_ids": [SOME]},
    f"{DOC}/metadata": {"doc_type": "book"},
    f"{DOC}/rename": {"name": "Other"},
    f"{DOC}/segment": {"content": "text"},
    SEG: {"content": "text"},
    CHILD: {"content": "text", "chunks": []},
    f"{CHILD}/{{child_chunk_id}}": {"content": "text"},
    API: {**_API, "settings": {**_API["settings"], "endpoint": "ftp://127.0.0.1"}},
    API_ID: _API,
    "/datasets/external": {"external_knowledge_api_id": SOME, "external_knowledge_id": "k", "name": "Elsewhere"},
    f"{SOURCES}/{{provider_id}}": {"credentials": {}},
    f"{SOURCES}/{{provider_id}}/update": {"credential_id": SOME},
    f"{SOURCES}/{{provider_id}}/update-name": {"credential_id": SOME, "name": "n"},
    f"{SOURCES}/{{provider_id}}/default": {"id": SOME},
    f"{SOURCES}/{{provider_id}}/delete": {"credential_id": SOME},
    "/api-key-auth/data-source/binding": {
        "category": "website",
        "provider": "nobody",
        "credentials": {"auth_type": "bearer", "config": {"api_key": "k"}},
    },
    "/website/crawl": {"provider": "nobody", "url": "https://a.test"},
    "/online-drive/pre-import/files": {"credential_id": SOME},
    "/tags": {"name": "t", "type": "knowledge"},
    "/tags/{tag_id}": {"name": "t"},
    "/tag-bindings/create": {"tag_ids": [SOME], "target_id": SOME, "type": "knowledge"},
    "/tag-bindings/remove": {"tag_id": SOME, "target_id": SOME, "type": "knowledge"},
}

#: The routes of one source are there under a provider's whole name, too: `organization/plugin/provider`.
_ONE, _WHOLE = f"{SOURCES}/{{provider_id}}", f"{SOURCES}/{{organization}}/{{plugin}}/{{provider_id}}"
KNOWLEDGE += [(method, path.replace(_ONE, _WHOLE), who) for method, path, who in KNOWLEDGE if path.startswith(_ONE)]
KNOWLEDGE_BODIES |= {
    path.replace(_ONE, _WHOLE): body for path, body in KNOWLEDGE_BODIES.items() if path.startswith(_ONE)
}
