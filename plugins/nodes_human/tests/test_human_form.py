"""What is shown of a form, and what an answer becomes."""

import os
from pathlib import Path

import msgspec
import pytest
from dify_kernel.contracts.node import NodeStatus
from dify_kernel.graph.values import File, FileTransfer, FileType, Value, ValueType, plain
from dify_kernel.testing.fakes import fake_context
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_human.node import HumanInputNode
from dify_nodes_human.rules import TIMEOUT
from hypothesis import given
from hypothesis import strategies as st

SHARED = Path(os.environ.get("DIFY_SHARED") or Path(__file__).parents[4] / "shared")
OK = {"id": "ok", "title": "OK"}
IMAGE = File(id="f", related_id="f", type=FileType.IMAGE, filename="a.png", extension=".png", url="http://x/a.png")
PAPER = File(id="g", type=FileType.DOCUMENT, filename="b.pdf", extension=".PDF", url="http://x/b.pdf")
LINK = File(id="h", type=FileType.CUSTOM, transfer_method=FileTransfer.REMOTE_URL, filename="c", extension=".x")


def stored(file):
    """A file as the log of a run keeps it."""
    return msgspec.to_builtins(file)


def field(kind, **extra):
    return {"type": kind, "output_variable_name": "f", **extra}


def node(content="", *inputs, **extra):
    return make_node(
        HumanInputNode, {"form_content": content, "inputs": list(inputs), "user_actions": [OK], **extra}, "human"
    )


async def ask(built, **variables):
    return (await run_node(built, fake_context("human", {"v": variables}))).pause


async def answer(built, value, action="ok", **variables):
    given = {"action": action, "inputs": {"f": value}}
    return await run_node(built, fake_context("human", {"v": variables}, answer=given))


# -- the form ----------------------------------------------------------------------------------------------------


async def test_the_text_shows_values_as_markdown_and_keeps_the_places_of_fields():
    built = node("{{#v.l#}}\n{{#v.f#}} {{#$output.f#}} {{#ghost.x#}}", field("paragraph"))
    shown = (await ask(built, l=["a", "b"], f=IMAGE)).data["form_content"]
    assert shown == "- a\n- b\n![a.png](http://x/a.png) {{#$output.f#}} ghost.x"
    assert {("v", "l"), ("v", "f"), ("ghost", "x")} == set(built.selectors())


@pytest.mark.parametrize(
    ("default", "shown"),
    [
        ({"type": "constant", "value": "as before", "selector": []}, {"f": "as before"}),
        ({"type": "constant", "value": ""}, {"f": ""}),
        ({"type": "variable", "selector": ["v", "n"], "value": "unused"}, {"f": "12"}),
        ({"type": "variable", "selector": ["v", "ghost"]}, {}),
        (None, {}),
    ],
)
async def test_defaults_are_resolved_to_texts(default, shown):
    data = (await ask(node("", field("paragraph", default=default)), n=12)).data
    assert data["resolved_default_values"] == shown
    assert (data["inputs"][0]["default"] or {}).get("type") == (default or {}).get("type")


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ({"type": "constant", "value": ["a", "b"]}, ["a", "b"]),
        ({"type": "variable", "selector": ["v", "l"]}, ["x", "1"]),
        ({"type": "variable", "selector": ["v", "ghost"]}, []),
        ({"type": "variable", "selector": ["v", "n"]}, []),
    ],
)
async def test_options(source, options):
    [shown] = (await ask(node("", field("select", option_source=source)), l=["x", 1], n=3)).data["inputs"]
    assert shown["options"] == options
    assert shown["option_source"]["type"] == source["type"]


async def test_files_carry_their_limits():
    limits = {"allowed_file_types": ["image"], "allowed_file_extensions": [".x"], "number_limits": 2}
    [shown] = (await ask(node("", field("file-list", **limits)))).data["inputs"]
    assert limits.items() <= shown.items()


