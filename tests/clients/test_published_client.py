"""The client that is published for Python, as its users have it, against this API."""

from __future__ import annotations

import io
from typing import Any

import pytest

from .conftest import Served

dify_client = pytest.importorskip("dify_client", reason="the package dify-client-python is not installed")
errors, models = dify_client.errors, dify_client.models

BLOCKING, STREAMING = "blocking", "streaming"


def client(served: Served, mode: str) -> Any:
    return dify_client.Client(api_key=served.keys[mode], api_base=served.url)


def ask(query: str, mode: str, **more: Any) -> Any:
    return models.ChatRequest(query=query, inputs={}, user="abc-123", response_mode=mode, **more)


@pytest.mark.parametrize("mode", ["chat", "advanced-chat"])
def test_chat(served: Served, mode: str) -> None:
    api = client(served, mode)
    first = api.chat_messages(ask("REPLY:The answer is 42.", BLOCKING))
    assert (first.answer, str(first.mode)) == ("The answer is 42.", mode)
    assert first.metadata.usage.total_tokens > 0
    stream = list(api.chat_messages(ask("REPLY:The answer is 42.", STREAMING)))
    assert "".join(item.answer for item in stream if item.event == "message") == "The answer is 42."
    assert stream[-1].event == "message_end"
    assert stream[-1].metadata.usage.total_tokens > 0
    if mode == "advanced-chat":
        assert {"workflow_started", "node_started", "node_finished", "workflow_finished"} <= {
            str(item.event) for item in stream
        }
    again = api.chat_messages(ask("REPLY:Go on.", BLOCKING, conversation_id=stream[-1].conversation_id))
    assert again.answer == "Go on."


def test_completion(served: Served) -> None:
    api = client(served, "completion")
    body = {"inputs": {"query": "REPLY:All is done."}, "user": "abc-123"}
    answer = api.completion_messages(models.CompletionRequest(response_mode=BLOCKING, **body))
    assert (answer.answer, str(answer.mode)) == ("All is done.", "completion")
    stream = list(api.completion_messages(models.CompletionRequest(response_mode=STREAMING, **body)))
    assert "".join(item.answer for item in stream if item.event == "message") == "All is done."


def test_workflow(served: Served) -> None:
    api = client(served, "workflow")
    body = {"inputs": {"query": "REPLY:All is done."}, "user": "abc-123"}
    answer = api.run_workflows(models.WorkflowsRunRequest(response_mode=BLOCKING, **body))
    assert str(answer.data.status) == "succeeded"
    assert answer.data.outputs == {"text": "All is done."}
    stream = list(api.run_workflows(models.WorkflowsRunRequest(response_mode=STREAMING, **body)))
    assert [str(stream[0].event), str(stream[-1].event)] == ["workflow_started", "workflow_finished"]
    assert "".join(item.data.text for item in stream if item.event == "text_chunk") == "All is done."


@pytest.mark.parametrize(
    ("mode", "stop"),
    [
        ("advanced-chat", "stop_chat_messages"),
        ("completion", "stop_completion_messages"),
        ("workflow", "stop_workflows"),
    ],
)
def test_a_stream_is_stopped_while_it_is_read(served: Served, mode: str, stop: str) -> None:
    api = client(served, mode)
    long = "TOKENS:500 DELAY:20"
    if mode == "workflow":
        stream = api.run_workflows(
            models.WorkflowsRunRequest(inputs={"query": long}, user="abc-123", response_mode=STREAMING)
        )
    elif mode == "completion":
        stream = api.completion_messages(
            models.CompletionRequest(inputs={"query": long}, user="abc-123", response_mode=STREAMING)
        )
    else:
        stream = api.chat_messages(ask(long, STREAMING))
    seen = []
    for item in stream:
        if str(item.event) in ("message", "text_chunk") and not any(e == "stopped" for e in seen):
            answer = getattr(api, stop)(item.task_id, models.StopRequest(user="abc-123"))
            assert answer.result == "success"
            seen.append("stopped")
        seen.append(str(item.event))
    assert seen[-1] == ("workflow_finished" if mode == "workflow" else "message_end")
    assert seen.count("message") + seen.count("text_chunk") < 400


def test_feedback(served: Served) -> None:
    api = client(served, "chat")
    message = api.chat_messages(ask("REPLY:Fine.", BLOCKING))
    answer = api.feedback_messages(message.message_id, models.FeedbackRequest(rating="like", user="abc-123"))
    assert answer.result == "success"


def test_upload(served: Served) -> None:
    file = ("notes.txt", io.BytesIO(b"hello there"), "text/plain")
    kept = client(served, "chat").upload_files(file, models.UploadFileRequest(user="abc-123"))
    assert (kept.name, kept.size, kept.extension, kept.mime_type) == ("notes.txt", 11, "txt", "text/plain")


def test_errors_are_the_clients_own(served: Served) -> None:
    stranger = dify_client.Client(api_key="app-unknown", api_base=served.url)
    with pytest.raises(errors.DifyAPIError) as refused:
        stranger.chat_messages(ask("hi", BLOCKING))
    assert refused.value.status == 401
    with pytest.raises(errors.DifyAPIError) as failed:
        client(served, "chat").chat_messages(ask("FAIL:no luck", BLOCKING))
    assert (failed.value.status, failed.value.code) == (400, "completion_request_error")
    with pytest.raises(errors.DifyAPIError) as wrong:
        client(served, "workflow").chat_messages(ask("hi", BLOCKING))
    assert wrong.value.code == "not_chat_app"
    (last,) = client(served, "chat").chat_messages(ask("FAIL:no luck", STREAMING))
    assert (str(last.event), last.code, last.status) == ("error", "completion_request_error", 400)
