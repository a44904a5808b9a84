"""The llm node keeps the node contract."""

from functools import partial

from dify_kernel.contracts.model import ModelFeature
from dify_kernel.contracts.node import Limits
from dify_kernel.errors import InvokeRateLimitError
from dify_kernel.testing.fakes import FakeModels, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_llm.node import LLMNode

MODEL = {"provider": "p/q/r", "name": "m", "mode": "chat", "completion_params": {"temperature": 0, "stop": ["END"]}}


def models(*args, **kwargs):
    return partial(lambda: fake_ports(models=FakeModels(*args, **kwargs)))


def chat(text, **extra):
    return {
        "model": MODEL,
        "prompt_template": [{"id": "1", "role": "user", "text": text}],
        "context": {"enabled": False, "variable_selector": []},
        "vision": {"enabled": False},
        "variables": [],
        **extra,
    }


def jinja(source):
    item = {"role": "user", "text": "", "edition_type": "jinja2", "jinja2_text": source}
    variables = [{"variable": "l", "value_selector": ["v", "l"]}, {"variable": "x", "value_selector": ["v", "ghost"]}]
    return chat("", prompt_template=[item], prompt_config={"jinja2_variables": variables})


class TestLLMNode(NodeSuite):
    node = LLMNode
    examples = [
        NodeExample(name="basic", config=chat("say {{#v.t#}}"), variables={"v": {"t": "hello"}}),
        NodeExample(name="jinja2", config=jinja("{% for a in l %}{{ a }},{% endfor %}"), variables={"v": {"l": ["a"]}}),
        NodeExample(
            name="context",
            config=chat("use {{#context#}}", context={"enabled": True, "variable_selector": ["kb", "result"]}),
            variables={"kb": {"result": [{"content": "a fact", "metadata": {"_source": "knowledge"}}]}},
        ),
        NodeExample(
            name="context without content",
            config=chat("x", context={"enabled": True, "variable_selector": ["kb", "result"]}),
            variables={"kb": {"result": [{"title": "t"}]}},
            error="Invalid context structure",
        ),
        NodeExample(
            name="memory",
            config=chat(
                "be brief", memory={"window": {"enabled": True, "size": 2}, "query_prompt_template": "{{#v.q#}}"}
            ),
            variables={"v": {"q": "what?"}},
        ),
        NodeExample(
            name="completion",
            config=chat("", prompt_template={"text": "go on: {{#v.t#}}"}, model={**MODEL, "mode": "completion"}),
            variables={"v": {"t": "once"}},
        ),
        NodeExample(
            name="structured",
            config=chat(
                'REPLY:```json\n{"a": 1,}\n```',
                structured_output_enabled=True,
                structured_output={"schema": {"type": "object", "properties": {"a": {"type": "number"}}}},
            ),
        ),
        NodeExample(
            name="native structured",
            config=chat(
                'REPLY:{"a": 1}', structured_output_enabled=True, structured_output={"schema": {"type": "object"}}
            ),
            ports=models(features=[ModelFeature.STRUCTURED_OUTPUT]),
        ),
        NodeExample(
            name="no structure",
            config=chat("REPLY:12", structured_output_enabled=True, structured_output={"schema": {"type": "object"}}),
            error="Failed to parse structured output: 12",
        ),
        NodeExample(
            name="no schema",
            config=chat("x", structured_output_enabled=True, structured_output={"enabled": True}),
            error="structured output schema",
        ),
        NodeExample(
            name="separated",
            config=chat("REPLY: <think>a\n\nb</think>\n\n\n c \n\n\n d ", reasoning_format="separated"),
            ports=models(reasoning="first"),
        ),
        NodeExample(name="tagged", config=chat("REPLY:<think>a</think> c "), ports=models(reasoning="first")),
        NodeExample(name="missing", config=chat("{{#ghost.x#}}"), error="Variable ghost.x not found"),
        NodeExample(
            name="nothing to say", config=chat("{{#v.t#}}"), variables={"v": {"t": None}}, error="No prompt found"
        ),
        NodeExample(name="no model", config=chat("x", model={"provider": "", "name": ""}), error="Model  not exist."),
        NodeExample(
            name="refused",
            config=chat("x"),
            ports=models(error=InvokeRateLimitError("too many requests")),
            error="too many requests",
        ),
        NodeExample(
            name="long jinja2",
            config=jinja("{{ l * 1000 }}"),
            variables={"v": {"l": "abc"}},
            limits=Limits(template_transform_max_length=100),
            error="exceeds 100 characters",
        ),
    ]
    bad_configs = [
        {"prompt_template": []},
        chat("x", model={**MODEL, "mode": "guess"}),
        chat("x", prompt_template=[{"role": "robot", "text": "x"}]),
        chat("x", reasoning_format="shouted"),
        chat("x", prompt_template="x"),
    ]