@pytest.mark.parametrize(
    ("methods", "kept", "shown"),
    [
        (None, [], True),
        ([], [], True),
        ([{"type": "webapp", "enabled": True, "config": {}}], ["webapp"], True),
        ([{"type": "webapp", "enabled": False}, {"type": "email", "enabled": True}], ["email"], False),
        ([{"type": "email", "enabled": True}, {"type": "webapp"}], ["email", "webapp"], True),
    ],
)
async def test_deliveries(methods, kept, shown):
    data = (await ask(node("x", delivery_methods=methods))).data
    assert [method["type"] for method in data["delivery_methods"]] == kept
    assert data["display_in_ui"] is shown


async def test_what_is_sent_is_filled_in():
    config = {"recipients": {"items": []}, "subject": "About {{#v.what#}}", "body": "{{#v.what#}}: {{#url#}}"}
    built = node("x", delivery_methods=[{"type": "email", "enabled": True, "config": config}])
    [sent] = (await ask(built, what="it")).data["delivery_methods"]
    assert sent["config"] == {"recipients": {"items": []}, "subject": "About it", "body": "it: {{#url#}}"}
    assert built.selectors() == [("v", "what"), ("v", "what")]


@pytest.mark.parametrize(
    ("timeout", "unit", "seconds"), [(36, "hour", 129_600), (3, "day", 259_200), ("1", "hour", 3600)]
)
async def test_how_long_it_is_open(timeout, unit, seconds):
    assert (await ask(node("x", timeout=timeout, timeout_unit=unit))).expires_in == seconds


async def test_it_is_open_for_36_hours_unless_told():
    assert (await ask(node("x"))).expires_in == 36 * 3600


def test_handles():
    assert node("x", user_actions=[OK, {"id": "no"}]).handles() == ["ok", "no", TIMEOUT]


# -- answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "value", "output", "rendered"),
    [
        (field("text-input"), "hi", "hi", "hi"),
        (field("text_input"), "", "", ""),
        (field("paragraph"), "a\n{{#v.s#}} {{#$output.f#}}", "a\n{{#v.s#}} {{#$output.f#}}", None),
        (field("select", option_source={"type": "constant", "value": ["a", "b"]}), "b", "b", "b"),
        (field("select", option_source={"type": "variable", "selector": ["v", "l"]}), "x", "x", "x"),
        (field("file"), stored(IMAGE), IMAGE, "![a.png](http://x/a.png)"),
        (field("file", allowed_file_types=["document"]), stored(PAPER), PAPER, "[b.pdf](http://x/b.pdf)"),
        (
            field("file", allowed_file_types=["custom"], allowed_file_extensions=["PDF"]),
            stored(PAPER),
            PAPER,
            "[b.pdf](http://x/b.pdf)",
        ),
        (
            field("file-list", number_limits=2),
            [stored(IMAGE), stored(PAPER)],
            Value(ValueType.ARRAY_FILE, [IMAGE, PAPER]),
            "![a.png](http://x/a.png)\n[b.pdf](http://x/b.pdf)",
        ),
        (field("file-list"), [], Value(ValueType.ARRAY_FILE, []), ""),
    ],
)
async def test_answers(shape, value, output, rendered):
    result = (await answer(node("{{#v.s#}}|{{#$output.f#}}|", shape), value, s="S", l=["x"])).result
    assert result.status is NodeStatus.SUCCEEDED
    assert result.handle == "ok"
    assert result.outputs == {
        "f": output,
        "__action_id": "ok",
        "__rendered_content": f"S|{value if rendered is None else rendered}|",
    }


