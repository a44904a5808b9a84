"""Every node of the package keeps the node contract."""

from dify_kernel.contracts.node import Limits
from dify_kernel.graph.values import File, FileTransfer, FileType, Value, ValueType
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_core.aggregator import AggregatorNode, LegacyAggregatorNode
from dify_nodes_core.answer import AnswerNode
from dify_nodes_core.assigner import AssignerNode
from dify_nodes_core.assigner_v1 import AssignerV1Node
from dify_nodes_core.end import EndNode
from dify_nodes_core.if_else import IfElseNode
from dify_nodes_core.start import StartNode
from dify_nodes_core.template_transform import TemplateTransformNode

PICTURE = File(
    id="1",
    type=FileType.IMAGE,
    transfer_method=FileTransfer.LOCAL_FILE,
    filename="a.png",
    extension=".png",
    url="http://f/a.png",
)
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
FORM = [
    {"variable": "q", "label": "q", "type": "text-input", "required": True, "max_length": None, "options": None},
    {"variable": "j", "type": "json_object", "json_schema": SCHEMA},
]


class TestStart(NodeSuite):
    node = StartNode
    examples = [
        NodeExample(
            config={"variables": FORM},
            variables={"node": {"q": "hi", "j": {"a": 1}}, "sys": {"files": [], "user_id": "u"}},
            outputs={"q": "hi", "j": {"a": 1}, "sys.files": [], "sys.user_id": "u"},
        ),
        NodeExample(name="null variables", config={"variables": None}, outputs={}),
        NodeExample(
            name="schema as text",
            config={"variables": [{"variable": "j", "type": "json_object", "json_schema": '{"type": "object"}'}]},
            variables={"node": {"j": None}},
            outputs={"j": None},
        ),
        NodeExample(
            name="schema violated",
            config={"variables": FORM},
            variables={"node": {"q": "hi", "j": {"a": "x"}}},
            error="JSON object for 'j' does not match schema: 'x' is not of type 'integer'",
        ),
        NodeExample(
            name="required object missing",
            config={"variables": [{"variable": "j", "type": "json_object", "required": True, "json_schema": SCHEMA}]},
            error="j is required",
        ),
    ]
    bad_configs = [
        {"variables": [{"variable": "a"}, {"variable": "a"}]},
        {"variables": [{"variable": ""}]},
        {"variables": [{"variable": "a", "type": "colour"}]},
        {"variables": [{"variable": "a", "type": "json_object", "json_schema": "{"}]},
        {"variables": [{"variable": "a", "type": "json_object", "json_schema": {"type": "thing"}}]},
        {"variables": [{"variable": "a", "type": "json_object", "json_schema": {"pattern": "(a+)+$"}}]},
    ]


class TestEnd(NodeSuite):
    node = EndNode
    examples = [
        NodeExample(
            config={
                "outputs": [
                    {"variable": "a", "value_selector": ["x", "o", "k"], "value_type": "Array[String]"},
                    {"variable": "b", "value_selector": ["x", "nothing"]},
                    {"variable": "c", "value_selector": []},
                    {"variable": "f", "value_selector": ["x", "f"]},
                ]
            },
            variables={"x": {"o": {"k": [1]}, "f": PICTURE}},
            outputs={"a": [1], "b": None, "c": None, "f": PICTURE},
        ),
        NodeExample(name="null", config={"outputs": None}, outputs={}),
    ]
    bad_configs = [{"outputs": [{"variable": 1}]}, {"outputs": "all"}]

    def test_pieces_are_joined_by_line_ends(self):
        assert self._build(self.examples[0]).pieces() == [
            ("x", "o", "k"),
            "\n",
            ("x", "nothing"),
            "\n",
            ("x", "f"),
        ]


