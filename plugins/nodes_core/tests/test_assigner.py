"""What an assigner takes for an object: an object, or the JSON text of one."""

import pytest
from dify_kernel.contracts.node import NodeStatus
from dify_kernel.graph.values import ValueType
from dify_kernel.testing.fakes import fake_context
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_core.assigner import AssignerNode

TARGET = ["conversation", "slots"]


async def assign(source, operation="over-write"):
    """The result of writing `v.x` into an object variable."""
    item = {"variable_selector": TARGET, "input_type": "variable", "operation": operation, "value": ["v", "x"]}
    node = make_node(AssignerNode, {"version": "2", "items": [item]})
    outcome = await run_node(node, fake_context("n", {"conversation": {"slots": {"old": 1}}, "v": {"x": source}}))
    return outcome.result


@pytest.mark.parametrize(
    ("source", "written"),
    [('{"a": [1]}', {"a": [1]}), (" {} ", {}), ('{"城": "东"}', {"城": "东"}), ({}, {})],
)
async def test_an_object_is_written_from_its_text(source, written):
    result = await assign(source)
    assert result.status is NodeStatus.SUCCEEDED, result.error
    ((selector, value),) = result.updates
    assert (list(selector), value.type, value.data) == (TARGET, ValueType.OBJECT, written)


@pytest.mark.parametrize("source", ["", "a text", "[1]", "12", '"a"', "null", 12, True])
async def test_what_is_no_object_and_not_the_text_of_one_is_refused(source):
    result = await assign(source)
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "InvalidInputValueError")
    assert not result.updates
