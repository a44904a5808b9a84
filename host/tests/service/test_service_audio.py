"""Speech over the API: sounds become text, texts and answers become sound, and answers are read out while they come."""

from __future__ import annotations

import base64
import uuid
from typing import Any

import httpx
import pytest
from dify_host.speech.autoplay import first_sentences
from hypothesis import given
from hypothesis import strategies as st

from .service_house import House, Key, Workshop, answers_with, graph, names, node

SPEAKS: dict[str, Any] = {"speech_to_text": {"enabled": True}, "text_to_speech": {"enabled": True, "voice": "alloy"}}
LOUD: dict[str, Any] = {**SPEAKS, "text_to_speech": {"enabled": True, "voice": "alloy", "autoPlay": "enabled"}}
MODES = ("chat", "advanced-chat")


async def app_of(house: House, mode: str = "chat", features: dict[str, Any] = SPEAKS) -> Key:
    if mode == "advanced-chat":
        return await house.app(mode, answers_with(), features=features)
    return await house.app(mode, {"pre_prompt": "", **features})


async def hear(key: Key, content: bytes = b"RIFF", mime: str = "audio/wav", name: str = "hello.wav") -> httpx.Response:
    return await key("POST", "/audio-to-text", files={"file": (name, content, mime)}, data={"user": "abc-123"})


@pytest.mark.parametrize("mode", MODES)
async def test_a_sound_becomes_text(house: House, mode: str) -> None:
    answer = await hear(await app_of(house, mode), b"RIFF....")
    assert (answer.status_code, answer.json()) == (200, {"text": "ECHO(hello.wav, 8 bytes)"})


async def test_types_of_sounds(house: House) -> None:
    app = await app_of(house)
    for mime in ("audio/mp3", "audio/m4a", "audio/wav", "audio/amr", "audio/mpga", "AUDIO/MP3", "audio/mpeg"):
        assert (await hear(app, mime=mime)).status_code == 200, mime
    for mime in ("audio/midi", "text/plain", "video/mp4", "mp3"):
        refused = await hear(app, mime=mime)
        assert (refused.status_code, refused.json()["code"]) == (415, "unsupported_audio_type"), mime


async def test_sounds_that_are_refused(house: House, workshop: Workshop) -> None:
    app = await app_of(house)
    large = await hear(app, b"\0" * (30 * 1024 * 1024 + 1))
    assert (large.status_code, large.json()["code"]) == (413, "audio_too_large")
    assert large.json()["message"] == "Audio size larger than 30 mb"
    empty = await hear(app, b"")
    assert (empty.status_code, empty.json()["code"]) == (400, "no_audio_uploaded")
    missing = await app("POST", "/audio-to-text", data={"user": "u"}, files={"other": ("a.wav", b"a", "audio/wav")})
    assert (missing.status_code, missing.json()["code"]) == (400, "bad_request_key_error")
    off = await hear(await app_of(house, features={}))
    assert (off.status_code, off.json()["code"]) == (400, "invalid_param")
    assert off.json()["message"] == "Speech to text is not enabled"
    deaf = await hear(await app_of(await workshop.open("Without models", models=False)))
    assert (deaf.status_code, deaf.json()["code"]) == (400, "provider_not_support_speech_to_text")


@pytest.mark.parametrize("mode", MODES)
async def test_a_text_becomes_sound(house: House, openai: Any, mode: str) -> None:
    app = await app_of(house, mode)
    answer = await app("POST", "/text-to-audio", {"text": "Hello there", "user": "abc-123", "streaming": True})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.content.startswith(b"RIFF")
    asked = openai.requests[-1].json()
    assert (asked["input"], asked["voice"]) == ("Hello there", "alloy")
    await app("POST", "/text-to-audio", {"text": "Hello", "voice": "echo"})
    assert openai.requests[-1].json()["voice"] == "echo"


async def test_a_voice_is_found_where_nobody_names_one(house: House, openai: Any) -> None:
    app = await app_of(house, features={"text_to_speech": {"enabled": True}})
    assert (await app("POST", "/text-to-audio", {"text": "Hello"})).status_code == 200
    assert openai.requests[-1].json()["voice"]


