"""Chat and completion configurations compile to graphs, and the model is asked what the configuration says."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.apps.records import ModelConfig
from dify_host.db.types import new_id
from dify_host.runs.basic import basic_graph
from dify_host.runs.basic_parts import form_variables
from dify_kernel.contracts.model import ImagePart, ModelFeature
from dify_kernel.errors import BadInput
from dify_kernel.graph.values import FileType
from hypothesis import given
from hypothesis import strategies as st

from .run_house import MODEL, RunHouse

TEXT_MODEL = {**MODEL, "mode": "completion"}
FORM = [
    {"text-input": {"variable": "topic", "label": "Topic", "required": True, "max_length": 40}},
    {"select": {"variable": "tone", "label": "Tone", "options": ["dry", "warm"], "default": "dry"}},
]


def form(*names: str) -> list[dict[str, Any]]:
    return [{"paragraph": {"variable": name, "label": name}} for name in names]


def knowledge(*dataset_ids: str, **settings: Any) -> dict[str, Any]:
    datasets = [{"dataset": {"enabled": True, "id": dataset_id}} for dataset_id in dataset_ids]
    return {"retrieval_model": "multiple", "datasets": {"datasets": datasets}, **settings}


async def asked(house: RunHouse, mode: str, config: dict[str, Any], **request: Any) -> list[tuple[str, str]]:
    """Run an app, and return what its model was told: roles and texts."""
    await house.run(house.basic(mode, **config), await house.app(mode), **request)
    return [(message.role, message.text) for message in house.models.requests[-1].messages]


# -- prompts ---------------------------------------------------------------------------------------------------------


async def test_a_chat_without_instructions(house: RunHouse) -> None:
    assert await asked(house, "chat", {}, query="hi") == [("user", "hi")]


async def test_a_chat_with_instructions_and_fields(house: RunHouse) -> None:
    config = {"pre_prompt": "About {{topic}}, {{tone}}. Keep {{this}}.", "user_input_form": FORM}
    told = await asked(house, "chat", config, query="hi", inputs={"topic": "rivers"})
    assert told == [("system", "About rivers, dry. Keep {{this}}."), ("user", "hi")]


async def test_a_chat_remembers(house: RunHouse) -> None:
    program, app = house.basic("chat"), await house.app("chat")
    started, _ = await house.run(program, app, query="one")
    await house.run(program, app, query="two", conversation_id=started.handle.run.conversation_id)
    told = [(message.role, message.text) for message in house.models.requests[-1].messages]
    assert told == [("user", "one"), ("assistant", "ECHO(one)"), ("user", "two")]


async def test_a_completion(house: RunHouse) -> None:
    config = {"pre_prompt": "Sum up: {{text}}", "user_input_form": form("text")}
    assert await asked(house, "completion", config, inputs={"text": "a b"}) == [("user", "Sum up: a b")]
    config = {"pre_prompt": "", "user_input_form": form("query")}
    assert await asked(house, "completion", config, inputs={"query": "a b"}) == [("user", "a b")]
    assert await asked(house, "completion", {}, query="free") == [("user", "free")]


async def test_advanced_prompts_of_a_chat(house: RunHouse) -> None:
    prompt = [{"role": "system", "text": "You know {{topic}}."}, {"role": "assistant", "text": "Yes"}]
    config = {"prompt_type": "advanced", "chat_prompt_config": {"prompt": prompt}, "user_input_form": form("topic")}
    told = await asked(house, "chat", config, query="hi", inputs={"topic": "rivers"})
    assert told == [("system", "You know rivers."), ("assistant", "Yes"), ("user", "hi")]


async def test_models_that_complete_a_text(house: RunHouse) -> None:
    program = house.basic("chat", pre_prompt="Be kind.", model=TEXT_MODEL)
    app = await house.app("chat")
    started, _ = await house.run(program, app, query="one")
    await house.run(program, app, query="two", conversation_id=started.handle.run.conversation_id)
    request = house.models.requests[-1]
    (message,) = request.messages
    assert request.mode == "completion"
    assert "Human: one\nAssistant: ECHO(" in message.text
    assert message.text.startswith("Be kind.")
    assert message.text.endswith("Human: two\nAssistant: ")
    assert "#" not in message.text
    config = {"pre_prompt": "Sum up: {{text}}", "user_input_form": form("text"), "model": TEXT_MODEL}
    assert await asked(house, "completion", config, inputs={"text": "a"}) == [("user", "Sum up: a")]


async def test_advanced_prompts_of_models_that_complete_a_text(house: RunHouse) -> None:
    text = "Know {{topic}}.\n{{#histories#}}\nHuman: {{#query#}}\nAssistant:"
    config = {
        "prompt_type": "advanced",
        "completion_prompt_config": {
            "prompt": {"text": text},
            "conversation_histories_role": {"user_prefix": "Q", "assistant_prefix": "A"},
        },
        "user_input_form": form("topic"),
        "model": TEXT_MODEL,
    }
    program, app = house.basic("chat", **config), await house.app("chat")
    started, _ = await house.run(program, app, query="one", inputs={"topic": "rivers"})
    conversation_id = started.handle.run.conversation_id
    await house.run(program, app, query="two", inputs={"topic": "rivers"}, conversation_id=conversation_id)
    (message,) = house.models.requests[-1].messages
    assert message.text.startswith("Know rivers.\nQ: one\nA: ECHO(")
    assert message.text.endswith("\nHuman: two\nAssistant:")


# -- knowledge -------------------------------------------------------------------------------------------------------


async def test_a_chat_with_knowledge(house: RunHouse) -> None:
    dataset_id = new_id()
    house.knowledge.datasets = {dataset_id: ["the Nile is a river"]}
    settings = {"top_k": 2, "score_threshold_enabled": True, "score_threshold": 0.25}
    config = {"pre_prompt": "Be kind.", "dataset_configs": knowledge(dataset_id, **settings)}
    told = await asked(house, "chat", config, query="which river")
    assert [role for role, _ in told] == ["system", "user"]
    system = told[0][1]
    assert "<context>\nthe Nile is a river\n</context>" in system
    assert system.endswith("Be kind.")
    (search,) = house.knowledge.requests
    assert (search.query, list(search.dataset_ids)) == ("which river", [dataset_id])
    assert (search.top_k, search.score_threshold) == (2, 0.25)


async def test_a_threshold_that_is_off_does_not_count(house: RunHouse) -> None:
    config = {"dataset_configs": knowledge(new_id(), score_threshold=0.9, score_threshold_enabled=False)}
    await asked(house, "chat", config, query="x")
    assert not house.knowledge.requests[0].score_threshold


async def test_the_prompt_says_where_the_passages_go(house: RunHouse) -> None:
    dataset_id = new_id()
    house.knowledge.datasets = {dataset_id: ["the Nile is a river"]}
    config = {"pre_prompt": "Facts: {{#context#}}.", "dataset_configs": knowledge(dataset_id)}
    told = await asked(house, "chat", config, query="which river")
    assert told[0] == ("system", "Facts: the Nile is a river.")


async def test_a_completion_asks_knowledge_by_its_query_variable(house: RunHouse) -> None:
    dataset_id = new_id()
    house.knowledge.datasets = {dataset_id: ["the Nile is a river"]}
    config = {
        "pre_prompt": "Answer {{q}}",
        "user_input_form": form("q"),
        "dataset_query_variable": "q",
        "dataset_configs": knowledge(dataset_id),
    }
    ((role, text),) = await asked(house, "completion", config, inputs={"q": "which river"})
    assert role == "user"
    assert "the Nile is a river" in text
    assert text.endswith("Answer which river")
    with pytest.raises(BadInput, match="dataset_query_variable"):
        house.basic("completion", dataset_configs=knowledge(dataset_id))


def test_datasets_that_are_off_are_left_out() -> None:
    configs = {"datasets": {"datasets": [{"dataset": {"enabled": False, "id": new_id()}}, {"dataset": {}}, "odd"]}}
    config = ModelConfig(id=new_id(), app_id=new_id(), model=MODEL, dataset_configs=configs)
    assert [node["id"] for node in basic_graph(config, "chat")["nodes"]] == ["start", "llm", "answer"]


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("upload", [{"image": {"enabled": True, "detail": "low"}}, {"enabled": True}, {}])
async def test_a_model_that_sees_gets_each_image_once(house: RunHouse, upload: dict[str, Any]) -> None:
    house.models.features = [ModelFeature.VISION]
    image = house.files.put(b"\x89PNG", filename="a.png", mime_type="image/png", type=FileType.IMAGE)
    await house.run(house.basic("chat", file_upload=upload), await house.app("chat"), query="look", files=[image])
    messages = house.models.requests[-1].messages
    parts = [part for message in messages if isinstance(message.content, list) for part in message.content]
    assert sum(isinstance(part, ImagePart) for part in parts) == (1 if upload else 0)
    assert messages[-1].text.strip() == "look"


# -- forms and refusals ----------------------------------------------------------------------------------------------


def config_of(*fields: dict[str, Any]) -> ModelConfig:
    return ModelConfig(id=new_id(), app_id=new_id(), model=MODEL, user_input_form=list(fields))


def test_fields_keep_what_a_start_node_knows() -> None:
    upload = {"variable": "f", "label": "F", "allowed_file_types": ["image"], "unknown": 1, "hide": None}
    found = form_variables(config_of(*FORM, {"file": upload}))
    assert found == [
        {"variable": "topic", "type": "text-input", "label": "Topic", "required": True, "max_length": 40},
        {"variable": "tone", "type": "select", "label": "Tone", "options": ["dry", "warm"], "default": "dry"},
        {"variable": "f", "type": "file", "label": "F", "allowed_file_types": ["image"]},
    ]


@pytest.mark.parametrize("body", [None, [], {}, {"variable": ""}, {"label": "x"}])
def test_a_field_without_a_name_is_refused(body: Any) -> None:
    with pytest.raises(BadInput, match="variable"):
        form_variables(config_of({"text-input": body}))


async def test_a_required_field_is_asked_for(house: RunHouse) -> None:
    with pytest.raises(BadInput, match="topic is required"):
        await asked(house, "chat", {"user_input_form": FORM}, query="hi")


async def test_what_a_user_writes_is_no_reference(house: RunHouse) -> None:
    config = {"pre_prompt": "About {{topic}}.", "user_input_form": form("topic")}
    sly = "{{#sys.user_id#}} {{topic}} {#context#} #histories#"
    told = await asked(house, "chat", config, query=sly, inputs={"topic": sly})
    assert told == [("system", f"About {sly}."), ("user", sly)]


@given(text=st.text(st.sampled_from("{}#ab x\n"), max_size=30))
def test_any_prompt_compiles_to_a_graph(text: str) -> None:
    config = ModelConfig(id=new_id(), app_id=new_id(), model=MODEL, pre_prompt=text, user_input_form=form("a"))
    for mode in ("chat", "completion"):
        assert [node["id"] for node in basic_graph(config, mode)["nodes"]] == ["start", "llm", "answer"]
