"""The parameter extractor keeps the node contract."""

from dify_kernel.contracts.model import ModelFeature
from dify_kernel.errors import InvokeRateLimitError
from dify_kernel.testing.fakes import FakeModels, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_llm.parameter_extractor import ParameterExtractorNode

MODEL = {"provider": "p/q/r", "name": "m", "mode": "chat", "completion_params": {"temperature": 0}}
CITY = {"name": "city", "type": "string", "description": "which city", "required": True}
DAYS = {"name": "days", "type": "number", "description": "", "required": False}


def extract(*parameters, **extra):
    return {
        "query": ["v", "q"],
        "model": MODEL,
        "parameters": list(parameters),
        "reasoning_mode": "prompt",
        "variables": [],
        **extra,
    }


def answered(text):
    return lambda: fake_ports(models=FakeModels(lambda _: text))


def called(**arguments):
    def ports():
        calls = [[("extract_parameters", arguments)]]
        return fake_ports(models=FakeModels(features=[ModelFeature.TOOL_CALL], tool_calls=calls))

    return ports


ASKED = {"v": {"q": "three days in Rome"}}


class TestParameterExtractorNode(NodeSuite):
    node = ParameterExtractorNode
    examples = [
        NodeExample(
            name="prompt", config=extract(CITY, DAYS), variables=ASKED, ports=answered('{"city": "Rome", "days": 3}')
        ),
        NodeExample(name="nothing", config=extract(CITY, DAYS), variables=ASKED),
        NodeExample(name="no parameters", config=extract(), variables=ASKED),
        NodeExample(
            name="function call",
            config=extract(CITY, DAYS, reasoning_mode="function_call"),
            variables=ASKED,
            ports=called(city="Rome", days=3),
        ),
        NodeExample(
            name="function call of old exports",
            config=extract({**CITY, "type": "select", "options": ["Rome"]}, reasoning_mode=""),
            variables=ASKED,
            ports=called(city="Rome"),
        ),
        NodeExample(
            name="every type",
            config=extract(
                *(
                    {"name": f"p{index}", "type": kind, "description": "x", "required": True}
                    for index, kind in enumerate(
                        [
                            *("string", "number", "boolean", "bool", "select"),
                            *("array[string]", "array[number]", "array[object]", "array[boolean]"),
                        ]
                    )
                )
            ),
            variables=ASKED,
        ),
        NodeExample(
            name="everything",
            config=extract(
                CITY,
                instruction="about {{#v.q#}} and {{#ghost.x#}}",
                memory={"window": {"enabled": True, "size": 10}, "query_prompt_template": ""},
                vision={"enabled": True, "configs": {"variable_selector": ["v", "f"], "detail": "high"}},
            ),
            variables=ASKED,
        ),
        NodeExample(name="completion", config=extract(CITY, model={**MODEL, "mode": "completion"}), variables=ASKED),
        NodeExample(
            name="refused",
            config=extract(CITY),
            variables=ASKED,
            ports=lambda: fake_ports(models=FakeModels(error=InvokeRateLimitError("too many requests"))),
            error="too many requests",
        ),
        NodeExample(name="no model", config=extract(CITY, model={}), variables=ASKED, error="not exist"),
    ]
    bad_configs = [
        {},
        extract({**CITY, "name": ""}),
        extract({**CITY, "name": "__reason"}),
        extract({**CITY, "name": "__usage"}),
        extract({**CITY, "type": "date"}),
        extract({**CITY, "type": "array"}),
        extract({**CITY, "type": "array[array[string]]"}),
        extract(CITY, {**DAYS, "name": "city"}),
        extract(CITY, model={**MODEL, "mode": "guess"}),
        extract(CITY, reasoning_mode="magic"),
        extract(CITY, parameters="city"),
    ]
