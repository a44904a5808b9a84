"""The node contract: a config struct, declared handles, and `run(ctx)` yielding deltas and one result.

A node reaches the world only through `ctx.ports`, which the host provides and `dify_kernel.testing` fakes.
"""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Protocol

import msgspec

from dify_kernel.contracts.model import Usage
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import DifyError, NodeFailed, PlatformUnavailable
from dify_kernel.graph.pool import Pool, Selector, Template
from dify_kernel.graph.values import Value

__all__ = [
    "AgentLog",
    "Body",
    "ContainerNode",
    "ContainerStarted",
    "Delta",
    "InlineNode",
    "Limits",
    "Node",
    "NodeConfig",
    "NodeContext",
    "NodeKind",
    "NodeResult",
    "NodeStatus",
    "Pause",
    "RetrieverResources",
    "Round",
    "RoundStarted",
    "RunInfo",
    "TextDelta",
    "VariableSelector",
]


class NodeKind(StrEnum):
    """What a node is to the engine."""

    ROOT = "root"
    EXECUTABLE = "executable"
    BRANCH = "branch"
    RESPONSE = "response"
    CONTAINER = "container"


class NodeStatus(StrEnum):
    """How a node ended; `exception` is a failure that an error strategy turned into outputs."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXCEPTION = "exception"


class VariableSelector(msgspec.Struct, frozen=True, kw_only=True):
    """A local name and the variable that it stands for."""

    variable: str
    value_selector: list[str] = []


class NodeConfig(msgspec.Struct, kw_only=True):
    """Base of every node's config: the node's `data` in the DSL. Unknown keys are ignored."""


# -- what a run yields ---------------------------------------------------------------------------------------


class TextDelta(msgspec.Struct, frozen=True):
    """A piece of the output `name`, streamed while the node runs; the result repeats the whole text."""

    text: str
    name: str = "text"


class RetrieverResources(msgspec.Struct, frozen=True):
    """Citations, fields as in `retriever_resources` of the API."""

    resources: list[dict[str, Any]]

    @classmethod
    def of(cls, pieces: Sequence[Any]) -> RetrieverResources:
        """The citations of retrieved pieces (`KnowledgePort.retrieve`); other pieces give none."""
        return cls([_citation(piece) for piece in pieces if _from_knowledge(piece)])


#: The field of a citation -> the key of a retrieved piece's metadata.
_CITATION_FIELDS = {
    "position": "position",
    "dataset_id": "dataset_id",
    "dataset_name": "dataset_name",
    "document_id": "document_id",
    "document_name": "document_name",
    "data_source_type": "data_source_type",
    "segment_id": "segment_id",
    "retriever_from": "retriever_from",
    "score": "score",
    "hit_count": "segment_hit_count",
    "word_count": "segment_word_count",
    "segment_position": "segment_position",
    "index_node_hash": "segment_index_node_hash",
    "page": "page",
    "doc_metadata": "doc_metadata",
}


def _from_knowledge(piece: Any) -> bool:
    metadata = piece.get("metadata") if isinstance(piece, dict) else None
    return isinstance(metadata, dict) and metadata.get("_source") == "knowledge"


def _citation(piece: dict[str, Any]) -> dict[str, Any]:
    found = {name: piece["metadata"].get(key) for name, key in _CITATION_FIELDS.items()}
    return {**found, "title": piece.get("title"), "content": piece.get("content"), "files": piece.get("files") or []}


class AgentLog(msgspec.Struct, frozen=True, kw_only=True):
    """One step of an agent: sent as `start`, and again under its id while it gets on and when it ends.

    `status` is start, success or error. A step without a parent is a round, which chats show as a thought: its `data`
    fills up with `thought`, `tool` (names joined by `;`), `tool_labels`, `tool_input`, `observation` (both JSON texts)
    and `files`.
    """

    id: str
    label: str
    status: str
    parent_id: str | None = None
    error: str | None = None
    data: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


class NodeResult(msgspec.Struct, kw_only=True):
    """What a node ends with. Yielded once, last.

    `handle` names the edges to take. An output is plain data, or a Value where the data does not tell its type (an
    empty list of files). A failed result may keep outputs (an HTTP error keeps its body). `updates` are writes to
    variables of other owners (conversation, loop), in order.
    """

    outputs: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    process_data: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    usage: Usage | None = None
    handle: str = "source"
    status: NodeStatus = NodeStatus.SUCCEEDED
    error: str = ""
    error_type: str = ""
    updates: list[tuple[Selector, Any]] = []

    @classmethod
    def failed(cls, exc: DifyError, *, error_type: str = "", **known: Any) -> NodeResult:
        """The failed result of an error, with what else is known; the type is the error's own unless one is given.

        PlatformUnavailable is raised again: the node has not failed, and is tried anew when the platform is back.
        """
        if isinstance(exc, PlatformUnavailable):
            raise exc
        kind = exc.error_type if isinstance(exc, NodeFailed) else error_type or type(exc).__name__
        return cls(status=NodeStatus.FAILED, error=str(exc), error_type=kind, **known)


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """The run waits for somebody; yielded last, in place of a result.

    No process holds a run that waits. When the answer has come, `run` is called again with it as `ctx.answer`.
    `data` is kept for whoever answers: plain data, with everything that the question needs. After `expires_in` seconds
    the host answers with `{"timeout": True}`.
    """

    type: str
    data: dict[str, Any] = {}
    expires_in: float | None = None


class ContainerStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A container knows what it goes over. Clients learn of a container, and of its end, by this alone."""

    inputs: dict[str, Any] = {}
    metadata: dict[str, Any] = {}


