"""`dify demo`: the whole platform, a knowledge base of real documents, three apps, three questions to one of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from dify_kernel.errors import BadInput, DifyError

from dify_host.cli.app_run import pairs
from dify_host.cli.call import Call, takes_call

if TYPE_CHECKING:
    from dify_host.identity.workspaces import Member
    from dify_host.platform import Platform
    from dify_host.workspace import Workspace

__all__ = ["demo"]

QUESTIONS = (
    "How much is the travel allowance per day?",
    "How long is the warranty of a robot?",
    "How long is the probation period?",
)
_APPS = ("handbook-chatflow.yml", "order-workflow.yml", "plain-chat.yml")
_NO_DATASET = "00000000-0000-0000-0000-000000000000"
_START_SECONDS = 60.0


class NoModels(DifyError):
    """There is no model to answer with."""

    code = "no_models"


@click.command()
@click.option("--provider", help="Answer with this model provider instead of the models of this machine.")
@click.option("-c", "--credential", "credentials", multiple=True, metavar="NAME=VALUE", help="Of the provider.")
@click.option("--model", help="Its chat model.")
@click.option("--embedding-model", help="Its embedding model.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the platform; a free one by default.")
@click.option("--keep", is_flag=True, help="Leave the platform running at the end, until Ctrl-C.")
@takes_call
def demo(
    call: Call,
    provider: str | None,
    credentials: tuple[str, ...],
    model: str | None,
    embedding_model: str | None,
    port: int | None,
    keep: bool,
) -> None:
    """Start everything, fill a knowledge base, import example apps, ask three questions."""
    wanted = Chosen(provider, pairs(credentials, "--credential"), model, embedding_model) if provider else None
    with _Server(call, port or _free_port()) as server:
        result = call.run(_demo(call, server, wanted))
        call.out.result(result)
        if keep:
            call.out.say(f"\nThe platform stays at {server.url} until Ctrl-C.", style="bold")
            server.wait()


class Chosen:
    """The models that the demo uses; a provider that needs no credentials works by itself."""

    def __init__(
        self, provider: str, credentials: dict[str, Any], model: str | None, embedding_model: str | None
    ) -> None:
        if not model or not embedding_model:
            raise BadInput("A provider needs --model and --embedding-model.", hint="See `dify demo --help`.")
        self.provider, self.credentials = provider, credentials
        self.model, self.embedding_model = model, embedding_model


class _Server:
    """`dify up` in a process of its own, for as long as the demo runs."""

    def __init__(self, call: Call, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._out = call.out
        self._port = port
        self._env = dict(call.env)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path(self._env["DIFY_DATA"]) / "demo.log"

    def __enter__(self) -> _Server:
        from dify_host.cli.up import answers

        self._out.say("Starting the platform …")
        self._log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "dify_host.cli.main", "up", "--port", str(self._port)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)  # noqa: S603
        started = time.monotonic()
        while not answers("127.0.0.1", self._port):
            if self._process.poll() is not None or time.monotonic() - started > _START_SECONDS:
                self.__exit__()
                raise DifyError("The platform did not start.", hint=f"Its messages are in {self._log}.")
            time.sleep(0.1)
        self._out.done(f"The platform answers at {self.url} after {time.monotonic() - started:.1f} s.")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def wait(self) -> None:
        """Wait until Ctrl-C or until it ends."""
        if self._process is not None:
            try:
                self._process.wait()
            except KeyboardInterrupt:
                self._out.say("")


async def _demo(call: Call, server: _Server, wanted: Chosen | None) -> dict[str, Any]:
    async with call.workspace(bus=True) as (platform, workspace, owner):
        chosen = await _models(call, platform, workspace, wanted)
        dataset_id, handbook = await _fill(call, platform, workspace, owner)
        apps = await _import(call, workspace, owner, chosen, dataset_id)
        answers = await _ask(call, server, apps["handbook-chatflow.yml"][1])
    _show_next(call, apps, handbook)
    return {"dataset_id": dataset_id, "apps": {name: app_id for name, (app_id, _) in apps.items()}, "answers": answers}


# -- models ------------------------------------------------------------------------------------------------------


async def _models(call: Call, platform: Platform, workspace: Workspace, wanted: Chosen | None) -> Chosen:
    """Make the models ready and the defaults of the workspace."""
    from dify_kernel.contracts.model import ModelType

    if wanted is None:
        wanted = await _local_models(call, platform)
    await workspace.providers.add(wanted.provider, wanted.credentials)
    await workspace.providers.set_default(ModelType.LLM, wanted.provider, wanted.model)
    await workspace.providers.set_default(ModelType.TEXT_EMBEDDING, wanted.provider, wanted.embedding_model)
    call.out.done(f"{wanted.model} answers, {wanted.embedding_model} embeds.")
    return wanted


async def _local_models(call: Call, platform: Platform) -> Chosen:
    """The first provider that needs no credentials, its models fetched with a bar."""
    from dify_kernel.contracts.model import ModelType
    from dify_kernel.forms import needs_nothing

    reasons = []
    for name in platform.registry.names("providers"):
        if not needs_nothing(platform.registry.get("providers", name).Credentials):
            continue
        provider = platform.providers.get(name)
        found = {kind: next((i.model for i in provider.models() if i.model_type is kind), None) for kind in ModelType}
        chat, embedding = found[ModelType.LLM], found[ModelType.TEXT_EMBEDDING]
        if not chat or not embedding:
            continue
        try:
            for model in (chat, embedding):
                with _Bar(call, f"Fetching {model}") as progress:
                    await provider.prepare(model, progress)
        except DifyError as exc:
            reasons.append(exc.description)
            continue
        await provider.close()
        return Chosen(name, {}, chat, embedding)
    others = ", ".join(platform.registry.names("providers"))
    raise NoModels(
        f"There is no model on this machine to answer with. {' '.join(reasons)}",
        hint="Or name a provider: dify demo --provider NAME --credential KEY=VALUE --model M --embedding-model E "
        f"(installed: {others}; `dify plugins show NAME` lists its credentials, with the address of any compatible "
        "server; a private address needs SSRF_ALLOWED_HOSTS).",
    )


class _Bar:
    """A progress bar in bytes that shows only when something is fetched."""

    def __init__(self, call: Call, title: str) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=call.out.console(), disable=not call.out.live)
        self._title = title
        self._task: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        self._progress.start()
        return self._update

    def _update(self, done: int, total: int) -> None:
        if self._task is None:
            self._task = self._progress.add_task(self._title, total=total or None)
        self._progress.update(self._task, completed=done, total=total or None)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


# -- knowledge and apps --------------------------------------------------------------------------------------------


def examples() -> Path:
    """The folder of the example apps and documents."""
    from dify_host import examples as package

    return Path(package.__path__[0])


async def _fill(call: Call, platform: Platform, workspace: Workspace, owner: Member) -> tuple[str, str]:
    """A knowledge base with every example document, indexed by the platform's worker: its id and name."""
    from dify_host.cli.knowledge import follow, upload
    from dify_host.knowledge.datasets import NewDataset

    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    search = {"search_method": "hybrid_search", "top_k": 2, "reranking_enable": False, "score_threshold_enabled": False}
    new = NewDataset(name=f"Handbook {stamp}", indexing_technique="high_quality", retrieval_model=search)
    dataset = await workspace.datasets.create(new, owner.id)
    files = sorted((examples() / "documents").iterdir())
    waiting = [await upload(workspace, owner, dataset, path) for path in files]
    for document in waiting:
        state = await follow(call.out, platform, workspace, dataset, document, here=False)
        if state["indexing_status"] == "error":
            raise DifyError(f"{state['name']} could not be indexed: {state['error']}")
        call.out.done(f"{state['name']}: {state['segments']} pieces")
    return dataset.id, dataset.name