class TestAnswer(NodeSuite):
    node = AnswerNode
    examples = [
        NodeExample(
            config={"answer": "a={{#x.a#}} {{#x.f#}} {{#x.none#}}{{#sys.query#}} {{ #x.a# }}", "variables": []},
            variables={"x": {"a": {"k": 1}, "f": [PICTURE]}, "sys": {"query": "q"}},
            outputs={
                "answer": 'a={\n  "k": 1\n} ![a.png](http://f/a.png) x.noneq {{ #x.a# }}',
                "files": [PICTURE],
            },
        ),
        NodeExample(name="empty", config={}, outputs={"answer": "", "files": []}),
        NodeExample(
            name="one file",
            config={"answer": "{{#x.f#}}"},
            variables={"x": {"f": PICTURE}},
            outputs={"answer": "![a.png](http://f/a.png)", "files": [PICTURE]},
        ),
    ]
    bad_configs = [{"answer": ["x"]}]

    def test_pieces_are_the_template(self):
        pieces = self._build(NodeExample(config={"answer": "a{{#x.y#}}{{#x.z.w#}}b"})).pieces()

        assert pieces == ["a", ("x", "y"), ("x", "z", "w"), "b"]


def _condition(operator, value, selector=("x", "a"), **more):
    return {"variable_selector": list(selector), "comparison_operator": operator, "value": value, **more}


def _cases(*groups):
    return {"cases": [{"case_id": name, "logical_operator": op, "conditions": list(cs)} for name, op, *cs in groups]}


class TestIfElse(NodeSuite):
    node = IfElseNode
    examples = [
        NodeExample(
            name="second case",
            config=_cases(
                ("one", "and", _condition("is", "b"), _condition("is", "never read", ("x", "gone"))),
                ("two", "or", _condition("is", "{{#x.b#}}"), _condition("is", "never read", ("x", "gone"))),
            ),
            variables={"x": {"a": "a", "b": "a"}},
            outputs={"result": True, "selected_case_id": "two"},
            handle="two",
        ),
        NodeExample(
            name="else",
            config=_cases(("one", "and", _condition("is", "b"))),
            variables={"x": {"a": "a"}},
            outputs={"result": False, "selected_case_id": "false"},
            handle="false",
        ),
        NodeExample(
            name="old form",
            config={"conditions": [_condition("contains", "a")], "logical_operator": "and", "cases": None},
            variables={"x": {"a": "bab"}},
            outputs={"result": True, "selected_case_id": "true"},
            handle="true",
        ),
        NodeExample(
            name="nothing to test",
            config={"cases": [{"case_id": "true", "conditions": None}]},
            outputs={"result": True, "selected_case_id": "true"},
            handle="true",
        ),
        NodeExample(
            name="file list",
            config=_cases(
                (
                    "pics",
                    "and",
                    _condition(
                        "contains",
                        "",
                        sub_variable_condition={
                            "logical_operator": "and",
                            "conditions": [
                                {"key": "type", "comparison_operator": "in", "value": ["image"], "varType": "string"}
                            ],
                        },
                    ),
                )
            ),
            variables={"x": {"a": [PICTURE]}},
            handle="pics",
        ),
        NodeExample(name="missing", config=_cases(("one", "and", _condition("is", "b"))), error="not found"),
    ]
    bad_configs = [
        _cases(("one", "and", _condition("resembles", "b"))),
        _cases(("one", "xor", _condition("is", "b"))),
        _cases(("one", "and", _condition("is", "b", ()))),
        _cases(("one", "and"), ("one", "and")),
        _cases(("", "and")),
        _cases(("false", "and")),
        _cases(
            (
                "one",
                "and",
                _condition(
                    "contains",
                    "",
                    sub_variable_condition={
                        "logical_operator": "nor",
                        "conditions": [{"key": "colour", "comparison_operator": "?"}],
                    },
                ),
            )
        ),
        {"cases": None, "conditions": [{"id": "1", "conditions": [_condition("is", "b")]}]},
    ]