class RoundStarted(msgspec.Struct, frozen=True):
    """A round of a container is due; `index` as clients count it."""

    index: int


Delta = TextDelta | RetrieverResources | AgentLog | ContainerStarted | RoundStarted | Pause | NodeResult


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """How one round of a container's body ended. `pool` holds the values at its end.

    `ran` are the types of the nodes that ran; a failed round has the error of the node that failed it.
    """

    pool: Pool
    ran: frozenset[str]
    status: NodeStatus = NodeStatus.SUCCEEDED
    error: str = ""
    error_type: str = ""
    usage: Usage
    elapsed_time: float = 0.0


class Body(Protocol):
    """The nodes inside a container, run as often as it likes."""

    async def run(self, index: int, variables: Mapping[str, Any], *, isolated: bool) -> Round:
        """One round, `variables` set under the container's id first.

        An isolated round works on a copy of the pool, of which only conversation variables come back; others share it,
        and begin without the values of the nodes inside. Rounds with different indexes may run side by side. A round
        that was recorded is not run again. Raises what pauses or ends the whole run; let it through.
        """
        ...

    async def run_many(
        self, rounds: Sequence[Mapping[str, Any]], *, at_once: int, stop_at_failure: bool
    ) -> dict[int, Round]:
        """Isolated rounds side by side, at most `at_once`: each one's variables by its index, its end by its index.

        With `stop_at_failure` the others are cancelled when one fails, and are absent. When one has to wait for
        somebody, the others run to their end first.
        """
        ...


# -- a run ------------------------------------------------------------------------------------------------------


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of node behaviour; names are those of the environment variables."""

    code_max_number: int = 9223372036854775807
    code_min_number: int = -9223372036854775807
    code_max_depth: int = 5
    code_max_precision: int = 20
    code_max_string_length: int = 400_000
    code_max_string_array_length: int = 30
    code_max_object_array_length: int = 30
    code_max_number_array_length: int = 1000
    code_timeout: float = 15.0
    template_transform_max_length: int = 400_000
    http_request_max_connect_timeout: float = 10.0
    http_request_max_read_timeout: float = 600.0
    http_request_max_write_timeout: float = 600.0
    http_request_node_max_binary_size: int = 10 * 1024 * 1024
    http_request_node_max_text_size: int = 1024 * 1024
    http_request_node_ssl_verify: bool = True
    max_variable_size: int = 200 * 1024


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Whose run this is."""

    run_id: str
    tenant_id: str = ""
    app_id: str = ""
    workflow_id: str = ""
    user_id: str = ""
    conversation_id: str | None = None
    invoke_from: str = "service-api"
    call_depth: int = 0


