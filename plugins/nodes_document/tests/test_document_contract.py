"""The document-extractor node keeps the node contract, and does with files what was recorded."""

from dify_kernel.contracts.node import NodeStatus
from dify_kernel.graph.values import File, Value, ValueType
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import FakeFiles, fake_context, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite, make_node, run_node
from dify_nodes_document.node import DocumentExtractorNode

FILES = FakeFiles()
TEXT = FILES.put(b"hello", filename="a.txt", mime_type="text/plain")
JSON = FILES.put(b'{"a":1}', filename="b.json", mime_type="application/json")
PICTURE = FILES.put(b"\x89PNG", filename="c.png", mime_type="image/png")
GONE = File(related_id="gone", filename="g.txt", extension=".txt")
CONFIG = {"variable_selector": ["start", "f"], "is_array_file": False}


def _ports():
    return fake_ports(files=FILES)


def example(name, value, **more):
    return NodeExample(name=name, config=CONFIG, variables={"start": {"f": value}}, ports=_ports, **more)


class TestDocumentExtractor(NodeSuite):
    node = DocumentExtractorNode
    examples = [
        example("one", TEXT, outputs={"text": "hello"}),
        example("several", [TEXT, JSON, TEXT], outputs={"text": ["hello", '{\n  "a": 1\n}', "hello"]}),
        example("none", Value(ValueType.ARRAY_FILE, []), outputs={"text": []}),
        example("picture", [TEXT, PICTURE], error="Unsupported Extension Type: .png"),
        example("gone", GONE, error="Error downloading file: File gone does not exist."),
        example("null", None, error="Unsupported variable type: <class 'NoneType'>"),
        example("text", "hello", error="Variable ['start', 'f'] is not an ArrayFileSegment"),
        NodeExample(name="missing", config=CONFIG, error="File variable not found for selector: ['start', 'f']"),
    ]
    bad_configs = [{}, {"variable_selector": ["start"]}, {"variable_selector": "start.f"}]


async def run(value):
    context = fake_context("node", {"start": {"f": value}}, ports=_ports())
    return (await run_node(make_node(DocumentExtractorNode, CONFIG), context)).result


async def test_the_record_names_the_selector_and_the_files():
    for value, documents in ((TEXT, [TEXT]), ([TEXT, JSON], [TEXT, JSON]), (None, [None]), ([PICTURE], [PICTURE])):
        result = await run(value)
        assert result.inputs == {"variable_selector": ["start", "f"]}
        assert result.process_data == {"documents": documents}


async def test_texts_of_a_list_are_a_list_of_texts_even_when_there_are_none():
    assert (await run(Value(ValueType.ARRAY_FILE, []))).outputs == {"text": Value(ValueType.ARRAY_STRING, [])}


async def test_error_types():
    found = [(await run(value)).error_type for value in (PICTURE, GONE, None)]
    assert found == ["UnsupportedFileTypeError", "FileDownloadError", "DocumentExtractorError"]
    assert (await run(PICTURE)).status is NodeStatus.FAILED


def test_it_is_found_by_its_name():
    assert Registry().node("document-extractor", "1") is DocumentExtractorNode