class TestTemplate(NodeSuite):
    node = TemplateTransformNode
    examples = [
        NodeExample(
            config={
                "template": "{{ a }} {% for i in l %}{{ i }},{% endfor %} {{ o.k }} {{ f.size }} {{ gone }}|{{ un }}",
                "variables": [
                    {"variable": "a", "value_selector": ["x", "a"], "value_type": "string"},
                    {"variable": "l", "value_selector": ["x", "l"]},
                    {"variable": "o", "value_selector": ["x", "o"]},
                    {"variable": "f", "value_selector": ["x", "f"]},
                    {"variable": "gone", "value_selector": ["x", "gone"]},
                ],
            },
            variables={"x": {"a": "A", "l": [1, 2], "o": {"k": True}, "f": PICTURE}},
            outputs={"output": "A 1,2, True -1 None|"},
        ),
        NodeExample(name="literal", config={"template": "as it is", "variables": None}, outputs={"output": "as it is"}),
        NodeExample(name="line ends", config={"template": "a\r\nb\n"}, outputs={"output": "a\nb"}),
        NodeExample(name="repeatable", config={"template": "{{ range(1000)|random }}"}),
        NodeExample(name="syntax", config={"template": "{% if %}"}, error="Expected an expression"),
        NodeExample(name="failing", config={"template": "{{ 1 / 0 }}"}, error="division by zero"),
        NodeExample(
            name="too long",
            config={"template": "0123456789"},
            limits=Limits(template_transform_max_length=9),
            error="Output length exceeds 9 characters",
        ),
        NodeExample(
            name="too long in a loop",
            config={"template": "{% for i in range(10) %}ab{% endfor %}"},
            limits=Limits(template_transform_max_length=19),
            error="Output length exceeds 19 characters",
        ),
    ]
    bad_configs = [{"variables": [{"variable": "", "value_selector": ["a", "b"]}]}, {"template": 1}]


SEVERAL = [["a", "x"], ["c", "x"]]


class TestAggregator(NodeSuite):
    node = AggregatorNode
    examples = [
        NodeExample(
            config={"output_type": "string", "variables": [["a", "gone"], ["b", "null"], ["c", "x"]]},
            variables={"b": {"null": None}, "c": {"x": "x"}},
            outputs={"output": None},
        ),
        NodeExample(name="none present", config={"variables": [["a", "x"], []]}, outputs={}),
        NodeExample(
            name="groups",
            config={
                "variables": [],
                "advanced_settings": {
                    "group_enabled": True,
                    "groups": [
                        {
                            "group_name": "G1",
                            "groupId": "1",
                            "output_type": "string",
                            "variables": [["a", "x"], ["c", "x"]],
                        },
                        {"group_name": "G2", "variables": [["a", "x"]]},
                    ],
                },
            },
            variables={"c": {"x": "x"}},
            outputs={"G1": {"output": "x"}},
        ),
        NodeExample(
            name="groups switched off",
            config={"variables": [["c", "x"]], "advanced_settings": {"group_enabled": False, "groups": None}},
            variables={"c": {"x": PICTURE}},
            outputs={"output": PICTURE},
        ),
    ]
    bad_configs = [
        {"variables": [{"variable": "x"}]},
        {"advanced_settings": {"group_enabled": True, "groups": [{"group_name": "a"}, {"group_name": "a"}]}},
        {"advanced_settings": {"group_enabled": True, "groups": [{"group_name": ""}]}},
    ]


class TestLegacyAggregator(TestAggregator):
    node = LegacyAggregatorNode


def _items(*items):
    names = ("variable_selector", "input_type", "operation", "value")
    return {"version": "2", "items": [dict(zip(names, item, strict=True)) for item in items]}


N, S, L, OBJ = (("conversation", name) for name in "nslo")
STATE = {
    "conversation": {
        "n": 10,
        "s": "init",
        "l": Value(ValueType.ARRAY_STRING, ["a"]),
        "o": {"k": 1},
        "b": True,
    },
    "x": {"text": "t", "texts": ["b", "c"], "null": None, "numbers": [1]},
}


def _written(selector, kind, data):
    return selector, Value(kind, data)