class NodeContext(msgspec.Struct, kw_only=True, eq=False):
    """What a running node sees: its run, the values so far, the ports, and a stable key for side effects.

    `inside` is set for containers. `answer` is set when the node asked for a `Pause` and somebody has answered.
    """

    run: RunInfo
    node_id: str
    execution_id: str
    pool: Pool
    ports: Ports
    limits: Limits
    attempt: int = 0
    inside: Body | None = None
    answer: dict[str, Any] | None = None

    @property
    def body(self) -> Body:
        """The nodes inside; NodeFailed when the node is no container."""
        if self.inside is None:
            raise NodeFailed("The node has nothing inside to run.", node_id=self.node_id)
        return self.inside

    @property
    def key(self) -> str:
        """The same text each time this node of this run is tried again: an idempotency key for side effects."""
        return f"{self.run.run_id}:{self.execution_id}"

    def get(self, selector: Sequence[str]) -> Value | None:
        """A value, or None when missing."""
        return self.pool.get(selector)

    def require(self, selector: Sequence[str]) -> Value:
        """A value; NodeFailed when missing."""
        value = self.pool.get(selector)
        if value is None:
            raise NodeFailed(
                f"Variable {'.'.join(selector)} not found",
                error_type="VariableNotFoundError",
                node_id=self.node_id,
            )
        return value

    def render(self, template: str | Template) -> str:
        """A text with its references replaced."""
        return self.pool.render(template)


# -- nodes -----------------------------------------------------------------------------------------------------


class Node(ABC):
    """One node of a plan. Built once per plan and shared by all its runs: keep no state of a run in it."""

    #: The DSL's `data.type` and `data.version`.
    type: ClassVar[str]
    version: ClassVar[str] = "1"
    Config: ClassVar[builtins.type[NodeConfig]] = NodeConfig
    kind: ClassVar[NodeKind] = NodeKind.EXECUTABLE
    #: A pure node is run again after a crash; an effectful one is recorded before its successors start.
    pure: ClassVar[bool] = False
    #: Whether `retry_config` applies.
    retryable: ClassVar[bool] = False
    #: A silent node runs without a trace in events, counts and the log (the start of a container); it is inline.
    silent: ClassVar[bool] = False

    def __init__(self, node_id: str, config: Any) -> None:
        self.id = node_id
        self.config = config

    def selectors(self) -> list[Selector]:
        """The variables that the node reads, for validation and for the order of streams."""
        return []

    def handles(self) -> list[str]:
        """The handles that its out-edges may carry."""
        return ["source"]

    def problems(self) -> list[str]:
        """What is wrong with the config beyond its types, one sentence each."""
        return []

    def writes(self) -> list[Selector]:
        """Variables of other owners that the node writes (assigner)."""
        return []

    def extras(self) -> dict[str, Any]:
        """What clients are told of the node from its start on, beside its title: plain data, small."""
        return {}

    def pieces(self) -> list[str | Selector]:
        """For a response node: texts and selectors in the order they stream."""
        return []

    def missing(self, selector: Selector) -> str:
        """For a response node: what streams in place of a variable that does not exist."""
        return ".".join(selector)

    @abstractmethod
    def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """Do the work: yield deltas, then exactly one NodeResult. Raising a DifyError fails the node with it.

        PlatformUnavailable of a port must come through: the node has not failed, and is run again later.
        `NodeResult.failed` sees to it.
        """


class InlineNode(Node):
    """A node without I/O: the engine calls `evaluate` in place, without a task."""

    pure = True

    @abstractmethod
    def evaluate(self, ctx: NodeContext) -> NodeResult:
        """The result, at once."""

    async def run(self, ctx: NodeContext) -> AsyncIterator[Delta]:
        """The result as the only item."""
        yield self.evaluate(ctx)


class ContainerNode(Node):
    """A node with nodes inside, which it runs by `ctx.body`; they name it in `parentId` or in their data."""

    kind = NodeKind.CONTAINER

    def start_node_id(self) -> str:
        """Where a round begins; "" for the first node inside without incoming edges."""
        return ""
