"""Answers that are judged: nobody reads what was refused, whoever follows the run and whichever process has it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from dify_host.platform import Platform
from dify_host.runs.tables import conversations, messages, workflow_runs
from dify_kernel.graph.events import AnyEvent, RunFinished, RunResumed

from ..human.forms import ask
from ..human.http_forms import Desk
from .api_extension import ApiExtensionServer, api_extension
from .service_house import CHAT_MODEL, House, Key, answers_with, graph, node
from .test_service_agent import configured
from .test_service_moderation import OUT, avoidance, by_extension, kept, told
from .test_service_reconnect import Read, read, text

CRASH = Path(__file__).parent.parent / "runs" / "crash_serve.py"
BADGER = avoidance("keywords", inputs=False, keywords="badger")
FERRET = "one two three four five six seven eight nine ferret"
#: Shorter than what is judged at a time, so that it is refused at its end.
FOUL = FERRET.replace("ferret", "badger")
MODES = ("chat", "advanced-chat")


@pytest.fixture
def extension() -> Iterator[ApiExtensionServer]:
    with api_extension() as server:
        yield server


@pytest.fixture
async def live(house: House, served: httpx.AsyncClient) -> Callable[..., Any]:
    """Makes a moderated app whose streams come as they are written."""

    async def make(mode: str, feature: dict[str, Any] = BADGER) -> Key:
        key = await moderated(house, mode, feature)
        return Key(served, key.token, key.app_id)

    return make


async def moderated(house: House, mode: str, feature: dict[str, Any]) -> Key:
    if mode == "advanced-chat":
        return await house.app(mode, answers_with(), features={"sensitive_word_avoidance": feature})
    return await house.app(mode, {"pre_prompt": "", "sensitive_word_avoidance": feature})


async def ask_live(key: Key, query: str) -> httpx.Response:
    body = {"inputs": {}, "query": query, "user": "abc-123", "response_mode": "streaming", "auto_generate_name": False}
    return await key.web.send(
        key.web.build_request("POST", "/v1/chat-messages", json=body, headers=key.headers), stream=True
    )


async def again(key: Key, task_id: str, last: str = "", **query: str) -> Read:
    """What a client reads that takes a stream up again."""
    request = key.web.build_request(
        "GET",
        f"/v1/chat-messages/{task_id}/events",
        params={"user": "abc-123", **query},
        headers={**key.headers, **({"Last-Event-ID": last} if last else {})},
    )
    answer = await key.web.send(request, stream=True)
    assert answer.status_code == 200
    return await read(answer)


def clean(found: Read) -> bool:
    """Whether nothing of a refused answer stands anywhere in what came."""
    answer = b"".join(msgspec.json.encode({**event, "data": _without_inputs(event)}) for _, event in found)
    return b"badger" not in answer and b"seven" not in answer


def _without_inputs(event: dict[str, Any]) -> Any:
    """The data of an event, but for the question, which is the client's own."""
    data = event.get("data")
    return {**data, "inputs": None} if event["event"] == "workflow_started" else data


def ends(found: Read, mode: str) -> list[str]:
    return (
        [event["event"] for _, event in found][-3:] if mode == "advanced-chat" else [e["event"] for _, e in found][-2:]
    )