async def test_the_answer_of_a_message_becomes_sound(house: House, openai: Any) -> None:
    app = await app_of(house)
    message = (await app.wait("/chat-messages", {"query": "REPLY:The answer is 42."})).json()["id"]
    answer = await app("POST", "/text-to-audio", {"message_id": message, "text": "not this"})
    assert answer.content.startswith(b"RIFF")
    assert openai.requests[-1].json()["input"] == "The answer is 42."
    stranger = await app_of(house)
    for key, message_id in ((app, str(uuid.uuid4())), (app, "seven"), (stranger, message)):
        nothing = await key("POST", "/text-to-audio", {"message_id": message_id})
        assert (nothing.status_code, nothing.content) == (200, b"null")


async def test_texts_that_are_refused(house: House) -> None:
    app = await app_of(house)
    for key, body, message in (
        (app, {}, "Text is required"),
        (await app_of(house, features={}), {"text": "Hello"}, "TTS is not enabled"),
    ):
        refused = await key("POST", "/text-to-audio", body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")
        assert refused.json()["message"] == message
    failed = await app("POST", "/text-to-audio", {"text": "FAIL:hoarse"})
    assert (failed.status_code, failed.json()["code"]) == (400, "completion_request_error")


@pytest.mark.parametrize("mode", MODES)
async def test_answers_are_read_out_while_they_come(house: House, openai: Any, mode: str) -> None:
    app = await app_of(house, mode, LOUD)
    text = "The first sentence is here. The second one follows it, and ends here."
    before = len(openai.requests)
    found = await app.stream("/chat-messages", {"query": f"REPLY:{text}", "auto_generate_name": False})
    assert [item["event"] for item in found if item["event"] == "message_end"] == ["message_end"]
    assert names(found)[-1] == "tts_message_end"
    assert found[-1]["audio"] == ""
    sounds = [base64.b64decode(item["audio"]) for item in found if item["event"] == "tts_message"]
    assert sounds[0].startswith(b"RIFF")
    for item in found:
        assert item["message_id"] == found[0]["message_id"]
        assert item["task_id"] == found[0]["task_id"]
    asked = [request.json() for request in list(openai.requests)[before:] if request.path.endswith("/speech")]
    assert "".join(item["input"] for item in asked) == text
    silent = (await app.wait("/chat-messages", {"query": "REPLY:Quiet."})).json()
    assert silent["answer"] == "Quiet."


async def test_a_workflow_is_read_out_too(house: House) -> None:
    outputs = [{"variable": "text", "value_selector": ["llm", "text"]}]
    body = answers_with("REPLY:It speaks.")
    body = graph(*body["nodes"][:2], node("end", "end", outputs=outputs))
    app = await house.app("workflow", body, features=LOUD)
    found = await app.stream("/workflows/run", {})
    assert names(found)[-2:] == ["tts_message", "tts_message_end"]
    assert {item["workflow_run_id"] for item in found} == {found[0]["workflow_run_id"]}


async def test_a_voice_that_fails_leaves_the_answer(house: House) -> None:
    hoarse = graph(node("start", "start", variables=[]), node("answer", "answer", answer="They say FAIL:hoarse."))
    app = await house.app("advanced-chat", hoarse, features=LOUD)
    found = await app.stream("/chat-messages", {"query": "hi"})
    assert names(found)[-2:] == ["message_end", "tts_message_end"]
    assert "".join(item["answer"] for item in found if item["event"] == "message") == "They say FAIL:hoarse."
    assert "tts_message" not in names(found)


@given(st.lists(st.text(alphabet="ab. \n!?。3"), max_size=30))
def test_sentences_lose_nothing_and_keep_their_order(pieces: list[str]) -> None:
    ready, rest = [], ""
    for piece in pieces:
        first, rest = first_sentences(rest + piece)
        ready.append(first)
    assert "".join(ready) + rest == "".join(pieces)
    assert all(len(part) >= 20 for part in ready if part)
