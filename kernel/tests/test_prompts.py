"""What a prompt carries beside its text: turns that fit, files that the model takes."""

from __future__ import annotations

import base64

import pytest
from dify_kernel.contracts.model import ImagePart, ModelFeature, ModelInfo, ModelType, PromptMessage
from dify_kernel.contracts.node import RunInfo
from dify_kernel.graph.values import FileType
from dify_kernel.prompts import MOST_TURNS, estimate_tokens, file_parts, files_of, fit, recall, room_for_history
from dify_kernel.testing.fakes import FakeFiles, FakeMemory, fake_context, fake_ports
from hypothesis import given
from hypothesis import strategies as st

messages = st.builds(PromptMessage, role=st.sampled_from(["user", "assistant"]), content=st.text(max_size=30))


@given(history=st.lists(messages, max_size=8), room=st.integers(0, 100))
def test_the_newest_messages_that_fit_begin_with_the_user(history: list[PromptMessage], room: int) -> None:
    kept = fit(history, room)
    assert kept == history[len(history) - len(kept) :]
    assert sum(estimate_tokens(message.text) + 4 for message in kept) <= room
    assert not kept or kept[0].role == "user"


@pytest.mark.parametrize(
    ("size", "parameters", "used", "room"),
    [(1000, {}, 100, 900), (1000, {"max_tokens": 300}, 100, 600), (100, {"max_completion_tokens": 99}, 50, 0)],
)
def test_the_room_is_what_prompt_and_answer_leave(size: int, parameters: dict[str, int], used: int, room: int) -> None:
    info = ModelInfo(model="m", model_type=ModelType.LLM, context_size=size)
    assert room_for_history(info, parameters, used) == room


@pytest.mark.parametrize(("window", "limit"), [(None, MOST_TURNS - 1), (3, 2), (10**6, MOST_TURNS - 1)])
async def test_the_turn_that_is_answered_counts_as_one_of_the_window(window: int | None, limit: int) -> None:
    memory = FakeMemory([("q", "a")])
    ctx = fake_context("n", ports=fake_ports(memory=memory), run=RunInfo(run_id="r", conversation_id="c"))
    assert [message.text for message in await recall(window, ctx)] == ["q", "a"]
    assert memory.asked == [("c", limit)]
    assert await recall(1, ctx) == await recall(5, fake_context("n")) == []


async def test_files_are_loaded_for_models_that_take_them() -> None:
    files = FakeFiles()
    picture = files.put(b"png", filename="a.png", mime_type="image/png", type=FileType.IMAGE)
    letter = files.put(b"txt", filename="a.txt", mime_type="text/plain")
    found = files_of(["s", "all"], fake_context("n", {"s": {"all": [picture, letter, "no file"]}}))
    assert found == [picture, letter]
    (part,) = await file_parts(found, [ModelFeature.VISION], "low", files)
    assert isinstance(part, ImagePart)
    assert (part.base64_data, part.detail, part.mime_type) == (base64.b64encode(b"png").decode(), "low", "image/png")