class TestAssigner(NodeSuite):
    node = AssignerNode
    examples = [
        NodeExample(
            name="in order",
            config=_items(
                ([*N], "constant", "+=", 5),
                ([*N], "constant", "/=", 2),
                ([*L], "variable", "append", ["x", "text"]),
                ([*L], "variable", "extend", ["x", "texts"]),
                ([*L], "variable", "remove-first", None),
                ([*S], "constant", "set", "{{#not.rendered#}}"),
                ([*OBJ], "constant", "set", '{"a": 1}'),
            ),
            variables=STATE,
            outputs={},
            updates=[
                _written(N, ValueType.FLOAT, 7.5),
                _written(L, ValueType.ARRAY_STRING, ["t", "b", "c"]),
                _written(S, ValueType.STRING, "{{#not.rendered#}}"),
                _written(OBJ, ValueType.OBJECT, {"a": 1}),
            ],
        ),
        NodeExample(
            name="clear",
            config=_items(
                ([*N], "variable", "clear", None),
                ([*S], "variable", "clear", None),
                ([*L], "variable", "clear", None),
                ([*OBJ], "variable", "clear", None),
                (["conversation", "b"], "variable", "clear", None),
            ),
            variables=STATE,
            updates=[
                _written(N, ValueType.INTEGER, 0),
                _written(S, ValueType.STRING, ""),
                _written(L, ValueType.ARRAY_STRING, []),
                _written(OBJ, ValueType.OBJECT, {}),
                _written(("conversation", "b"), ValueType.BOOLEAN, False),
            ],
        ),
        NodeExample(
            name="a null source is skipped",
            config=_items(([*S], "variable", "over-write", ["x", "null"])),
            variables=STATE,
            updates=[],
        ),
        NodeExample(name="nothing", config={"items": None}, updates=[]),
        NodeExample(
            name="no target",
            config=_items((["conversation", "z"], "constant", "set", 1)),
            error="Variable ['conversation', 'z'] not found",
        ),
        NodeExample(
            name="no source",
            config=_items(([*S], "variable", "over-write", ["x", "z"])),
            variables=STATE,
            error="Variable ['x', 'z'] not found",
        ),
        NodeExample(
            name="wrong operation",
            config=_items(([*S], "constant", "+=", 1)),
            variables=STATE,
            error="Operation += is not supported for type string",
        ),
        NodeExample(
            name="wrong input",
            config=_items(([*L], "constant", "over-write", ["x"])),
            variables=STATE,
            error="Input type constant is not supported for operation over-write",
        ),
        NodeExample(
            name="wrong item",
            config=_items(([*L], "variable", "extend", ["x", "numbers"])),
            variables=STATE,
            error="Invalid input value [1]",
        ),
        NodeExample(
            name="division by zero",
            config=_items(([*N], "constant", "/=", 0)),
            variables=STATE,
            error="Invalid input value 0",
        ),
        NodeExample(
            name="object of bad JSON",
            config=_items(([*OBJ], "constant", "set", "{")),
            variables=STATE,
            error="Invalid input value {",
        ),
    ]
    bad_configs = [
        _items(([], "constant", "set", 1)),
        _items(([*N], "constant", "square", 1)),
        _items(([*N], "prayer", "set", 1)),
        _items(([*N], "variable", "+=", ["x", "n"])),
        _items(([*N], "variable", "over-write", "x.n")),
        _items(([*L], "constant", "append", "x")),
        _items(([*N], "constant", "+=", "one")),
        {"items": "x"},
    ]


def _v1(target, mode, source=None):
    return {"assigned_variable_selector": list(target), "write_mode": mode, "input_variable_selector": source}


class TestAssignerV1(NodeSuite):
    node = AssignerV1Node
    examples = [
        NodeExample(
            name="over-write",
            config=_v1(S, "over-write", ["x", "text"]),
            variables=STATE,
            outputs={},
            updates=[_written(S, ValueType.STRING, "t")],
        ),
        NodeExample(
            name="append",
            config=_v1(L, "append", ["x", "text"]),
            variables=STATE,
            updates=[_written(L, ValueType.ARRAY_STRING, ["a", "t"])],
        ),
        NodeExample(
            name="clear", config=_v1(OBJ, "clear", []), variables=STATE, updates=[_written(OBJ, ValueType.OBJECT, {})]
        ),
        NodeExample(name="null", config=_v1(S, "over-write", ["x", "null"]), variables=STATE, updates=[]),
        NodeExample(name="no target", config=_v1(S, "clear"), error="assigned variable not found"),
        NodeExample(
            name="no source", config=_v1(S, "append", ["x", "z"]), variables=STATE, error="input value not found"
        ),
        NodeExample(
            name="append to text",
            config=_v1(S, "append", ["x", "text"]),
            variables=STATE,
            error="Operation append is not supported for type string",
        ),
        NodeExample(
            name="wrong type",
            config=_v1(N, "over-write", ["x", "text"]),
            variables=STATE,
            error="Invalid input value t",
        ),
    ]
    bad_configs = [{}, _v1((), "clear"), _v1(S, "over-write"), _v1(S, "burn", ["x", "y"])]
