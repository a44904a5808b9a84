"""What the end of a pipeline hands over, what it shows when debugging, and that real pipelines compile."""

import os
from pathlib import Path

import msgspec
import pytest
from dify_kernel.contracts.node import NodeKind, RunInfo
from dify_kernel.contracts.ports import IndexChunk, Indexing
from dify_kernel.errors import InvalidGraph
from dify_kernel.graph.plan import compile_plan
from dify_kernel.graph.values import FILE_IDENTITY, File
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import FakeKnowledge, fake_context, fake_ports
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_knowledge.index import KnowledgeIndexNode

yaml = pytest.importorskip("yaml")
SHARED = Path(os.environ.get("DIFY_SHARED") or Path(__file__).parents[4] / "shared")
PIPELINES = [
    path
    for path in (sorted((SHARED / "corpus" / "dsl").glob("*.yml")) if SHARED.is_dir() else [])
    if "type: knowledge-index" in path.read_text("utf-8")
]
SYSTEM = {"dataset_id": "kb", "document_id": "d-1", "batch": "b-1"}
PAIRS = {"qa_chunks": [{"question": "q", "answer": "a"}, {"question": " ", "answer": "b"}]}
PARENTS = {"parent_mode": "paragraph", "parent_child_chunks": [{"parent_content": "p", "child_contents": ["c", "d"]}]}


async def run(chunks, structure="text_model", *, system=SYSTEM, config=None, invoke_from="service-api"):
    """Run the node; the result and what the knowledge base was given."""
    knowledge = FakeKnowledge({"kb": []})
    data = {"chunk_structure": structure, "index_chunk_variable_selector": ["c", "result"], **(config or {})}
    context = fake_context(
        "node",
        {"c": {"result": chunks}, "sys": system},
        ports=fake_ports(knowledge=knowledge),
        run=RunInfo(run_id="r", invoke_from=invoke_from),
    )
    outcome = await run_node(make_node(KnowledgeIndexNode, data), context)
    return outcome.result, knowledge.indexed.get("d-1")


async def test_what_is_handed_over():
    file = {"dify_model_identity": FILE_IDENTITY, "related_id": "f", "transfer_method": "local_file"}
    settings = {
        "indexing_technique": "high_quality",
        "embedding_model": "m",
        "embedding_model_provider": "p",
        "keyword_number": 3,
        "retrieval_model": {"top_k": 2},
    }
    result, given = await run(["a", {"content": "b", "files": [file, "no file"]}], config=settings)
    assert given == Indexing(
        **SYSTEM,
        chunks=[IndexChunk(content="a"), IndexChunk(content="b", files=[File(related_id="f")])],
        chunk_structure="text_model",
        **settings,
    )
    assert result.inputs == {"chunks": ["a", {"content": "b", "files": [file, "no file"]}]}


@pytest.mark.parametrize(
    ("structure", "chunks", "expected"),
    [
        ("qa_model", PAIRS, [IndexChunk(content="q", answer="a")]),
        ("qa_model", PAIRS["qa_chunks"], [IndexChunk(content="q", answer="a")]),
        ("hierarchical_model", PARENTS, [IndexChunk(content="p", children=["c", "d"])]),
        ("hierarchical_model", [{"parent_content": "p"}], [IndexChunk(content="p")]),
    ],
)
async def test_structures(structure, chunks, expected):
    assert (await run(chunks, structure))[1].chunks == expected


@pytest.mark.parametrize(
    ("structure", "chunks", "error"),
    [
        ("qa_model", [{"question": "q"}], "Chunk 1 has no text 'answer'."),
        ("qa_model", {"general_chunks": ["a"]}, "an object with the list 'qa_chunks'"),
        ("hierarchical_model", [{"parent_content": "p", "child_contents": "c"}], "child_contents must be a list"),
        ("text_model", [{"content": None}], "Chunk 1 has no text 'content'."),
        ("text_model", None, "Chunks is required."),
    ],
)
async def test_chunks_of_another_form_are_told(structure, chunks, error):
    result, given = await run(chunks, structure)
    assert given is None
    assert error in result.error
    assert result.error_type == "KnowledgeIndexNodeError"


@pytest.mark.parametrize(
    ("structure", "chunks", "expected"),
    [
        ("text_model", ["a", "b"], {"preview": [{"content": "a"}, {"content": "b"}], "total_segments": 2}),
        ("qa_model", PAIRS, {"qa_preview": [{"question": "q", "answer": "a"}], "total_segments": 1}),
        (
            "hierarchical_model",
            PARENTS,
            {
                "parent_mode": "paragraph",
                "preview": [{"content": "p", "child_chunks": ["c", "d"]}],
                "total_segments": 1,
            },
        ),
    ],
)
async def test_a_debug_run_without_a_document_shows_the_chunks(structure, chunks, expected):
    result, given = await run(chunks, structure, system={}, invoke_from="debugger")
    assert result.outputs == {"chunk_structure": structure, **expected}
    assert given is None


async def test_a_debug_run_with_a_document_indexes():
    result, given = await run(["a"], invoke_from="debugger")
    assert given is not None
    assert result.outputs["display_status"] == "completed"


@pytest.mark.skipif(not PIPELINES, reason="no exports beside the checkout; set DIFY_SHARED")
def test_published_pipelines_compile_from_each_of_their_sources():
    registry, compiled, refused = Registry(), 0, set()
    assert len(PIPELINES) > 5
    for path in PIPELINES:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        graph = yaml.load(path.read_text("utf-8"), Loader=loader)["workflow"]["graph"]
        roots = [node["id"] for node in graph["nodes"] if node["data"].get("type") == "datasource"]
        for root in roots:
            try:
                plan = compile_plan(graph, registry.node, root_id=root)
            except InvalidGraph as exc:
                refused |= {(path.name[:3], msgspec.to_builtins(problem)["code"]) for problem in exc.problems}
                continue
            compiled += 1
            assert plan.nodes[plan.root].node.kind is NodeKind.ROOT
            assert [plan.nodes[index].type for index in plan.responses] == ["knowledge-index"]
    assert compiled > 10
    assert {number for number, _ in refused} == {"064"}, refused
