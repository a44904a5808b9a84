"""Fake ports for node tests: scripted, deterministic, and each remembers how it was called.

`fake_ports()` gives a full set; `fake_ports(models=FakeModels(error=...))` replaces one. None touches the network.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from dify_kernel.contracts.http import HttpRequest, HttpResponse, HttpStream
from dify_kernel.contracts.model import PromptMessage
from dify_kernel.contracts.node import Body, Limits, NodeContext, RunInfo
from dify_kernel.contracts.ports import IndexedDocument, Indexing, Ports, Retrieval
from dify_kernel.contracts.tool import TextMessage, ToolInfo, ToolMessage
from dify_kernel.errors import CodeExecutionError, NotFound, ToolError
from dify_kernel.graph.pool import Pool
from dify_kernel.graph.values import File, FileTransfer, FileType
from dify_kernel.testing.fake_models import PIECE, FakeModels, echo_answer, overlap, word_vector

__all__ = [
    "FakeDocuments",
    "FakeFiles",
    "FakeHttp",
    "FakeKnowledge",
    "FakeMemory",
    "FakeModels",
    "FakeSandbox",
    "FakeTools",
    "echo_answer",
    "fake_context",
    "fake_pool",
    "fake_ports",
    "word_vector",
]

# -- knowledge, tools, files, memory -----------------------------------------------------------------------------


class FakeKnowledge:
    """A KnowledgePort over `{dataset_id: [text, ...]}`; finds by shared words, best first, at most `top_k`.

    What is indexed is kept in `indexed` and found from then on; a dataset that was not given is NotFound.
    """

    def __init__(self, datasets: Mapping[str, Sequence[str]] | None = None, *, error: Exception | None = None) -> None:
        self.datasets = {key: list(texts) for key, texts in (datasets or {}).items()}
        self.error = error
        self.requests: list[Retrieval] = []
        self.indexed: dict[str, Indexing] = {}

    async def retrieve(self, request: Retrieval) -> list[dict[str, Any]]:
        """Pieces in the shape of the knowledge-retrieval node."""
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        found = [
            (overlap(request.query, text), dataset_id, number, text)
            for dataset_id in request.dataset_ids
            for number, text in enumerate(self.datasets.get(dataset_id, ()))
        ]
        found = [item for item in found if item[0] > 0 and item[0] >= (request.score_threshold or 0.0)]
        found.sort(key=lambda item: -item[0])
        return [
            {
                "content": text,
                "title": f"document {number}",
                "files": [],
                "metadata": {
                    "_source": "knowledge",
                    "dataset_id": dataset_id,
                    "dataset_name": dataset_id,
                    "document_id": f"{dataset_id}-{number}",
                    "document_name": f"document {number}",
                    "data_source_type": "upload_file",
                    "segment_id": f"{dataset_id}-{number}-0",
                    "retriever_from": "workflow",
                    "score": score,
                    "position": position,
                },
            }
            for position, (score, dataset_id, number, text) in enumerate(found[: request.top_k], 1)
        ]

    async def index(self, request: Indexing) -> IndexedDocument:
        """Keep the pieces in place of those that the document had."""
        if self.error is not None:
            raise self.error
        if request.dataset_id not in self.datasets:
            raise NotFound(f"Dataset {request.dataset_id} does not exist.", dataset_id=request.dataset_id)
        texts = self.datasets[request.dataset_id]
        before = self.indexed.get(request.document_id)
        for chunk in before.chunks if before else ():
            texts.remove(chunk.content)
        texts += [chunk.content for chunk in request.chunks]
        self.indexed[request.document_id] = request
        return IndexedDocument(
            dataset_id=request.dataset_id,
            dataset_name=request.dataset_id,
            document_id=request.document_id,
            document_name=request.document_id,
            batch=request.batch,
            created_at=0.0,
        )


class ToolCallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One call that FakeTools got."""

    provider_type: str
    provider: str
    tool: str
    parameters: dict[str, Any]
    credential_id: str | None = None
    key: str = ""


