"""What a tool node sends, and what it keeps of a call beside its outputs."""

import pytest
from dify_kernel.contracts.tool import BlobMessage, TextMessage, ToolInfo, ToolParameter
from dify_kernel.errors import NotFound, PluginNotFound, ToolError
from dify_kernel.graph.values import File, FileTransfer
from dify_kernel.testing.fakes import FakeTools, fake_context, fake_pool, fake_ports
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_agent.tool import ToolNode

NAMES = ("a", "b", "c", "d", "e", "f")
INFO = ToolInfo(name="t", parameters=[ToolParameter(name=name, type="any") for name in NAMES])
FILE = File(related_id="1", transfer_method=FileTransfer.LOCAL_FILE)
VALUES = {"start": {"text": "é", "list": [1, {"x": 2}], "file": FILE, "number": 5}}


def config(**rest):
    return {"provider_id": "p", "provider_type": "builtin", "tool_name": "t", **rest}


async def run(data, tools=None, variables=VALUES):
    tools = tools or FakeTools(infos={"t": INFO})
    ports = fake_ports(tools=tools)
    outcome = await run_node(make_node(ToolNode, data), fake_context("node", fake_pool(variables), ports=ports))
    return outcome, tools, ports


@pytest.mark.parametrize("version", [None, "2"])
async def test_templates_variables_and_constants_reach_the_tool(version):
    data = config(
        tool_node_version=version,
        tool_parameters={
            "a": {"type": "mixed", "value": "{{#start.text#}}-{{#start.number#}}"},
            "b": {"type": "variable", "value": ["start", "list"]},
            "c": {"type": "variable", "value": ["start", "file"]},
            "d": {"type": "constant", "value": "{{#start.number#}}"},
            "e": {"type": "constant", "value": 1.5},
            "f": {"type": "mixed", "value": None},
            "unknown": {"type": "constant", "value": "x"},
        },
    )
    outcome, tools, _ = await run(data)
    expected = {"a": "é-5", "b": [1, {"x": 2}], "c": FILE, "d": "5", "e": 1.5, "unknown": None}
    assert tools.calls[0].parameters == expected
    assert outcome.result.inputs == expected


async def test_configurations_are_plain_values_or_written_as_parameters_are():
    plain = config(tool_configurations={"a": "{{#start.text#}}", "b": 1, "c": None, "d": {"model": "m"}})
    _, tools, _ = await run(plain)
    assert tools.calls[0].parameters == {"a": "{{#start.text#}}", "b": 1, "d": {"model": "m"}}

    written = config(
        tool_node_version="2",
        tool_configurations={
            "a": {"type": "mixed", "value": "{{#start.text#}}"},
            "b": {"type": "constant", "value": True},
            "c": {"type": "variable", "value": ["start", "number"]},
            "d": {"type": "constant", "value": None},
        },
        tool_parameters={"b": {"type": "constant", "value": False}},
    )
    _, tools, _ = await run(written)
    assert tools.calls[0].parameters == {"a": "é", "b": False, "c": 5}


async def test_a_variable_that_does_not_exist_is_left_out_unless_the_parameter_is_required():
    data = config(tool_parameters={"a": {"type": "variable", "value": ["start", "gone"]}})
    outcome, tools, _ = await run(data)
    assert (outcome.failure, tools.calls[0].parameters) == ("", {})

    required = ToolInfo(name="t", parameters=[ToolParameter(name="a", required=True)])
    outcome, tools, _ = await run(data, FakeTools(infos={"t": required}))
    assert (outcome.error or outcome.result).error_type == "ToolParameterError"
    assert tools.calls == []


async def test_the_node_tells_which_provider_it_asked_with_which_credentials():
    outcome, tools, _ = await run(config(credential_id="c1", plugin_unique_identifier="x/y:1@z"))
    assert outcome.result.metadata == {
        "tool_info": {"provider_type": "builtin", "provider_id": "p", "plugin_unique_identifier": "x/y:1@z"}
    }
    assert (tools.calls[0].provider, tools.calls[0].credential_id) == ("p", "c1")


async def test_bytes_become_files_of_the_run():
    answers = [BlobMessage(data=b"1", mime_type="image/png"), BlobMessage(data=b"2", mime_type="a/b", filename="two")]
    outcome, _, ports = await run(config(), FakeTools({"t": lambda _: answers}, infos={"t": INFO}))
    assert outcome.result.outputs["files"].data == ports.files.saved
    assert [file.filename for file in ports.files.saved] == ["file.png", "two"]
    assert outcome.result.outputs["text"] == ""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ToolError("x"), "ToolInvokeError"),
        (NotFound("x"), "ToolProviderNotFoundError"),
        (PluginNotFound("x"), "ToolProviderNotFoundError"),
    ],
)
async def test_failures_have_the_names_that_apps_know(error, kind):
    data = config(tool_parameters={"a": {"type": "constant", "value": "1"}})
    outcome, _, _ = await run(data, FakeTools(infos={"t": INFO}, error=error))
    assert (outcome.result.error_type, outcome.result.error, outcome.result.inputs) == (kind, "x", {"a": "1"})


async def test_what_was_said_before_a_failure_was_streamed():
    class Breaking(FakeTools):
        async def invoke(self, *where, **rest):
            yield TextMessage("half")
            raise ToolError("broken")

    outcome, _, _ = await run(config(), Breaking(infos={"t": INFO}))
    assert [outcome.deltas[0].text, outcome.failure] == ["half", "broken"]
