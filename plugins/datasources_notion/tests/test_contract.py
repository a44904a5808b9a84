"""Notion's documents keep the contract, against the simulator."""

from __future__ import annotations

from dify_kernel.contracts.datasource import DocumentRef
from dify_kernel.testing.datasource import DatasourceProviderSuite, DocumentExample, OnlineDocumentSuite

from .notion_server import uid


def ref(number: int, kind: str = "page") -> DocumentRef:
    return DocumentRef(workspace_id="workspace", page_id=uid(number), type="database" if kind == "database" else "page")


class TestProvider(DatasourceProviderSuite):
    """The provider."""


class TestDocuments(OnlineDocumentSuite):
    """Its documents."""

    source = "notion_datasource"
    examples = [
        DocumentExample(
            ref=ref(1), name="Bees", text="# All of them\n\nBees dance.\n\n- queen\n  lays eggs\n- worker\n\nAnts"
        ),
        DocumentExample(ref=ref(2), name="Ants", text="Ants march."),
        DocumentExample(
            ref=ref(4, "database"),
            name="Hives",
            text="Name: North\nWeight: 3\nKind: brood\nSeen: 2025-01-01\nDone: yes\nTags: a, b\n\n"
            "Name: South\n\nName: West",
        ),
    ]
    gone = ref(3)