class FakeTools:
    """A ToolsPort over `{tool: function(parameters) -> messages}`; an unknown tool answers its parameters as text."""

    def __init__(
        self,
        tools: Mapping[str, Callable[[Mapping[str, Any]], Sequence[ToolMessage]]] | None = None,
        *,
        infos: Mapping[str, ToolInfo] | None = None,
        error: Exception | None = None,
    ) -> None:
        self.tools = dict(tools or {})
        self.infos = dict(infos or {})
        self.error = error
        self.calls: list[ToolCallRecord] = []

    async def describe(
        self, provider_type: str, provider: str, tool: str, *, credential_id: str | None = None
    ) -> ToolInfo:
        """The given description; a tool without one takes nothing."""
        return self.infos.get(tool) or ToolInfo(name=tool, label=tool, description=f"The tool {tool}.")

    async def invoke(
        self,
        provider_type: str,
        provider: str,
        tool: str,
        parameters: Mapping[str, Any],
        *,
        credential_id: str | None = None,
        key: str = "",
    ) -> AsyncIterator[Any]:
        """The scripted messages; a function that raises anything but a DifyError makes a ToolError."""
        self.calls.append(
            ToolCallRecord(
                provider_type=provider_type,
                provider=provider,
                tool=tool,
                parameters=dict(parameters),
                credential_id=credential_id,
                key=key,
            )
        )
        if self.error is not None:
            raise self.error
        if tool not in self.tools:
            yield TextMessage(f"{tool}({json.dumps(dict(parameters), ensure_ascii=False, default=str)})")
            return
        try:
            messages = list(self.tools[tool](parameters))
        except (KeyError, TypeError, ValueError) as exc:
            raise ToolError(f"{tool} failed: {exc}") from exc
        for message in messages:
            yield message


class FakeFiles:
    """A FilesPort in memory: `put` keeps bytes and gives the File value; `saved` holds what nodes saved."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.saved: list[File] = []

    def put(self, data: bytes, *, filename: str, mime_type: str, type: FileType = FileType.DOCUMENT) -> File:
        """A local file with that content."""
        return self._keep(data, filename, mime_type, type, FileTransfer.LOCAL_FILE)

    async def load(self, file: File) -> bytes:
        """The content; NotFound for a file that this fake does not hold."""
        key = file.related_id or file.id or ""
        if key not in self.contents:
            raise NotFound(f"File {key} does not exist.", file=key)
        return self.contents[key]

    async def save(self, data: bytes, *, filename: str, mime_type: str) -> File:
        """Keep bytes as a tool file."""
        kind = next((kind for kind in FileType if mime_type.startswith(f"{kind.value}/")), FileType.DOCUMENT)
        file = self._keep(data, filename, mime_type, kind, FileTransfer.TOOL_FILE)
        self.saved.append(file)
        return file

    def _keep(self, data: bytes, filename: str, mime_type: str, kind: FileType, transfer: FileTransfer) -> File:
        key = f"file-{len(self.contents) + 1}"
        self.contents[key] = data
        extension = f".{filename.rpartition('.')[2]}" if "." in filename else ""
        return File(
            id=key,
            related_id=key,
            type=kind,
            transfer_method=transfer,
            filename=filename,
            extension=extension,
            mime_type=mime_type,
            size=len(data),
            url=f"http://files.test/{key}",
        )


class FakeDocuments:
    """A DocumentsPort that takes every document for a text with a line a part; `error` is raised instead."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[str] = []

    async def texts(self, data: bytes, extension: str) -> list[str]:
        """The lines."""
        self.asked.append(extension)
        if self.error is not None:
            raise self.error
        return data.decode().splitlines()


class FakeMemory:
    """A MemoryPort over a fixed history of (user, assistant) turns."""

    def __init__(self, turns: Sequence[tuple[str, str]] = ()) -> None:
        self.turns = list(turns)
        self.asked: list[tuple[str, int]] = []

    async def history(self, conversation_id: str, *, limit: int = 500) -> list[PromptMessage]:
        """The newest `limit` turns, oldest first."""
        self.asked.append((conversation_id, limit))
        messages = []
        for question, answer in self.turns[-limit:] if limit else []:
            messages += [PromptMessage(role="user", content=question), PromptMessage(role="assistant", content=answer)]
        return messages


# -- http --------------------------------------------------------------------------------------------------------