@pytest.mark.parametrize(
    ("shape", "value", "wrong"),
    [
        (field("paragraph"), 1, "not a text"),
        (field("paragraph"), None, "not a text"),
        (field("select", option_source={"type": "constant", "value": ["a"]}), "b", "none of its options"),
        (field("select", option_source={"type": "constant", "value": ["a"]}), ["a"], "not a text"),
        (field("file"), "a.png", "not a file"),
        (field("file"), None, "not a file"),
        (field("file"), {"transfer_method": "local_file", "upload_file_id": "f"}, "not a file"),
        (field("file"), {**stored(IMAGE), "type": "guess"}, "not a file"),
        (field("file"), [stored(IMAGE)], "not a file"),
        (field("file", allowed_file_types=["document"]), stored(IMAGE), "of the type image"),
        (
            field("file", allowed_file_types=["custom"], allowed_file_extensions=[".y"]),
            stored(LINK),
            "of the type custom",
        ),
        (field("file", allowed_file_upload_methods=["local_file"]), stored(LINK), "came by remote_url"),
        (field("file-list"), stored(IMAGE), "not a list of files"),
        (field("file-list", number_limits=1), [stored(IMAGE), stored(PAPER)], "at most 1"),
    ],
)
async def test_an_answer_that_does_not_fit_fails(shape, value, wrong):
    outcome = await answer(node("", shape), value)
    assert wrong in outcome.failure
    assert (outcome.error.error_type, outcome.error.where) == ("InvalidFormData", {"node_id": "human"})


@pytest.mark.parametrize("given", [{}, {"action": None}, {"action": "no"}, {"action": ["ok"]}, {"inputs": {"f": "x"}}])
async def test_an_action_must_be_one_of_the_buttons(given):
    outcome = await run_node(node("", field("paragraph")), fake_context("human", {}, answer=given))
    assert outcome.failure.startswith("Invalid action: ")


@pytest.mark.parametrize("inputs", [None, {}, [], {"g": "x"}])
async def test_every_field_must_be_there(inputs):
    context = fake_context("human", {}, answer={"action": "ok", "inputs": inputs})
    outcome = await run_node(node("", field("paragraph"), {**field("file"), "output_variable_name": "h"}), context)
    assert outcome.failure == "Missing required inputs: f, h"


@given(value=st.text(), variable=st.text())
async def test_nothing_inside_an_answer_or_a_variable_is_a_reference(value, variable):
    result = (await answer(node("{{#v.s#}}{{#$output.f#}}", field("paragraph")), value, s=variable)).result
    assert plain(result.outputs)["__rendered_content"] == variable + value


# -- the first form ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "default", "handle"),
    [
        ({}, [], "source"),
        ({"selected_branch": "left"}, [], "left"),
        ({"handle": " left "}, [], "left"),
        ({"branch": {"id": "left"}}, [], "left"),
        ({"branch": ""}, [{"key": "branch_id", "value": "right"}], "right"),
        ({"branch": 1}, [], "source"),
        ({}, [{"key": "handle", "type": "string", "value": "right"}], "right"),
        ({}, [{"key": "other", "value": "right"}], "source"),
    ],
)
async def test_the_handle_of_the_first_form(own, default, handle):
    built = make_node(HumanInputNode, {"required_variables": ["v.x"], "default_value": default}, "human")
    outcome = await run_node(built, fake_context("human", {"v": {"x": None}, "human": own}))
    assert outcome.result.handle == handle


async def test_what_is_missing_is_asked_for_once():
    built = make_node(HumanInputNode, {"required_variables": ["v.x", "v.y"]}, "human")
    asked = (await run_node(built, fake_context("human", {"v": {"y": 1}}))).pause
    assert (asked.data["missing_variables"], asked.expires_in) == (["v.x"], None)
    chosen = {"action": asked.data["actions"][0]["id"], "inputs": {}}
    done = (await run_node(built, fake_context("human", {"v": {"y": 1}}, answer=chosen))).result
    assert done.handle == "source"


# -- exports -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SHARED.is_dir(), reason="no exports beside the checkout; set DIFY_SHARED")
@pytest.mark.parametrize(("number", "problems"), [("039", ["approve", "comment"]), ("103", [])])
def test_exports(number, problems):
    yaml = pytest.importorskip("yaml")
    [path] = (SHARED / "corpus" / "dsl").glob(f"{number}-*.yml")
    nodes = yaml.safe_load(path.read_text("utf-8"))["workflow"]["graph"]["nodes"]
    [data] = [node["data"] for node in nodes if node["data"]["type"] == "human-input"]
    found = make_node(HumanInputNode, data).problems()
    assert len(found) == len(problems)
    assert all(f"{name!r} is used twice" in text for name, text in zip(problems, found, strict=True))