async def _import(
    call: Call, workspace: Workspace, owner: Member, chosen: Chosen, dataset_id: str
) -> dict[str, tuple[str, str]]:
    """Import and publish the example apps; gives each one's id and a key."""
    made = {}
    for name in _APPS:
        text = (examples() / name).read_text("utf-8").replace(_NO_DATASET, dataset_id)
        result = await workspace.apps.import_dsl(_with_models(text, chosen), account_id=owner.id, publish=True)
        if result.app_id is None:
            raise DifyError(f"{name} was not imported: {result.error}")
        key = await workspace.api_keys.create("app", result.app_id)
        made[name] = (result.app_id, key.token)
        call.out.done(f"{name} is an app now.")
    return made


def _with_models(text: str, chosen: Chosen) -> str:
    """The app with the chosen chat model wherever it names one."""
    import yaml

    data = yaml.safe_load(text)
    basic = data.get("model_config")
    nodes = (data.get("workflow") or {}).get("graph", {}).get("nodes", [])
    for holder in [basic] if basic else [node["data"] for node in nodes]:
        if "model" in holder:
            holder["model"] = {**holder["model"], "provider": chosen.provider, "name": chosen.model}
    dumped: str = yaml.safe_dump(data, allow_unicode=True)
    return dumped


# -- questions -----------------------------------------------------------------------------------------------------


async def _ask(call: Call, server: _Server, key: str) -> list[dict[str, Any]]:
    """Ask over the Service API, as any client would, and show the answers as they come."""
    import httpx

    answers = []
    async with httpx.AsyncClient(base_url=server.url, timeout=300, trust_env=False) as client:
        for question in QUESTIONS:
            call.out.say(f"\n? {question}", style="bold cyan")
            answers.append(await _one_question(call, client, key, question))
    return answers


async def _one_question(call: Call, client: Any, key: str, question: str) -> dict[str, Any]:
    import msgspec

    body = {"inputs": {}, "query": question, "user": "demo", "response_mode": "streaming"}
    answer, sources = "", []
    headers = {"Authorization": f"Bearer {key}"}
    async with client.stream("POST", "/v1/chat-messages", json=body, headers=headers) as response:
        if response.status_code != 200:
            raise DifyError(f"The app answered {response.status_code}: {(await response.aread()).decode()}")
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            event = msgspec.json.decode(line[6:])
            if event["event"] == "message":
                answer += event["answer"]
                call.out.write(event["answer"])
            elif event["event"] == "error":
                raise DifyError(f"The app failed: {event['message']}")
            elif event["event"] == "message_end":
                sources = event["metadata"]["retriever_resources"]
    call.out.say("")
    for source in sources:
        call.out.say(f"  [{source['position']}] {source['document_name']} ({source['score']:.2f})", style="dim")
    return {"question": question, "answer": answer, "sources": [source["document_name"] for source in sources]}


def _show_next(call: Call, apps: dict[str, tuple[str, str]], handbook: str) -> None:
    if call.out.json:
        return
    from rich.panel import Panel

    key = apps["order-workflow.yml"][1]
    lines = (
        "dify up                      start the platform again, with what the demo made",
        "dify app list                the three apps",
        f"dify kb search '{handbook}' 'warranty of a robot'",
        "dify run examples/order-workflow.yml -i part='gripper pad' -i amount=2",
        "",
        "While it is up, any client of the Service API works:",
        f"curl -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\",
        '  -d \'{"inputs": {"part": "wheel motor", "amount": 3}, "user": "me"}\' \\',
        "  http://localhost:5001/v1/workflows/run",
    )
    call.out.console().print(Panel("\n".join(lines), title="Where to go next", border_style="green", expand=False))


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
