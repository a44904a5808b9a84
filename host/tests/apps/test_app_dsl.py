"""The text of apps: what is read, what is refused and how, and that writing is stable."""

from __future__ import annotations

import contextlib
import copy
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from dify_host.apps import sharing
from dify_host.apps.dsl import AppDsl, dump, import_status, parse
from dify_host.apps.errors import InvalidDsl
from dify_host.apps.records import ModelConfig
from dify_host.apps.sharing import node_data
from dify_host.apps.validation import Problem, check_config, check_workflow
from dify_host.apps.yaml_text import read_yaml, write_yaml
from dify_kernel.errors import BadInput, TooLarge
from dify_kernel.registry import Registry
from hypothesis import example, given, settings
from hypothesis import strategies as st

from . import sample_apps as sample

MODES = ("workflow", "advanced-chat", "chat", "agent-chat", "completion")
SHARED = Path(os.environ.get("DIFY_SHARED") or Path(__file__).parents[4] / "shared")
CORPUS = sorted((SHARED / "corpus" / "dsl").glob("*.yml"))

# -- YAML ----------------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@given(values)
@example({"a\x85b": "a\u2028b\u2029 c\x85"})
@settings(deadline=None)
def test_every_json_value_comes_back(value: Any) -> None:
    assert read_yaml(write_yaml(value)) == value


