"""The two ends of a knowledge pipeline keep the node contract."""

from dify_kernel.graph.values import File, FileTransfer, FileType
from dify_kernel.testing.fakes import FakeKnowledge, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_knowledge.datasource import DatasourceNode
from dify_nodes_knowledge.index import KnowledgeIndexNode

FILE = File(
    tenant_id="tenant-1",
    type=FileType.CUSTOM,
    transfer_method=FileTransfer.LOCAL_FILE,
    related_id="u-1",
    filename="a.pdf",
    extension=".pdf",
    mime_type="application/pdf",
    size=5,
)
INFO = {"related_id": "u-1", "name": "a.pdf", "extension": "pdf", "mime_type": "application/pdf", "size": 5}
PAGE = {"source_url": "https://a.test", "title": "A", "content": "words", "description": ""}


def source(kind=None, info=None):
    given = {"datasource_type": kind, "datasource_info": info}
    return {"sys": {name: value for name, value in given.items() if value is not None}}


class TestDatasource(NodeSuite):
    node = DatasourceNode
    examples = [
        NodeExample(
            name="file",
            config={"provider_type": "local_file", "fileExtensions": ["pdf"]},
            variables=source("local_file", {**INFO, "tenant_id": "other", "type": "pdf"}),
            outputs={"datasource_type": "local_file", "file": FILE},
        ),
        NodeExample(
            name="file value",
            config={},
            variables=source("online_drive", FILE),
            outputs={"datasource_type": "online_drive", "file": FILE},
        ),
        NodeExample(
            name="page",
            config={
                "provider_type": "website_crawl",
                "datasource_parameters": {"url": {"type": "mixed", "value": "u"}},
            },
            variables=source("website_crawl", PAGE),
            outputs={**PAGE, "datasource_type": "website_crawl"},
        ),
        NodeExample(
            name="document",
            config={},
            variables=source("online_document", {"page_id": "p", "content": "words"}),
            outputs={"page_id": "p", "content": "words", "datasource_type": "online_document"},
        ),
        NodeExample(
            name="document that nothing read",
            config={},
            variables=source("online_document", {"page_id": "p"}),
            error="The page of the online document was not read.",
        ),
        NodeExample(name="no type", config={}, error="Datasource type is not set"),
        NodeExample(name="no info", config={}, variables=source("local_file"), error="Datasource info is not set"),
        NodeExample(
            name="no mapping", config={}, variables=source("local_file", "x"), error="Invalid datasource info format"
        ),
        NodeExample(
            name="no file", config={}, variables=source("local_file", {"name": "a"}), error="File is not exist"
        ),
        NodeExample(
            name="no size",
            config={},
            variables=source("local_file", {**INFO, "size": "big"}),
            error="Invalid datasource info format",
        ),
        NodeExample(
            name="unknown type",
            config={},
            variables=source("telepathy", INFO),
            error="Unsupported datasource provider: telepathy",
        ),
    ]
    bad_configs = [{"provider_type": "telepathy"}, {"datasource_parameters": "all"}]


def _ports():
    return fake_ports(knowledge=FakeKnowledge({"kb": []}))


def index(chunks, structure="text_model", **more):
    sys = {"dataset_id": "kb", "document_id": "d-1", "batch": "b-1", **more.pop("sys", {})}
    config = {"chunk_structure": structure, "index_chunk_variable_selector": ["c", "result"], "title": "Knowledge Base"}
    return {
        "config": {**config, **more.pop("config", {})},
        "variables": {"c": {"result": chunks}, "sys": {name: value for name, value in sys.items() if value}},
        "ports": _ports,
        **more,
    }


DONE = {
    "dataset_id": "kb",
    "dataset_name": "kb",
    "document_id": "d-1",
    "document_name": "d-1",
    "batch": "b-1",
    "created_at": 0.0,
    "display_status": "completed",
}
PARENTS = {"parent_mode": "full-doc", "parent_child_chunks": [{"parent_content": "p", "child_contents": ["c", " "]}]}
DEBUG = {"document_id": None, "invoke_from": "debugger"}


class TestKnowledgeIndex(NodeSuite):
    node = KnowledgeIndexNode
    examples = [
        NodeExample(name="texts", **index(["a", " ", "b"], outputs=DONE)),
        NodeExample(name="of a chunker", **index({"general_chunks": ["a", {"content": "b"}]}, outputs=DONE)),
        NodeExample(name="pairs", **index({"qa_chunks": [{"question": "q", "answer": "a"}]}, "qa_model", outputs=DONE)),
        NodeExample(name="parents", **index(PARENTS, "hierarchical_model", outputs=DONE)),
        NodeExample(
            name="preview",
            **index(
                ["a"],
                sys=DEBUG,
                outputs={"chunk_structure": "text_model", "total_segments": 1, "preview": [{"content": "a"}]},
            ),
        ),
        NodeExample(name="no list", **index("a", error="must be a list, or an object with the list 'general_chunks'")),
        NodeExample(name="no text", **index([1], error="Chunk 1 is int, not an object.")),
        NodeExample(name="empty", **index(["", " "], error="Chunks is required.")),
        NodeExample(name="no document", **index(["a"], sys={"document_id": None}, error="Document ID is required.")),
        NodeExample(name="no dataset", **index(["a"], sys={"dataset_id": None}, error="Dataset ID is required.")),
        NodeExample(name="no batch", **index(["a"], sys={"batch": None}, error="Batch is required.")),
        NodeExample(name="gone", **index(["a"], sys={"dataset_id": "x"}, error="Dataset x does not exist.")),
    ]
    bad_configs = [
        {},
        {"index_chunk_variable_selector": ["c", "result"], "chunk_structure": "haiku"},
        {"index_chunk_variable_selector": ["c", "result"], "indexing_technique": "best"},
        {
            "index_chunk_variable_selector": ["c", "result"],
            "chunk_structure": "qa_model",
            "indexing_technique": "economy",
        },
    ]
