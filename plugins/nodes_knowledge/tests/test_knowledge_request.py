"""What is asked of the knowledge bases, and which citations come of the answer."""

import pytest
from dify_kernel.contracts.node import NodeStatus, RetrieverResources
from dify_kernel.contracts.ports import Retrieval
from dify_kernel.graph.values import Value, ValueType
from dify_kernel.testing.fakes import FakeFiles, FakeKnowledge, fake_context, fake_ports
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_knowledge.node import KnowledgeRetrievalNode

MODEL = {"provider": "p", "name": "m", "mode": "chat", "completion_params": {}}


async def ask(config, datasets=None, **variables):
    """Run the node; the question it asked and everything it yielded."""
    knowledge = FakeKnowledge(datasets)
    base = {"dataset_ids": ["kb"], "query_variable_selector": ["v", "q"]}
    context = fake_context("node", {"v": {"q": "apples", **variables}}, ports=fake_ports(knowledge=knowledge))
    outcome = await run_node(make_node(KnowledgeRetrievalNode, {**base, **config}), context)
    return (knowledge.requests or [None])[0], outcome


async def test_defaults():
    request, _ = await ask({})
    assert request == Retrieval(query="apples", dataset_ids=["kb"])


async def test_multiple():
    settings = {
        "top_k": 7,
        "score_threshold": 0.5,
        "reranking_enable": True,
        "reranking_mode": "weighted_score",
        "reranking_model": {"provider": "p", "model": "r"},
        "weights": {"keyword_setting": {"keyword_weight": 1}},
    }
    request, _ = await ask({"multiple_retrieval_config": settings, "single_retrieval_config": {"model": MODEL}})
    assert request == Retrieval(query="apples", dataset_ids=["kb"], **settings)


async def test_reranking_is_on_unless_switched_off():
    assert (await ask({"multiple_retrieval_config": {"top_k": 2}}))[0].reranking_enable
    assert not (await ask({"multiple_retrieval_config": {"reranking_enable": False}}))[0].reranking_enable


async def test_single():
    config = {"retrieval_mode": "single", "single_retrieval_config": {"model": MODEL}}
    request, _ = await ask({**config, "multiple_retrieval_config": {"top_k": 9}})
    assert request == Retrieval(query="apples", dataset_ids=["kb"], mode="single", single_model=MODEL)


def conditions(*values):
    found = [{"name": f"f{n}", "comparison_operator": "is", "value": value} for n, value in enumerate(values)]
    return {"conditions": found}


async def test_conditions_are_filled_in():
    values = ["x {{#v.t#}}", "{{#v.n#}}", "{{#v.f#}}", ["{{#v.t#}}", "z"], 5, None, "n{{#v.n#}}", "{{#v.ghost#}}"]
    config = {"metadata_filtering_mode": "manual", "metadata_filtering_conditions": conditions(*values)}
    request, _ = await ask(config, t=" a\n\tb ", n=3, f=1.5)
    assert request.metadata_filtering_mode == "manual"
    assert request.metadata_filtering_conditions["logical_operator"] == "and"
    found = [item["value"] for item in request.metadata_filtering_conditions["conditions"]]
    assert found == ["x  a b", 3, 1.5, ["a b", "z"], 5, None, "n3", "v.ghost"]


async def test_a_condition_compares_with_text_or_numbers():
    config = {"metadata_filtering_mode": "manual", "metadata_filtering_conditions": conditions("{{#v.o#}}")}
    request, outcome = await ask(config, o={"a": 1})
    assert request is None
    assert outcome.result.status is NodeStatus.FAILED
    assert "v.o, which is object" in outcome.result.error
    assert outcome.result.inputs == {"query": "apples"}


@pytest.mark.parametrize("mode", ["disabled", None, "automatic"])
async def test_conditions_count_only_in_manual_mode(mode):
    config = {"metadata_filtering_mode": mode, "metadata_filtering_conditions": conditions("x")}
    request, _ = await ask({**config, "metadata_model_config": MODEL})
    assert request.metadata_filtering_conditions is None
    assert request.metadata_model == (MODEL if mode == "automatic" else None)


async def test_attachments():
    file = FakeFiles().put(b"x", filename="a.png", mime_type="image/png")
    for given in (file, [file]):
        request, outcome = await ask({"query_attachment_selector": ["v", "f"]}, f=given)
        assert request.attachments == [file]
        assert outcome.result.inputs == {"query": "apples", "attachments": [file]}
    request, _ = await ask({"query_variable_selector": [], "query_attachment_selector": ["v", "f"]}, f=[file])
    assert request.query == ""


async def test_result_and_citations():
    _, outcome = await ask({}, {"kb": ["red apples", "apples"]})
    resources, result = outcome.deltas
    assert result.outputs["result"].type is ValueType.ARRAY_OBJECT
    pieces = result.outputs["result"].data
    assert [piece["metadata"]["position"] for piece in pieces] == [1, 2]
    assert isinstance(resources, RetrieverResources)
    assert resources.resources[0] == {
        "position": 1,
        "dataset_id": "kb",
        "dataset_name": "kb",
        "document_id": "kb-0",
        "document_name": "document 0",
        "data_source_type": "upload_file",
        "segment_id": "kb-0-0",
        "retriever_from": "workflow",
        "score": 1.0,
        "hit_count": None,
        "word_count": None,
        "segment_position": None,
        "index_node_hash": None,
        "page": None,
        "doc_metadata": None,
        "title": "document 0",
        "content": "red apples",
        "files": [],
    }


async def test_nothing_found_is_still_a_list_of_objects():
    _, outcome = await ask({}, {"kb": []})
    assert outcome.result.outputs["result"] == Value(ValueType.ARRAY_OBJECT, [])


@pytest.mark.parametrize("query", [None, 5, ["a"], {"a": 1}])
async def test_a_question_is_text(query):
    request, outcome = await ask({}, q=query)
    assert request is None
    assert (outcome.result.status, outcome.result.error) == (NodeStatus.FAILED, "Query variable is not string type.")
