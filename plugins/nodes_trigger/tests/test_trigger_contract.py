"""The triggers keep the node contract, and give the parts of a request with their types."""

import msgspec
import pytest
from dify_kernel.graph.values import File, Value, ValueType
from dify_kernel.registry import Registry
from dify_kernel.testing.fakes import fake_context, fake_pool
from dify_kernel.testing.node import NodeExample, NodeSuite, make_node, run_node
from dify_nodes_trigger.event import PluginTriggerNode
from dify_nodes_trigger.plugin import NODES
from dify_nodes_trigger.schedule import ScheduleTriggerNode
from dify_nodes_trigger.webhook import WebhookTriggerNode

PICTURE = msgspec.to_builtins(File(id="1", filename="a.png", extension=".png"))
FORM = {
    "method": "post",
    "content_type": "multipart/form-data",
    "headers": [{"name": "X-Shop_Key", "required": True}, {"name": "x-none"}],
    "params": [{"name": "page", "type": "number"}, {"name": "absent"}],
    "body": [{"name": "note", "type": "string"}, {"name": "picture", "type": "file"}],
}
SENT = {
    "method": "POST",
    "headers": {"X-Shop-Key": "k", "Host": "dify.test"},
    "query_params": {"page": 2, "other": "x"},
    "body": {"note": "ünï", "more": "unasked"},
    "files": {"picture": PICTURE},
}


class TestWebhook(NodeSuite):
    node = WebhookTriggerNode
    examples = [
        NodeExample(
            name="a form with a file",
            config=FORM,
            variables={"node": {"webhook_data": SENT}, "sys": {"user_id": "u"}},
            outputs={
                "X_Shop_Key": "k",
                "x_none": None,
                "page": 2,
                "absent": None,
                "note": "ünï",
                "picture": PICTURE,
                "_webhook_raw": SENT,
                "sys.user_id": "u",
            },
        ),
        NodeExample(
            name="plain text",
            config={"method": "PUT", "content_type": "text/plain", "body": [{"name": "all", "type": "string"}]},
            variables={"node": {"webhook_data": {"body": {"raw": "whole"}}}},
            outputs={"all": "whole", "_webhook_raw": {"body": {"raw": "whole"}}},
        ),
        NodeExample(
            name="bytes",
            config={"content_type": "application/octet-stream", "body": [{"name": "all", "type": "file"}]},
            variables={"node": {"webhook_data": {"body": {"raw": PICTURE}}}},
            outputs={"all": PICTURE, "_webhook_raw": {"body": {"raw": PICTURE}}},
        ),
        NodeExample(
            name="null lists and a request that is none",
            config={"headers": None, "params": None, "body": None, "response_body": None},
            variables={"node": {"webhook_data": None}},
            outputs={"_webhook_raw": {}},
        ),
        NodeExample(
            name="a body that is a list",
            config={"body": [{"name": "a", "type": "string"}]},
            variables={"node": {"webhook_data": {"body": [1, 2]}}},
            outputs={"a": None, "_webhook_raw": {"body": [1, 2]}},
        ),
    ]
    bad_configs = [
        {"method": "brew"},
        {"content_type": "text/html"},
        {"status_code": 99},
        {"status_code": "many"},
        {"headers": [{"name": ""}]},
        {"params": [{"name": "a"}, {"name": "a"}]},
        {"body": {"payload": {"type": "object"}}},
        {"body": [{"name": "a", "type": "colour"}]},
        {"content_type": "text/plain", "body": [{"name": "a"}, {"name": "b"}]},
    ]

    @pytest.mark.parametrize("kind", ["array[string]", "array[number]", "array[boolean]", "array[object]"])
    async def test_an_empty_list_keeps_its_declared_type(self, kind):
        node = make_node(WebhookTriggerNode, {"body": [{"name": "items", "type": kind}]})
        pool = fake_pool({"node": {"webhook_data": {"body": {"items": []}}}})

        outcome = await run_node(node, fake_context("node", pool))

        assert outcome.result.outputs["items"] == Value(ValueType(kind), [])


def schedule(**given):
    return {"mode": "visual", "visual_config": given.pop("visual", None), **given}


class TestSchedule(NodeSuite):
    node = ScheduleTriggerNode
    examples = [
        NodeExample(
            name="visual",
            config=schedule(frequency="monthly", visual={"time": "8:05 PM", "monthly_days": [1, "last"]}),
            variables={"node": {"n": 1}, "sys": {"timestamp": 5}},
            outputs={"n": 1, "sys.timestamp": 5},
        ),
        NodeExample(name="cron", config={"mode": "cron", "cron_expression": "0 9 L * *"}, outputs={}),
        NodeExample(name="a name", config={"mode": "cron", "cron_expression": "@daily"}, outputs={}),
        NodeExample(name="hourly", config=schedule(frequency="hourly", visual={"on_minute": 59}), outputs={}),
        NodeExample(
            name="as exported",
            config={**schedule(frequency="daily"), "config": {"mode": "visual"}, "visual_config": {"weekdays": None}},
            outputs={},
        ),
    ]
    bad_configs = [
        {"mode": "cron"},
        {"mode": "cron", "cron_expression": "  "},
        {"mode": "cron", "cron_expression": "* * * *"},
        {"mode": "clock"},
        {"mode": "visual"},
        schedule(frequency="yearly"),
        schedule(frequency="hourly", visual={"on_minute": 60}),
        schedule(frequency="daily", visual={"time": "25:00"}),
        schedule(frequency="daily", visual={"time": "13:00 PM"}),
        schedule(frequency="weekly", visual={"weekdays": []}),
        schedule(frequency="weekly", visual={"weekdays": ["mardi"]}),
        schedule(frequency="monthly", visual={"monthly_days": []}),
        schedule(frequency="monthly", visual={"monthly_days": [32]}),
        schedule(frequency="monthly", visual={"monthly_days": ["first"]}),
    ]


class TestPluginTrigger(NodeSuite):
    node = PluginTriggerNode
    examples = [
        NodeExample(
            config={
                "provider_id": "langgenius/github/github",
                "event_name": "issue",
                "subscription_id": "",
                "event_parameters": {"label": {"type": "constant", "value": "bug"}},
            },
            variables={"node": {"issue": {"id": 1}}, "sys": {"user_id": "u"}},
            outputs={"issue": {"id": 1}, "sys.user_id": "u"},
        )
    ]
    bad_configs = [{"event_parameters": {"a": {"type": "variable", "value": ["x", "y"]}}}, {"event_parameters": []}]


def test_every_type_is_found_by_name():
    registry = Registry()
    for node in NODES:
        assert registry.node(node.type, node.version) is node
