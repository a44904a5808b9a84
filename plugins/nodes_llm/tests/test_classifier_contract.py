"""The question classifier keeps the node contract."""

from dify_kernel.errors import InvokeRateLimitError
from dify_kernel.testing.fakes import FakeModels, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_llm.question_classifier import QuestionClassifierNode

MODEL = {"provider": "p/q/r", "name": "m", "mode": "chat", "completion_params": {"temperature": 0}}
CLASSES = [{"id": "1", "name": "Sports news"}, {"id": "two", "name": "Food of {{#v.where#}}"}]


def classify(**extra):
    return {
        "query_variable_selector": ["v", "q"],
        "model": MODEL,
        "classes": CLASSES,
        "instruction": "",
        "topics": [],
        "vision": {"enabled": False},
        **extra,
    }


def asked(text):
    return {"v": {"q": text, "where": "Rome"}}


def answered(text):
    return lambda: fake_ports(models=FakeModels(lambda _: text))


class TestQuestionClassifierNode(NodeSuite):
    node = QuestionClassifierNode
    examples = [
        NodeExample(name="first", config=classify(), variables=asked("sports today"), handle="1"),
        NodeExample(name="second", config=classify(), variables=asked("good food"), handle="two"),
        NodeExample(name="neither", config=classify(), variables=asked("rain"), handle="1"),
        NodeExample(name="quotes", config=classify(), variables=asked('the "food"\n\\ {{#v.q#}}'), handle="two"),
        NodeExample(name="number", config=classify(), variables=asked(12), handle="1"),
        NodeExample(
            name="unknown id",
            config=classify(),
            variables=asked("x"),
            ports=answered('{"category_id": "9", "category_name": "Weather"}'),
            handle="1",
        ),
        NodeExample(
            name="thinks",
            config=classify(),
            variables=asked("x"),
            ports=answered('<think>{"a": 1}</think>```json\n{"category_id": "two", "category_name": "Food",}\n```'),
            handle="two",
        ),
        NodeExample(
            name="completion",
            config=classify(model={**MODEL, "mode": "completion"}),
            variables=asked("food"),
            handle="two",
        ),
        NodeExample(
            name="everything",
            config=classify(
                instructions="old",
                instruction="about {{#v.where#}} and {{#ghost.x#}}",
                memory={"window": {"enabled": False, "size": 10}},
                vision={"enabled": True, "configs": {"variable_selector": ["v", "f"]}},
            ),
            variables=asked("food"),
            handle="two",
        ),
        NodeExample(
            name="no json",
            config=classify(),
            variables=asked("x"),
            ports=answered("It is sports."),
            error="could not find json block in the output.",
        ),
        NodeExample(
            name="refused",
            config=classify(),
            variables=asked("x"),
            ports=lambda: fake_ports(models=FakeModels(error=InvokeRateLimitError("too many requests"))),
            error="too many requests",
        ),
        NodeExample(name="no model", config=classify(model={}), variables=asked("x"), error="not exist"),
    ]
    bad_configs = [
        {},
        classify(classes=[]),
        classify(classes=[{"id": "", "name": "a"}]),
        classify(classes=[{"id": "a", "name": "a"}, {"id": "a", "name": "b"}]),
        classify(classes="a, b"),
        classify(model={**MODEL, "mode": "guess"}),
        classify(query_variable_selector="v.q"),
    ]