@given(st.text("{}[]&*a1!?:-, \n\t|>'\"<=%#@", max_size=60) | st.binary(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_text_is_read_or_refused_as_bad_input(text: str | bytes) -> None:
    with contextlib.suppress(BadInput):
        write_yaml(read_yaml(text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\ufeffa: 1\r\nb: |\r\n  x\r\n  y\r\n", {"a": 1, "b": "x\ny\n"}),
        ("a: 1\na: 2", {"a": 2}),
        ("a: 2024-01-02", {"a": "2024-01-02"}),
        ("a: =", {"a": "="}),
        ("2: x\ntrue: y\nnull: z", {"2": "x", "true": "y", "null": "z"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("<<: {a: 1}\nb: 2", {"a": 1, "b": 2}),
    ],
)
def test_forms_that_occur_in_the_wild(text: str, value: Any) -> None:
    assert read_yaml(text) == value


def test_shared_parts_are_copied() -> None:
    read = read_yaml("a: &x [1]\nb: *x")
    assert read["a"] is not read["b"]


BOMB = "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12))])
LONG_BOMB = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]"


@pytest.mark.parametrize(
    ("text", "error", "line"),
    [
        ("a: 1\n\tb: 2", InvalidDsl, 2),
        ("a: [1", InvalidDsl, 2),
        ("a: 1\n---\nb: 2", InvalidDsl, 2),
        ("x: 1\na: *nowhere", InvalidDsl, 2),
        ("a: !!python/object/apply:os.system ['true']", InvalidDsl, 1),
        ("a: !!binary aGk=", InvalidDsl, None),
        ("a: !!int x", InvalidDsl, None),
        ("\na: &x [*x]", InvalidDsl, 2),
        ("[" * 5000, InvalidDsl, 1),
        ("\n".join(f"{' ' * i}a:" for i in range(200)), InvalidDsl, 101),
        (b"\xff\xfe", InvalidDsl, None),
        ("a: \x00", InvalidDsl, None),
        ("a: \ud800", InvalidDsl, None),
        (BOMB, TooLarge, 7),
        (LONG_BOMB, TooLarge, 2),
        ("a: 1\n" * 4_000_000, TooLarge, None),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_hostile_texts_are_refused_soon(text: str | bytes, error: type[BadInput], line: int | None) -> None:
    started = time.perf_counter()
    with pytest.raises(error) as refused:
        read_yaml(text)
    assert refused.value.where.get("line") == line
    assert time.perf_counter() - started < 5


# -- structure -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_writing_is_stable(mode: str) -> None:
    app = parse(sample.text(mode))
    written = dump(app)
    assert parse(written) == app
    assert dump(parse(written)) == written
    assert "🎉" in written
    assert list(yaml.safe_load(written)) == sorted(yaml.safe_load(written))


def test_unknown_keys_inside_graph_and_features_stay() -> None:
    app = parse(sample.text("workflow"))
    assert app.workflow is not None
    source = sample.document("workflow")["workflow"]
    assert (app.workflow.graph, app.workflow.features) == (source["graph"], source["features"])


def test_old_and_short_forms_get_their_defaults() -> None:
    app = parse("app: {mode: chat, name: 7}\nkind: other\nmodel_config: {pre_prompt: hi, agent_mode: null}")
    assert (app.version, app.kind, app.app.name, app.app.icon_background) == ("0.1.0", "app", "7", "#FFFFFF")
    assert app.model_config is not None
    assert app.model_config["retriever_resource"] == {"enabled": True}
    assert app.model_config["agent_mode"]["tools"] == []
    bare = parse("app: {mode: workflow}\nworkflow: {graph: {}}")
    assert bare.workflow is not None
    assert (bare.workflow.graph, bare.workflow.features) == ({}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": True}, "Invalid version type, expected str, got <class 'bool'>"),
        ({"version": [0.1]}, "Invalid version type, expected str, got <class 'list'>"),
        ({"app": None}, "Missing app data in YAML content"),
        ({"app": {"name": "x"}}, "loss app mode"),
        ({"app": {"mode": "channel"}}, "Invalid app mode"),
        ({"app": {"mode": "workflow", "name": []}}, "`app.name` must be a text"),
        ({"workflow": None}, "Missing workflow data"),
        ({"workflow": {"graph": []}}, None),
        ({"workflow": {"graph": "x"}}, "`workflow.graph` must be a mapping, not str"),
        ({"workflow": {"features": [1]}}, "`workflow.features` must be a mapping, not list"),
        ({"dependencies": {"a": 1}}, "`dependencies` must be a list, not dict"),
    ],
)
def test_wrong_structure_is_named(change: dict[str, Any], message: str | None) -> None:
    with pytest.raises(InvalidDsl) as refused:
        parse(sample.text("workflow", **change))
    assert message is None or message in refused.value.message


@pytest.mark.parametrize("text", ["", "just text", "- 1", "null"])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(InvalidDsl, match="content must be a mapping"):
        parse(text)


@pytest.mark.parametrize(
    "config", [{"user_input_form": {"a": 1}}, {"model": "gpt"}, {"suggested_questions": [1]}, {"pre_prompt": [1]}, {}]
)
def test_a_configuration_of_wrong_types_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidDsl, match="model_config"):
        parse(sample.text("chat", model_config=config))


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("0.5.0", "completed"),
        ("0.5.9rc1", "pending"),
        ("0.4.9", "completed-with-warnings"),
        ("0.1.0", "completed-with-warnings"),
        ("0.6.0", "pending"),
        ("1", "pending"),
    ],
)
def test_versions_decide_what_an_import_is(version: str, status: str) -> None:
    assert import_status(version) == status


def test_a_text_that_is_no_version_is_refused() -> None:
    with pytest.raises(InvalidDsl, match="no DSL version"):
        import_status("latest")


# -- variables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("x", "must be a mapping"),
        ({"value_type": "string", "value": ""}, "missing name"),
        ({"name": "a.b", "value_type": "string", "value": ""}, "cannot be referred to"),
        ({"name": "a", "value": ""}, "missing value type"),
        ({"name": "a", "value_type": "file", "value": ""}, "not supported value type file"),
        ({"name": "a", "value_type": "string"}, "missing value"),
        ({"name": "a", "value_type": "string", "value": 1}, "no string"),
        ({"name": "a", "value_type": "number", "value": True}, "no number"),
        ({"name": "a", "value_type": "number", "value": "1"}, "no number"),
        ({"name": "a", "value_type": "array[number]", "value": [1, "2"]}, "no array"),
        ({"name": "a", "value_type": "object", "value": []}, "no object"),
        ({"name": "a", "value_type": "secret", "value": "x"}, "not supported value type secret"),
        ({"name": "a", "value_type": "string", "value": "é" * 102_400}, "exceeds limit 204800"),
        ({"name": "seen", "value_type": "string", "value": ""}, "declared twice"),
    ],
)
def test_bad_variables_are_named(item: Any, message: str) -> None:
    body = sample.document("workflow")["workflow"] | {"conversation_variables": [sample.SEEN, item]}
    with pytest.raises(InvalidDsl, match=message.replace("[", r"\[")):
        parse(sample.text("workflow", workflow=body))


