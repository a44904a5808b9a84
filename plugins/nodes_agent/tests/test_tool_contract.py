"""The tool node keeps the node contract."""

from dify_kernel.contracts.tool import (
    FileMessage,
    JsonMessage,
    LinkMessage,
    ResourcesMessage,
    TextMessage,
    ToolInfo,
    ToolParameter,
    VariableMessage,
)
from dify_kernel.errors import ToolError
from dify_kernel.graph.values import File, FileTransfer, FileType, plain
from dify_kernel.testing.fakes import FakeTools, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_agent.tool import ToolNode

SAY = ToolInfo(
    name="say",
    parameters=[
        ToolParameter(name="what", required=True),
        ToolParameter(name="loud", type="boolean", form="form"),
    ],
)

PICTURE = File(type=FileType.IMAGE, transfer_method=FileTransfer.TOOL_FILE, related_id="1", url="https://a.test/1")
TABLE = File(type=FileType.DOCUMENT, transfer_method=FileTransfer.TOOL_FILE, related_id="2", url="https://a.test/2")


def says(*messages):
    return lambda: fake_ports(tools=FakeTools({"say": lambda _: messages}, infos={"say": SAY}))


def config(**rest):
    return {"provider_id": "talk", "provider_type": "builtin", "provider_name": "talk", "tool_name": "say", **rest}


class TestToolNode(NodeSuite):
    node = ToolNode
    examples = [
        NodeExample(
            name="text, link and JSON",
            config=config(tool_parameters={"what": {"type": "mixed", "value": "{{#start.a#}}!"}}),
            variables={"start": {"a": "é"}},
            ports=says(TextMessage("He"), TextMessage("y\n"), LinkMessage("https://a.test"), JsonMessage({"a": 1})),
            outputs={"text": "Hey\nLink: https://a.test\n", "files": [], "json": [{"a": 1}]},
        ),
        NodeExample(
            name="variables",
            config=config(tool_parameters={"what": {"type": "variable", "value": ["start", "a"]}}),
            variables={"start": {"a": [1, 2]}},
            ports=says(
                VariableMessage(name="n", value=1),
                VariableMessage(name="s", value="a", stream=True),
                VariableMessage(name="s", value="b", stream=True),
            ),
            outputs={"text": "", "files": [], "json": [{"data": []}], "n": 1, "s": "ab"},
        ),
        NodeExample(
            name="files and citations",
            config=config(),
            ports=says(FileMessage(PICTURE), FileMessage(TABLE), ResourcesMessage([{"position": 1}])),
            outputs={
                "text": "File: https://a.test/2\n",
                "files": [plain(PICTURE), plain(TABLE)],
                "json": [{"data": []}],
            },
        ),
        NodeExample(
            name="a required variable is missing",
            config=config(tool_parameters={"what": {"type": "variable", "value": ["start", "gone"]}}),
            ports=says(TextMessage("never")),
            error="Variable start.gone does not exist",
        ),
        NodeExample(
            name="the tool fails",
            config=config(),
            ports=lambda: fake_ports(tools=FakeTools(error=ToolError("Out of words."))),
            error="Out of words.",
        ),
        NodeExample(
            name="a streamed variable that is no text",
            config=config(),
            ports=says(VariableMessage(name="s", value=1, stream=True)),
            error="s has a piece that is no text",
        ),
    ]
    bad_configs = [
        config(tool_parameters={"what": {"type": "guess", "value": "a"}}),
        config(tool_parameters={"what": {"type": "variable", "value": "start.a"}}),
        {"tool_name": "say"},
    ]