END = {
    "chat": ["message_replace", "message_end"],
    "advanced-chat": ["workflow_finished", "message_replace", "message_end"],
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seen", [1, 4])
async def test_a_client_that_comes_back_sees_what_is_kept(live: Any, mode: str, seen: int) -> None:
    key = await live(mode)
    before = await read(await ask_live(key, f"DELAY:60 REPLY:{FOUL}"), most=seen)
    last, event = before[-1]
    after, whole = await asyncio.gather(
        again(key, event["task_id"], last), again(key, event["task_id"], include_state_snapshot="true")
    )
    for found in (after, whole, await again(key, event["task_id"], include_state_snapshot="true")):
        assert clean(found), found
        assert ends(found, mode) == END[mode]
        assert found[-2][1]["answer"] == OUT
    if mode == "advanced-chat":
        assert whole[-3][1]["data"]["outputs"]["answer"] == OUT
        assert {"node_started", "node_finished"} <= {name["event"] for _, name in after}
        late = await again(key, event["task_id"], include_state_snapshot="true")
        (shown,) = [e["data"] for _, e in late if e["event"] == "node_finished" and e["data"]["node_type"] == "answer"]
        assert shown["outputs"] == {"answer": OUT}
    assert (await kept(key, after[-1][1]))["answer"] == OUT


@pytest.mark.parametrize("mode", MODES)
async def test_what_passes_is_whole_for_a_client_that_comes_back(live: Any, mode: str) -> None:
    key = await live(mode)
    before = await read(await ask_live(key, f"DELAY:60 REPLY:{FERRET}"), most=4)
    last, event = before[-1]
    after = await again(key, event["task_id"], last)
    assert text(before + after) == FERRET
    assert ends(after, mode) == END[mode]
    over = await again(key, event["task_id"], include_state_snapshot="true")
    assert text(over) == FERRET
    assert "message_replace" not in {event["event"] for _, event in over}


@pytest.mark.parametrize("mode", MODES)
async def test_events_of_a_judged_answer_have_the_ids_of_their_places(live: Any, house: House, mode: str) -> None:
    key = await live(mode)
    plain = Key(key.web, (await moderated(house, mode, {"enabled": False})).token)
    judged, free = [await read(await ask_live(app, f"REPLY:{FERRET}")) for app in (key, plain)]
    assert [(name, event["event"]) for name, event in judged] == [(name, event["event"]) for name, event in free]
    foul = await read(await ask_live(key, f"REPLY:{FOUL}"))
    places = {name: event["event"] for name, event in free}
    for name, event in foul:
        assert event["event"] == "message_replace" or places[name] == event["event"]
    told_of = {name for name, event in foul if event["event"] != "message_replace"}
    assert {name for name, kind in places.items() if kind != "message"} <= told_of
    task_id = foul[0][1]["task_id"]
    assert ends(foul, mode) == END[mode]
    for place in range(len(foul) - 1):  # behind the event before the verdict, too
        missing = await again(key, task_id, foul[place][0])
        assert clean(missing)
        assert [event["event"] for _, event in missing][-2:] == ["message_replace", "message_end"]
    assert await again(key, task_id, foul[-1][0]) == []


async def test_the_beginning_that_is_refused_ends_a_stream(live: Any) -> None:
    key = await live("advanced-chat")
    found = await read(await ask_live(key, f"DELAY:1 REPLY:badger {'word ' * 200}"))
    at = [event["event"] for _, event in found].index("message_replace")
    assert clean(found[at:])
    assert "message" not in {event["event"] for _, event in found[at:]}
    assert found[at][1]["answer"] == OUT
    assert text(found) == OUT


# -- other processes ---------------------------------------------------------------------------------------------------


class Elsewhere:
    """A process that runs the app and says the id of its run once that has said something."""

    def __init__(self, child: asyncio.subprocess.Process, run_id: str) -> None:
        self.child, self.run_id = child, run_id

    @classmethod
    async def start(cls, house: House, env: dict[str, str], key: Key, query: str, **more: Any) -> Elsewhere:
        user = await house.workspace.end_users.get_or_create(key.app_id, "abc-123")
        plan = {"env": env, "tenant": house.workspace.tenant.id, "app": key.app_id, "query": query, "user": user.id}
        arguments = (str(CRASH), msgspec.json.encode({**plan, **more}).decode())
        child = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
        assert child.stdout is not None
        return cls(child, (await child.stdout.readline()).decode().strip())

    async def kill(self) -> None:
        self.child.kill()
        await self.child.wait()


async def answer_of(platform: Platform, run_id: str) -> Any:
    """The row of the message that a run answers."""
    mine = sa.or_(messages.c.workflow_run_id == run_id, messages.c.id == run_id)
    async with platform.db.read() as conn:
        return (await conn.execute(sa.select(messages).where(mine))).one()


async def taken_up(platform: Platform, run_id: str) -> list[AnyEvent]:
    """Take up what the dead process left; the log of the run once it has ended."""
    assert await platform.recovery.sweep() == 1
    await platform.runs.get(run_id).wait()
    events = await platform.run_logs.load(run_id)
    assert [isinstance(event, RunFinished) for event in events] == [False] * (len(events) - 1) + [True]
    return events


@pytest.mark.parametrize("mode", MODES)
async def test_a_run_that_is_taken_up_is_judged(
    house: House, platform: Platform, env: dict[str, str], mode: str
) -> None:
    key = await moderated(house, mode, BADGER)
    there = await Elsewhere.start(house, env, key, f"DELAY:60 REPLY:{FOUL}")
    await there.kill()
    assert (await answer_of(platform, there.run_id)).answer == ""
    log = await taken_up(platform, there.run_id)
    assert any(isinstance(event, RunResumed) for event in log)
    row = await answer_of(platform, there.run_id)
    assert (row.answer, row.status) == (OUT, "normal")
    async with platform.db.read() as conn:
        outputs = (await conn.execute(sa.select(workflow_runs.c.outputs))).scalars().all()
    assert [found["answer"] for found in outputs] == ([OUT] if mode == "advanced-chat" else [])
    found = await again(key, there.run_id, include_state_snapshot="true")
    assert clean(found)
    assert ends(found, mode) == END[mode]
    assert found[-2][1]["answer"] == OUT


@pytest.mark.parametrize("mode", MODES)
async def test_a_kill_before_the_verdict_leaves_a_run_that_is_judged(
    house: House, platform: Platform, env: dict[str, str], extension: ApiExtensionServer, mode: str
) -> None:
    key = await moderated(house, mode, await by_extension(house, extension, inputs=False))
    extension.gate.clear()
    there = await Elsewhere.start(house, env, key, "REPLY:FOUL play")
    deadline = time.monotonic() + 20
    while not extension.points("app.moderation.output"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    # All is said, and the judge has not spoken: the run has not ended, and nothing of the answer is kept.
    assert not any(isinstance(event, RunFinished) for event in await platform.run_logs.load(there.run_id))
    assert (await answer_of(platform, there.run_id)).answer == ""
    await there.kill()
    extension.gate.set()
    await taken_up(platform, there.run_id)
    assert (await answer_of(platform, there.run_id)).answer == "I would rather not."
    found = await again(key, there.run_id, include_state_snapshot="true")
    assert b"FOUL" not in b"".join(msgspec.json.encode(_without_inputs(event)) for _, event in found)


async def test_a_lost_process_loses_no_name_of_a_conversation(
    house: House, platform: Platform, env: dict[str, str]
) -> None:
    query = 'DELAY:200 REPLY:{"title": "Gripper pads, and their prices"}'
    app = await house.app("chat", {"pre_prompt": ""})
    wanted = {}
    for named, name in ((False, f"{query[:47]}..."), (True, "Gripper pads, and their prices")):
        there = await Elsewhere.start(house, env, app, query, names=named)
        await there.kill()
        await taken_up(platform, there.run_id)
        wanted[(await answer_of(platform, there.run_id)).conversation_id] = name
    deadline = time.monotonic() + 20
    while (found := await conversation_names(platform)) != wanted:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.01)


async def conversation_names(platform: Platform) -> dict[str, str]:
    async with platform.db.read() as conn:
        rows = (await conn.execute(sa.select(conversations.c.id, conversations.c.name))).all()
    return {row.id: row.name for row in rows}


# -- waiting for people, and agents ------------------------------------------------------------------------------------


async def test_what_was_said_before_a_question_is_judged_too(house: House) -> None:
    llm = node("llm", "llm", model=CHAT_MODEL, prompt_template=[{"role": "user", "text": "{{#sys.query#}}"}])
    actions = [{"id": "approve", "title": "Approve"}]
    body = graph(
        node("start", "start", variables=[]),
        llm,
        node("first", "answer", answer="{{#llm.text#}}"),
        ask(
            form_content="Fine?",
            inputs=[{"type": "paragraph", "output_variable_name": "comment"}],
            user_actions=actions,
        ),
        node("last", "answer", answer=" {{#ask.comment#}}"),
        edges=[
            {"source": "start", "target": "llm"},
            {"source": "llm", "target": "first"},
            {"source": "first", "target": "ask"},
            {"source": "ask", "target": "last", "sourceHandle": "approve"},
        ],
    )
    app = await house.app("advanced-chat", body, features={"sensitive_word_avoidance": BADGER})
    for reply, before, after in ((FOUL, OUT, OUT), (FERRET, FERRET, f"{FERRET} Mine")):
        desk = Desk(house, app)
        desk.said = await app.stream("/chat-messages", {"query": f"REPLY:{reply}"})
        assert desk.said[-1]["event"] == "workflow_paused"
        assert desk.said[-1]["data"]["outputs"]["answer"] == told(desk.said) == before
        message = await kept(app, desk.said[-1])
        assert (message["answer"], message["status"]) == (before, "paused")
        waiting = (await app.wait("/chat-messages", {"query": f"REPLY:{reply}"})).json()
        assert (waiting["event"], waiting["answer"]) == ("workflow_paused", before)
        (asked,) = desk.asked()
        assert (await desk.answer(asked["form_token"], comment="Mine")).status_code == 200
        await desk.work()
        found = [("", event) for event in await desk.after()]
        assert reply is FERRET or clean(found)
        filled = next(event["data"] for _, event in found if event["event"] == "human_input_form_filled")
        assert filled["submitted_data"] == {"comment": "Mine"}
        assert text(found) == after
        assert (await kept(app, desk.said[-1]))["answer"] == after


async def test_thoughts_say_no_more_than_the_answer(house: House) -> None:
    app = await house.app("agent-chat", {**configured(), "sensitive_word_avoidance": BADGER})
    for reply, said in ((FOUL, ""), (FERRET, FERRET)):
        found = await app.stream("/chat-messages", {"query": f"REPLY:{reply}"})
        message = await kept(app, found[-1])
        assert message["answer"] == (said or OUT)
        assert [thought["thought"] for thought in message["agent_thoughts"]] == [said]