def test_variables_get_an_id_and_a_selector() -> None:
    twice = [parse(sample.text("workflow")).workflow for _ in range(2)]
    limits = [body.environment_variables[1] for body in twice if body]
    assert limits[0] == limits[1]
    assert (limits[0].selector, limits[0].value) == (["env", "LIMIT"], 3)


@pytest.mark.parametrize("written", ["cv_lang", 7, None])
def test_conversation_variables_have_ids_that_rows_can_have(written: Any) -> None:
    kept = str(uuid.uuid4())
    items = [{**sample.SEEN, "id": kept}, {"id": written, "name": "lang", "value_type": "string", "value": ""}]
    body = sample.document("workflow")["workflow"] | {"conversation_variables": items}
    read = [parse(sample.text("workflow", workflow=body)).workflow for _ in range(2)]
    seen, lang = read[0].conversation_variables if read[0] else []
    assert seen.id == kept
    assert str(uuid.UUID(lang.id)) == lang.id != kept
    assert read[0] == read[1]


# -- everything at once -------------------------------------------------------------------------------------

JUNK = (None, 1, [1], {"a": 1})


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from places(item, (*path, key))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of a value with another one at a path."""
    whole = target = copy.deepcopy(value)
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = new
    return whole


@pytest.mark.parametrize("mode", MODES)
def test_a_wrong_value_anywhere_is_bad_input_or_a_problem(mode: str, registry: Registry) -> None:
    document = sample.document(mode)
    if "model_config" in document:
        document["model_config"] |= sample.FULL_CONFIG
    for path in places(document):
        for junk in JUNK:
            text = yaml.dump(replaced(document, path, junk), Dumper=yaml.CSafeDumper)
            try:
                app = parse(text)
            except BadInput:
                continue
            found = check_app(app, registry)
            assert all(problem.message for problem in found), (path, junk)


def check_app(app: AppDsl, registry: Registry) -> list[Problem]:
    """Everything that reads an app after it was parsed."""
    sharing.used_plugins(app.dependencies)
    if app.workflow is not None:
        graph, _ = sharing.import_graph(app.workflow.graph, "tenant")
        shared = sharing.export_graph(graph, "tenant", include_secret=False, encrypt_datasets=True)
        sharing.graph_datasets(shared)
        sharing.derived_plugins(shared, {})
        return check_workflow(graph, app.workflow.features, app.app.mode, registry)
    config = app.model_config or {}
    sharing.config_datasets(sharing.export_config(config))
    sharing.derived_plugins({}, config)
    return check_config(msgspec.convert({**config, "id": "", "app_id": ""}, ModelConfig), app.app.mode, registry)


# -- apps from the wild --------------------------------------------------------------------------------------


@pytest.mark.skipif(not CORPUS, reason="no corpus of apps beside the checkout")
def test_apps_from_the_wild_are_read_or_explained(registry: Registry) -> None:
    for path in CORPUS[::2]:
        content = path.read_bytes()
        if b"rag_pipeline:" in content or b"kind: rag_pipeline" in content:
            continue
        app = parse(content)
        if app.workflow is None:
            continue
        problems = check_workflow(app.workflow.graph, app.workflow.features, app.app.mode, registry)
        ids = {node_id for node_id, _ in node_data(app.workflow.graph)}
        for problem in problems:
            assert problem.severity == "warning" or problem.node_id in ids, (path.name, problem)


@pytest.mark.skipif(not CORPUS, reason="no corpus of apps beside the checkout")
def test_apps_from_the_wild_are_written_as_they_were_read() -> None:
    for path in CORPUS[::20]:
        app = parse(path.read_bytes())
        assert parse(dump(app)) == app, path.name
