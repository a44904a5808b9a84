"""The fake ports play their script: what tests of nodes rely on."""

import json

import msgspec
import pytest
from dify_kernel.contracts.http import HttpRequest, HttpResponse, HttpTimeout
from dify_kernel.contracts.model import LLMRequest, ModelType, PromptMessage
from dify_kernel.contracts.ports import IndexChunk, Indexing, Retrieval
from dify_kernel.contracts.tool import TextMessage
from dify_kernel.errors import CodeExecutionError, InvokeBadRequestError, NotFound, ToolError
from dify_kernel.graph.values import File, FileType
from dify_kernel.testing.fakes import (
    FakeFiles,
    FakeHttp,
    FakeKnowledge,
    FakeMemory,
    FakeModels,
    FakeSandbox,
    FakeTools,
    fake_context,
    fake_ports,
    word_vector,
)


async def deltas(models, text):
    request = LLMRequest(model="m", messages=[PromptMessage(role="user", content=text)])
    return [delta async for delta in models.llm("p", request)]


async def answer(models, text):
    return "".join([delta.text for delta in await deltas(models, text)])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("hello", "ECHO(hello)"),
        ("x" * 300, f"ECHO({'x' * 200})"),
        ("please REPLY:xyz", "xyz"),
    ],
)
async def test_the_model_echoes_or_replies(message, expected):
    assert await answer(FakeModels(), message) == expected


async def test_the_model_classifies():
    categories = [{"category_id": "1", "category_name": "Sports news"}, {"category_id": "2", "category_name": "Food x"}]
    prompt = json.dumps({"input_text": ["some food"], "categories": categories})

    assert json.loads(await answer(FakeModels(), prompt))["category_id"] == "2"


async def test_the_model_streams_pieces_and_ends_with_usage():
    found = await deltas(FakeModels(), "a longer question")

    assert [len(delta.text) for delta in found] == [8, 8, 7, 0]
    assert found[-1].finish_reason == "stop"
    assert found[-1].usage.total_tokens == found[-1].usage.prompt_tokens + found[-1].usage.completion_tokens


async def test_the_model_fails_and_calls_tools_as_told():
    with pytest.raises(InvokeBadRequestError, match="no quota"):
        await deltas(FakeModels(), "FAIL:no quota")

    models = FakeModels(tool_calls=[[("add", {"a": 1})]])
    first = await deltas(models, "q")
    assert (first[0].tool_calls[0].name, first[-1].finish_reason) == ("add", "tool_calls")
    assert await answer(models, "q") == "ECHO(q)"
    assert len(models.requests) == 2


async def test_vectors_of_texts_that_share_words_are_near():
    def cosine(one, other):
        return sum(a * b for a, b in zip(word_vector(one), word_vector(other), strict=True))

    assert cosine("red apple pie", "apple pie") > cosine("red apple pie", "blue whale")
    embedded = await FakeModels().embed("p", "m", ["a", "b"])
    assert [len(vector) for vector in embedded.vectors] == [64, 64]
    ranked = await FakeModels().rerank("p", "m", "apple pie", ["whale", "pie", "apple pie"], top_n=2)
    assert [hit.index for hit in ranked] == [2, 1]
    assert (await FakeModels().describe("p", "m", ModelType.LLM)).context_size == 8192


async def test_http_answers_by_path_by_address_and_in_order():
    http = FakeHttp(
        {
            "/a": [
                HttpResponse(status=500, headers=[], content=b""),
                HttpResponse(status=200, headers=[], content=b""),
            ],
            "http://x/b": HttpTimeout("late"),
        }
    )

    statuses = [(await http.send(HttpRequest(method="GET", url="http://x/a"))).status for _ in range(3)]
    assert statuses == [500, 200, 200]
    with pytest.raises(HttpTimeout):
        await http.send(HttpRequest(method="GET", url="http://x/b"))
    echoed = (await http.send(HttpRequest(method="post", url="http://x/c?q=1", content=b"body"))).json()
    assert (echoed["method"], echoed["query"], echoed["body"]) == ("POST", [["q", "1"]], "body")
    async with http.stream(HttpRequest(method="GET", url="http://x/c")) as stream:
        assert json.loads(b"".join([chunk async for chunk in stream.chunks()]))["path"] == "/c"
    assert len(http.requests) == 6


async def test_files_tools_knowledge_memory():
    files = FakeFiles()
    made = await files.save(b"123", filename="a.png", mime_type="image/png")
    assert (made.type, made.extension, made.size, await files.load(made)) == (FileType.IMAGE, ".png", 3, b"123")
    with pytest.raises(NotFound):
        await files.load(File(related_id="gone"))

    tools = FakeTools({"add": lambda given: [TextMessage(str(given["a"] + 1))]})
    assert [m.text async for m in tools.invoke("builtin", "p", "add", {"a": 1})] == ["2"]
    with pytest.raises(ToolError):
        [m async for m in tools.invoke("builtin", "p", "add", {})]
    assert [m.text async for m in tools.invoke("builtin", "p", "other", {"a": 1})] == ['other({"a": 1})']

    knowledge = FakeKnowledge({"d": ["apple pie", "whale", "pie"]})
    found = await knowledge.retrieve(Retrieval(query="apple pie", dataset_ids=["d"], top_k=2))
    assert [item["content"] for item in found] == ["apple pie", "pie"]
    for text in ("plums", "ripe plums"):
        request = Indexing(dataset_id="d", document_id="n", batch="b", chunks=[IndexChunk(content=text)])
        assert (await knowledge.index(request)).display_status == "completed"
    found = await knowledge.retrieve(Retrieval(query="plums", dataset_ids=["d"]))
    assert [item["content"] for item in found] == ["ripe plums"]
    with pytest.raises(NotFound):
        await knowledge.index(msgspec.structs.replace(request, dataset_id="other"))

    memory = FakeMemory([("a", "b"), ("c", "d")])
    assert [message.text for message in await memory.history("1", limit=1)] == ["c", "d"]


async def test_the_sandbox_runs_python_in_a_child():
    sandbox = FakeSandbox()

    assert await sandbox.execute("python3", "def main(a):\n    return {'b': a + 1}", {"a": 1}) == {"b": 2}
    with pytest.raises(CodeExecutionError, match="boom"):
        await sandbox.execute("python3", "def main():\n    raise ValueError('boom')", {})
    assert await FakeSandbox(lambda language, code, inputs: language).execute("javascript", "", {}) == "javascript"


def test_an_unknown_port_is_refused_and_contexts_have_keys():
    with pytest.raises(TypeError, match="no such port: modles"):
        fake_ports(modles=None)
    assert fake_context("n", {"a": {"b": 1}}).key == "run-1:n-1"
