"""The human input node keeps the node contract, in both of its forms."""

from dify_kernel.contracts.node import Pause
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_human.node import HumanInputNode

APPROVE = {"id": "approve", "title": "Approve", "button_style": "primary"}
REJECT = {"id": "reject", "title": "No"}
COMMENT = {"type": "text-input", "output_variable_name": "comment"}


def form(**extra):
    return {
        "form_content": "Approve {{#v.what#}}? {{#$output.comment#}}",
        "inputs": [COMMENT],
        "user_actions": [APPROVE, REJECT],
        "timeout": 36,
        "timeout_unit": "hour",
        "delivery_methods": [{"type": "webapp", "enabled": True, "config": {}}],
        **extra,
    }


def field(**extra):
    return form(inputs=[{**COMMENT, **extra}])


def action(**extra):
    return form(user_actions=[{**APPROVE, **extra}])


VARIABLES = {"v": {"what": "the plan", "names": ["a", "b"]}}
QUESTION = {
    "form_content": "Approve the plan? {{#$output.comment#}}",
    "inputs": [{"type": "text-input", "output_variable_name": "comment", "required": True, "default": None}],
    "actions": [APPROVE, {**REJECT, "button_style": "default"}],
    "resolved_default_values": {},
    "delivery_methods": [{"type": "webapp", "enabled": True, "config": {}}],
    "display_in_ui": True,
}
ASKED = Pause(type="human_input_required", data=QUESTION, expires_in=36 * 3600.0)


class TestHumanInputNode(NodeSuite):
    node = HumanInputNode
    examples = [
        NodeExample(name="asked", config=form(), variables=VARIABLES, pause=ASKED),
        NodeExample(
            name="answered",
            config=form(),
            variables=VARIABLES,
            pause=ASKED,
            answer={"action": "approve", "inputs": {"comment": "fine", "more": [1]}},
            outputs={
                "comment": "fine",
                "__action_id": "approve",
                "__rendered_content": "Approve the plan? fine",
            },
            handle="approve",
        ),
        NodeExample(
            name="in time nobody",
            config=form(),
            variables=VARIABLES,
            answer={"timeout": True},
            outputs={"__action_id": "", "__rendered_content": "Approve the plan? "},
            handle="__timeout",
        ),
        NodeExample(
            name="everything",
            config=form(
                inputs=[
                    {**COMMENT, "type": "paragraph", "default": {"type": "variable", "selector": ["v", "what"]}},
                    {
                        "type": "select",
                        "output_variable_name": "who",
                        "option_source": {"type": "variable", "selector": ["v", "names"]},
                    },
                ],
                delivery_methods=[{"type": "email", "enabled": True, "config": {"body": "{{#v.what#}}: {{#url#}}"}}],
            ),
            variables=VARIABLES,
            answer={"action": "reject", "inputs": {"comment": "", "who": "b"}},
            handle="reject",
        ),
        NodeExample(
            name="no such action",
            config=form(),
            variables=VARIABLES,
            answer={"action": "maybe", "inputs": {"comment": "x"}},
            error="Invalid action: maybe",
        ),
        NodeExample(
            name="missing field",
            config=form(),
            variables=VARIABLES,
            answer={"action": "approve", "inputs": {}},
            error="Missing required inputs: comment",
        ),
        NodeExample(name="nothing to wait for", config={}, outputs={}),
        NodeExample(
            name="variables are there",
            config={"required_variables": ["v.what"], "pause_reason": "x"},
            variables=VARIABLES,
        ),
        NodeExample(
            name="variables are missing",
            config={
                "required_variables": ["v.what", "ghost.x"],
                "pause_reason": "who is it?",
                "default_value": [{"key": "branch", "type": "string", "value": "known"}],
            },
            variables=VARIABLES,
            pause=Pause(
                type="human_input_required",
                data={
                    "form_content": "who is it?",
                    "inputs": [],
                    "actions": [{"id": "known", "title": "Continue", "button_style": "default"}],
                    "resolved_default_values": {},
                    "delivery_methods": [],
                    "display_in_ui": True,
                    "missing_variables": ["ghost.x"],
                },
            ),
            answer={"action": "known", "inputs": {}},
            outputs={},
            handle="known",
        ),
    ]
    bad_configs = [
        form(user_actions=[]),
        {"form_content": "x"},
        form(user_actions=[APPROVE, APPROVE]),
        action(id=""),
        action(id="two words"),
        action(id="1st"),
        action(id="naïve"),
        action(id="approve\n"),
        action(id="a" * 21),
        action(id="__timeout"),
        action(title="t" * 101),
        action(button_style="loud"),
        form(inputs=[COMMENT, {**COMMENT, "type": "paragraph"}]),
        field(output_variable_name=""),
        field(output_variable_name="a-b"),
        field(output_variable_name="a" * 31),
        field(output_variable_name="__action_id"),
        field(type="slider"),
        field(default={"type": "variable", "selector": ["v"]}),
        field(default={"type": "guess", "value": "x"}),
        field(type="select"),
        field(type="select", option_source={"type": "constant", "value": []}),
        field(type="select", option_source={"type": "constant", "value": "a, b"}),
        field(type="select", option_source={"type": "variable", "selector": []}),
        field(type="file", allowed_file_upload_methods=["fax"]),
        field(type="file-list", number_limits=-1),
        form(timeout=0),
        form(timeout=-1),
        form(timeout="soon"),
        form(timeout_unit="week"),
        {"required_variables": ["alone"]},
        {"required_variables": ["v."]},
    ]
