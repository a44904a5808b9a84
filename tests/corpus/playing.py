"""Plays one published app: imports, publishes and runs it over the Service API, and notes how each run ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import msgspec
from dify_host.apps.dsl import read
from dify_host.apps.records import PIPELINE_MODE
from dify_host.apps.sharing import node_data
from dify_kernel.errors import DifyError, InvalidGraph

from tests.corpus.answers import ANSWERS, Answers
from tests.corpus.casting import Cast, cast
from tests.corpus.inputs import Attached, Inputs, branch_words, input_sets
from tests.corpus.pipelines import play_pipeline
from tests.corpus.prompter import PROMPTER
from tests.corpus.stage import Stage

__all__ = ["End", "Played", "play"]

USER = "player"
_NODE_ENDS = ("node_finished", "iteration_completed", "loop_completed")
_NO_NODES = ("iteration-start", "loop-start", "", None)
_CHATS = ("advanced-chat", "chat", "agent-chat")
_PATHS = {"workflow": "/v1/workflows/run", "completion": "/v1/completion-messages"}


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How one run ended; `node` is the type of the node that failed it."""

    status: str
    error: str = ""
    node: str = ""
    given: dict[str, Any] = {}
    reached: frozenset[str] = frozenset()


class Played(msgspec.Struct, kw_only=True):
    """What became of an app or a pipeline. `outcome`: `unreadable`, `refused`, `draft`, `ran`."""

    outcome: str
    mode: str = ""
    problem: str = ""
    stand_ins: list[str] = []
    nodes: frozenset[str] = frozenset()
    ends: list[End] = []

    @property
    def reached(self) -> frozenset[str]:
        """The nodes of the graph that came to an end in some run."""
        return self.nodes & frozenset().union(*(end.reached for end in self.ends))

    @property
    def failures(self) -> list[End]:
        """The runs that did not succeed."""
        return [end for end in self.ends if end.status not in ("succeeded", "partial-succeeded")]


async def play(stage: Stage, path: Path) -> Played:
    """Play one app with every set of inputs that its form suggests."""
    text = path.read_text("utf-8")
    PROMPTER.now = answers = ANSWERS.get(path.name[:3], Answers())
    made = cast(text, dataset_id=stage.dataset_id, tools=stage.tools, reply=answers.model)
    if made is None:
        made = Cast(text=text, mode="", stand_ins=[])
    played = Played(outcome="ran", mode=made.mode, stand_ins=made.stand_ins)
    key = ""
    try:
        if made.mode == PIPELINE_MODE:
            played.ends = [End(**end) for end in await play_pipeline(stage, made.text)]
        else:
            key = await _published(stage, made)
    except InvalidGraph as exc:
        errors = [f"{item.code}: {item.message}" for item in exc.problems if item.severity == "error"]
        return msgspec.structs.replace(played, outcome="refused", problem="; ".join(errors or [str(exc)]))
    except DifyError as exc:
        return msgspec.structs.replace(played, outcome="unreadable", problem=str(exc))
    graph = _graph(made.text)
    played.nodes = frozenset(node_id for node_id, data in node_data(graph) if data.get("type") not in _NO_NODES)
    if made.mode == PIPELINE_MODE:
        return played
    player = _Player(stage.web, key, made.mode)
    for inputs in input_sets(await player.parameters(), branch_words(graph)):
        given = {name: answers.inputs.get(name, value) for name, value in inputs.values.items()}
        played.ends += await player.play(msgspec.structs.replace(inputs, values=given))
    return played


async def _published(stage: Stage, made: Cast) -> str:
    """The API key of the app, imported and published."""
    apps = stage.workspace.apps
    imported = await apps.import_dsl(made.text, account_id=stage.owner_id, confirmed=True)
    if imported.app_mode in ("workflow", "advanced-chat"):
        await apps.publish(str(imported.app_id), stage.owner_id)
    return (await stage.workspace.api_keys.create("app", str(imported.app_id))).token


def _graph(text: str) -> dict[str, Any]:
    """The graph in the form of today; empty for an app that is none."""
    dsl = read(text).dsl
    return dsl.workflow.graph if dsl.workflow else {}


class _Player:
    """Calls one app as a client does."""

    def __init__(self, web: httpx.AsyncClient, key: str, mode: str) -> None:
        self._web, self._mode = web, mode
        self._headers = {"Authorization": f"Bearer {key}"}

    async def parameters(self) -> dict[str, Any]:
        """The app's form."""
        answer = await self._web.get("/v1/parameters", headers=self._headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def play(self, inputs: Inputs) -> list[End]:
        """One run, or the turns of one conversation."""
        body: dict[str, Any] = {"inputs": {}, "user": USER, "response_mode": "streaming"}
        for name, value in inputs.values.items():
            body["inputs"] |= {name: await self._sent(value)}
        if inputs.files:
            body["files"] = await self._sent([*inputs.files])
        if self._mode not in _CHATS:
            if self._mode == "completion":
                body["query"] = inputs.queries[0]
            return [(await self._run(body))[0]]
        ends: list[End] = []
        conversation = ""
        for query in inputs.queries:
            end, conversation = await self._run({**body, "query": query, "conversation_id": conversation})
            ends.append(end)
        return ends

    async def _run(self, body: dict[str, Any]) -> tuple[End, str]:
        path = _PATHS.get(self._mode, "/v1/chat-messages")
        answer = await self._web.post(path, json=body, headers=self._headers)
        given = {name: body[name] for name in ("inputs", "query", "files") if body.get(name)}
        if answer.status_code != 200:
            return End(status=f"http {answer.status_code}", error=answer.text, given=given), ""
        events = [
            msgspec.json.decode(block.removeprefix("data: "))
            for block in answer.text.split("\n\n")
            if block.startswith("data: ")
        ]
        conversation = next((event["conversation_id"] for event in events if "conversation_id" in event), "")
        return _end(events, given), conversation

    async def _sent(self, value: Any) -> Any:
        """The value, its files uploaded."""
        if isinstance(value, list):
            return [await self._sent(item) for item in value]
        if not isinstance(value, Attached):
            return value
        sent = await self._web.post(
            "/v1/files/upload", files={"file": value.sample}, data={"user": USER}, headers=self._headers
        )
        assert sent.status_code == 201, sent.text
        return {"type": value.kind, "transfer_method": "local_file", "upload_file_id": sent.json()["id"]}


def _end(events: list[dict[str, Any]], given: dict[str, Any]) -> End:
    """How the run ended that these events tell of."""
    nodes = [event["data"] for event in events if event["event"] in _NODE_ENDS]
    reached = frozenset(node["node_id"] for node in nodes)
    failed = next((node["node_type"] for node in nodes if node["status"] == "failed"), "")
    last = events[-1] if events else {"event": "nothing"}
    told = next((event["data"] for event in events if event["event"] in ("workflow_finished", "workflow_paused")), None)
    if told is None and any(event["event"] == "message_end" for event in events):
        told = {"status": "succeeded"}
    if told is None:
        told = {"status": last["event"], "error": last.get("message")}
    return End(status=told["status"], error=str(told.get("error") or ""), node=failed, given=given, reached=reached)