class _Stream:
    """A whole answer, given out piece by piece."""

    def __init__(self, response: HttpResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self._response = response

    async def lines(self) -> AsyncIterator[str]:
        for line in self._response.text.splitlines():
            yield line

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        for start in range(0, len(content), PIECE):
            yield content[start : start + PIECE]

    async def read(self) -> bytes:
        return self._response.content


class FakeHttp:
    """An HttpClient that answers from `answers` and remembers `requests`.

    `answers` maps a path or a full address to an HttpResponse, an exception to raise, a function of the request, or
    to a list of these, used up one a request (the last one stays). Anything else is echoed as JSON.
    """

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self.answers = dict(answers or {})
        self.requests: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The scripted answer."""
        self.requests.append(request)
        path = urlsplit(request.url).path
        found = self.answers.get(request.url, self.answers.get(path))
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if isinstance(found, Exception):
            raise found
        if callable(found):
            found = found(request)
        response = found if isinstance(found, HttpResponse) else _echo(request)
        return msgspec.structs.replace(response, url=response.url or request.url)

    @asynccontextmanager
    async def stream(self, request: HttpRequest) -> AsyncIterator[HttpStream]:
        """The scripted answer, in pieces."""
        yield _Stream(await self.send(request))


def _echo(request: HttpRequest) -> HttpResponse:
    parts = urlsplit(request.url)
    query = parse_qsl(parts.query, keep_blank_values=True) + list(request.params)
    body = {
        "method": request.method.upper(),
        "path": parts.path,
        "query": [list(pair) for pair in query],
        "headers": {key.lower(): value for key, value in request.headers},
        "body": (request.content or b"").decode("utf-8", "replace"),
        "files": [[part.name, part.filename, part.content.decode("utf-8", "replace")] for part in request.files],
    }
    content = json.dumps(body, ensure_ascii=False).encode()
    return HttpResponse(
        status=200,
        reason="OK",
        headers=[("content-type", "application/json"), ("content-length", str(len(content)))],
        content=content,
        url=urlunsplit(parts._replace(query=urlencode(query))),
    )


# -- sandbox -----------------------------------------------------------------------------------------------------

_PROGRAM = (
    "import json,sys\ncode,inputs=json.load(sys.stdin)\nspace={'__name__':'__main__'}\nexec(code,space)\n"
    "print('\\n<<RESULT>>'+json.dumps(space['main'](**inputs)))"
)


class FakeSandbox:
    """A SandboxPort: `main` answers calls when given; otherwise Python runs in a child interpreter. `calls` remembers.

    The child is not a jail: only tests' own code runs there. JavaScript needs `main`.
    """

    def __init__(
        self,
        main: Callable[[str, str, Mapping[str, Any]], Any] | None = None,
        *,
        error: Exception | None = None,
    ) -> None:
        self.main = main
        self.error = error
        self.calls: list[tuple[str, str, dict[str, Any]]] = []

    async def execute(self, language: str, code: str, inputs: Mapping[str, Any], *, timeout: float = 15.0) -> Any:
        """What `main` of the code returned; CodeExecutionError with its traceback, or when it takes too long."""
        self.calls.append((language, code, dict(inputs)))
        if self.error is not None:
            raise self.error
        if self.main is not None:
            return self.main(language, code, inputs)
        if language != "python3":
            raise CodeExecutionError(f"This fake does not run {language}.", hint="Give FakeSandbox(main=...).")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-c",
            _PROGRAM,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            given = json.dumps([code, dict(inputs)]).encode()
            out, err = await asyncio.wait_for(process.communicate(given), timeout)
        except TimeoutError:
            raise CodeExecutionError(f"The code took longer than {timeout:g} s.") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise CodeExecutionError(err.decode("utf-8", "replace"))
        return json.loads(out.decode().rpartition("<<RESULT>>")[2])


# -- all together ------------------------------------------------------------------------------------------------


def fake_ports(**overrides: Any) -> Ports:
    """A full set of fresh fakes; name a port to replace it: `fake_ports(http=FakeHttp({...}))`."""
    ports: dict[str, Any] = {
        "models": FakeModels(),
        "knowledge": FakeKnowledge(),
        "tools": FakeTools(),
        "files": FakeFiles(),
        "http": FakeHttp(),
        "sandbox": FakeSandbox(),
        "memory": FakeMemory(),
        "documents": FakeDocuments(),
    }
    unknown = overrides.keys() - ports.keys()
    if unknown:
        raise TypeError(f"no such port: {', '.join(sorted(unknown))}; there are {', '.join(ports)}")
    return Ports(**{**ports, **overrides})


def fake_pool(variables: Mapping[str, Mapping[str, Any]]) -> Pool:
    """A pool of `{node_id: {name: data}}`; data may be plain or a Value."""
    pool = Pool()
    for node_id, values in variables.items():
        pool.update(node_id, values)
    return pool


def fake_context(
    node_id: str,
    variables: Mapping[str, Mapping[str, Any]] | Pool | None = None,
    *,
    ports: Ports | None = None,
    limits: Limits | None = None,
    attempt: int = 0,
    run: RunInfo | None = None,
    answer: dict[str, Any] | None = None,
    body: Body | None = None,
) -> NodeContext:
    """A context for one node of the run `run-1`, with fake ports and default limits unless given."""
    pool = variables if isinstance(variables, Pool) else fake_pool(variables or {})
    return NodeContext(
        run=run or RunInfo(run_id="run-1", tenant_id="tenant-1", app_id="app-1", user_id="user-1"),
        node_id=node_id,
        execution_id=f"{node_id}-1",
        pool=pool,
        ports=ports or fake_ports(),
        limits=limits or Limits(),
        attempt=attempt,
        answer=answer,
        inside=body,
    )
