"""The code node keeps the node contract."""

from dify_kernel.contracts.node import Limits
from dify_kernel.testing.fakes import FakeSandbox, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_code.node import CodeNode


def _javascript():
    return fake_ports(sandbox=FakeSandbox(lambda language, code, inputs: {"r": f"{language} {inputs['s']}"}))


def code(source, outputs, **extra):
    specs = {name: {"type": kind, "children": None} for name, kind in outputs.items()}
    return {"code": source, "code_language": "python3", "variables": [], "outputs": specs, **extra}


ECHO = "def main(**given):\n    return {'r': repr(given)}"


class TestCodeNode(NodeSuite):
    node = CodeNode
    examples = [
        NodeExample(
            name="inputs",
            config=code(
                ECHO,
                {"r": "string"},
                variables=[
                    {"variable": "a", "value_selector": ["start", "a"], "value_type": "string"},
                    {"variable": "n", "value_selector": ["start", "n"]},
                    {"variable": "ghost", "value_selector": ["nobody", "x"]},
                ],
            ),
            variables={"start": {"a": "A", "n": 1.5}},
            outputs={"r": "{'a': 'A', 'n': 1.5, 'ghost': None}"},
        ),
        NodeExample(name="without variables", config=code(ECHO, {"r": "string"}, variables=None), outputs={"r": "{}"}),
        NodeExample(
            name="javascript",
            config=code(
                "",
                {"r": "string"},
                code_language="javascript",
                variables=[{"variable": "s", "value_selector": ["a", "s"]}],
            ),
            variables={"a": {"s": "x"}},
            ports=_javascript,
            outputs={"r": "javascript x"},
        ),
        NodeExample(
            name="traceback",
            config=code("def main():\n    raise ValueError('boom')", {"r": "string"}),
            error="ValueError: boom",
        ),
        NodeExample(
            name="limit",
            config=code("def main():\n    return {'r': [1, 2, 3]}", {"r": "array[number]"}),
            limits=Limits(code_max_number_array_length=2),
            error="The length of output variable `r` must be less than 2 elements.",
        ),
    ]
    bad_configs = [
        code("", {"r": "string"}, code_language="ruby"),
        code("", {"r": "file"}),
        {"code": "x", "outputs": {"r": {"type": "object", "children": {"c": {"type": "set"}}}}},
        {"code_language": "python3"},
    ]
