"""Reads and writes the text of an app or a knowledge pipeline (Dify's DSL): structure, defaults, versions. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal, cast, get_args

import msgspec
from packaging.version import InvalidVersion, Version

from dify_host.apps.errors import InvalidDsl
from dify_host.apps.old_forms.modern import modernised
from dify_host.apps.old_forms.rule import Change
from dify_host.apps.records import AppMode, ModelConfig, Variable
from dify_host.apps.variables import MAX_VARIABLE_SIZE, read_variables
from dify_host.apps.yaml_text import read_yaml, write_yaml

__all__ = [
    "CONFIG_DEFAULTS",
    "CURRENT_VERSION",
    "WORKFLOW_MODES",
    "AppDsl",
    "AppHead",
    "ImportStatus",
    "PipelineDsl",
    "PipelineHead",
    "Reading",
    "WorkflowBody",
    "dump",
    "import_status",
    "no_app",
    "parse",
    "read",
    "read_model_config",
    "read_pipeline_variables",
    "write_model_config",
]

CURRENT_VERSION: Final = "0.5.0"
WORKFLOW_MODES: Final = ("workflow", "advanced-chat")
_ICON_TYPES: Final = ("emoji", "image", "link")

ImportStatus = Literal["completed", "completed-with-warnings", "pending"]


class AppHead(msgspec.Struct, frozen=True, kw_only=True):
    """How an app is called and drawn."""

    name: str = ""
    mode: AppMode
    description: str = ""
    icon: str = ""
    icon_type: str = "emoji"
    icon_background: str = "#FFFFFF"
    use_icon_as_answer_icon: bool = False


class WorkflowBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a workflow app consists of; unknown keys inside `graph` and `features` are kept."""

    graph: dict[str, Any] = {}
    features: dict[str, Any] = {}
    environment_variables: list[Variable] = []
    conversation_variables: list[Variable] = []
    rag_pipeline_variables: list[dict[str, Any]] = []


class AppDsl(msgspec.Struct, frozen=True, kw_only=True):
    """A whole app; `workflow` is set for workflow and advanced-chat apps, `model_config` for the others."""

    version: str = CURRENT_VERSION
    kind: str = "app"
    app: AppHead
    workflow: WorkflowBody | None = None
    model_config: dict[str, Any] | None = None
    dependencies: list[dict[str, Any]] = []


class PipelineHead(msgspec.Struct, frozen=True, kw_only=True):
    """How a knowledge pipeline is called and drawn."""

    name: str = ""
    description: str = ""
    icon: str = ""
    icon_type: str = "emoji"
    icon_background: str = "#FFFFFF"
    icon_url: str = ""


class PipelineDsl(msgspec.Struct, frozen=True, kw_only=True):
    """A whole knowledge pipeline: a workflow from data sources to a knowledge base."""

    version: str = CURRENT_VERSION
    kind: str = "rag_pipeline"
    rag_pipeline: PipelineHead
    workflow: WorkflowBody
    dependencies: list[dict[str, Any]] = []


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a text describes, in the form of today, and the old forms that were found in it."""

    dsl: AppDsl | PipelineDsl
    changes: list[Change] = []


#: What an absent or empty part of `model_config` means.
CONFIG_DEFAULTS: Final[dict[str, Any]] = {
    "model": {},
    "prompt_type": "simple",
    "pre_prompt": "",
    "chat_prompt_config": {},
    "completion_prompt_config": {},
    "user_input_form": [],
    "dataset_query_variable": None,
    "dataset_configs": {"retrieval_model": "multiple"},
    "agent_mode": {"enabled": False, "strategy": None, "tools": [], "prompt": None},
    "opening_statement": None,
    "suggested_questions": [],
    "suggested_questions_after_answer": {"enabled": False},
    "speech_to_text": {"enabled": False},
    "text_to_speech": {"enabled": False},
    "retriever_resource": {"enabled": True},
    "more_like_this": {"enabled": False},
    "sensitive_word_avoidance": {"enabled": False, "type": "", "configs": []},
    "external_data_tools": [],
    "file_upload": {
        "image": {
            "enabled": False,
            "number_limits": 3,
            "detail": "high",
            "transfer_methods": ["remote_url", "local_file"],
        }
    },
}


def read(text: str | bytes, *, max_variable_size: int = MAX_VARIABLE_SIZE) -> Reading:
    """What a YAML text describes: an app or a knowledge pipeline, old forms brought to those of today.

    Raises InvalidDsl that names the line or the field, TooLarge for a text that is too large; the version is checked
    by `import_status`.
    """
    data = read_yaml(text)
    if not isinstance(data, dict):
        raise InvalidDsl("Invalid YAML format: content must be a mapping.")
    data, changes = modernised(data)
    if not isinstance(data["version"], str):
        raise InvalidDsl(
            f"Invalid version type, expected str, got {type(data['version'])}", hint='Write it in quotes: "0.5.0".'
        )
    build = _pipeline if data["kind"] == "rag_pipeline" else _app
    return Reading(dsl=build(data, max_variable_size), changes=changes)


def parse(text: str | bytes, *, max_variable_size: int = MAX_VARIABLE_SIZE) -> AppDsl:
    """The app that a YAML text describes; as `read`, and InvalidDsl for a knowledge pipeline."""
    dsl = read(text, max_variable_size=max_variable_size).dsl
    if isinstance(dsl, PipelineDsl):
        raise no_app()
    return dsl


def no_app() -> InvalidDsl:
    """What is said of a knowledge pipeline where an app is wanted."""
    return InvalidDsl("Missing app data in YAML content", hint="This is a knowledge pipeline, not an app.")


def read_pipeline_variables(value: Any) -> list[dict[str, Any]]:
    """The form of a pipeline: each field names its variable and the node it belongs to; InvalidDsl otherwise."""
    listed = _list(value, "workflow.rag_pipeline_variables")
    for item in listed:
        named = isinstance(item, dict) and all(
            isinstance(item.get(key), str) and item[key] for key in ("variable", "belong_to_node_id")
        )
        if not named:
            raise InvalidDsl(
                "A field of the pipeline's form has no `variable` or no `belong_to_node_id`.",
                field="workflow.rag_pipeline_variables",
            )
    return listed


def dump(dsl: AppDsl | PipelineDsl) -> str:
    """The app or pipeline as YAML text, keys sorted; secrets and ids are written as they stand."""
    data = msgspec.to_builtins(dsl)
    for part in ("workflow", "model_config"):
        if data.get(part, dsl) is None:
            del data[part]
    return write_yaml(data)


def import_status(version: str) -> ImportStatus:
    """What importing an app of this DSL version leads to; InvalidDsl for a text that is no version."""
    try:
        imported, current = Version(version), Version(CURRENT_VERSION)
    except InvalidVersion as exc:
        raise InvalidDsl(f"{version[:64]!r} is no DSL version.", hint="The current one is 0.5.0.") from exc
    if imported > current or imported.major < current.major:
        return "pending"
    if imported.minor < current.minor:
        return "completed-with-warnings"
    return "completed"


def read_model_config(data: Any) -> dict[str, Any]:
    """A `model_config` with every part present; InvalidDsl names a part of the wrong type."""
    if not isinstance(data, dict) or not data:
        raise InvalidDsl("Missing model_config data for chat/agent-chat/completion app.", field="model_config")
    config = {key: data.get(key) or default for key, default in CONFIG_DEFAULTS.items()}
    try:
        msgspec.convert({**config, "id": "", "app_id": ""}, ModelConfig)
    except msgspec.ValidationError as exc:
        raise InvalidDsl(f"The model_config cannot be read: {exc}.", field="model_config") from exc
    return config


def write_model_config(config: ModelConfig) -> dict[str, Any]:
    """A stored configuration as its part of an app's text."""
    values = msgspec.structs.asdict(config)
    return {key: values[key] for key in CONFIG_DEFAULTS}


def _app(data: dict[str, Any], max_variable_size: int) -> AppDsl:
    head = _head(data.get("app"))
    workflow, config = None, None
    if head.mode in WORKFLOW_MODES:
        workflow = _workflow(data.get("workflow"), max_variable_size)
    else:
        config = read_model_config(data.get("model_config"))
    dependencies = _dependencies(data)
    return AppDsl(version=data["version"], app=head, workflow=workflow, model_config=config, dependencies=dependencies)


def _pipeline(data: dict[str, Any], max_variable_size: int) -> PipelineDsl:
    head = data.get("rag_pipeline")
    if not isinstance(head, dict) or not head:
        raise InvalidDsl("Missing rag_pipeline data in YAML content", field="rag_pipeline")
    names = ("name", "description", "icon", "icon_background", "icon_url")
    shown = {name: _text(head, name, "", part="rag_pipeline") for name in names if head.get(name)}
    icon_type = head.get("icon_type")
    return PipelineDsl(
        version=data["version"],
        rag_pipeline=PipelineHead(**shown, icon_type=icon_type if icon_type in _ICON_TYPES else "emoji"),
        workflow=_workflow(data.get("workflow"), max_variable_size),
        dependencies=_dependencies(data),
    )


def _dependencies(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for item in _list(data.get("dependencies"), "dependencies") if isinstance(item, dict)]


def _head(app: Any) -> AppHead:
    if not isinstance(app, dict) or not app:
        raise InvalidDsl("Missing app data in YAML content", field="app")
    mode = app.get("mode")
    if not mode:
        raise InvalidDsl("loss app mode", field="app.mode")
    if mode not in get_args(AppMode):
        raise InvalidDsl(f"Invalid app mode {str(mode)[:64]!r}", hint=f"One of {', '.join(get_args(AppMode))}.")
    icon_type = app.get("icon_type")
    return AppHead(
        mode=cast(AppMode, mode),
        name=_text(app, "name", ""),
        description=_text(app, "description", ""),
        icon=_text(app, "icon", ""),
        icon_type=icon_type if icon_type in _ICON_TYPES else "emoji",
        icon_background=_text(app, "icon_background", "#FFFFFF"),
        use_icon_as_answer_icon=bool(app.get("use_icon_as_answer_icon")),
    )


def _workflow(data: Any, max_variable_size: int) -> WorkflowBody:
    if not isinstance(data, dict) or not data:
        raise InvalidDsl("Missing workflow data for workflow/advanced chat app", field="workflow")
    return WorkflowBody(
        graph=_mapping(data.get("graph"), "workflow.graph"),
        features=_mapping(data.get("features"), "workflow.features"),
        environment_variables=read_variables(data.get("environment_variables"), "env", max_size=max_variable_size),
        conversation_variables=read_variables(
            data.get("conversation_variables"), "conversation", max_size=max_variable_size
        ),
        rag_pipeline_variables=read_pipeline_variables(data.get("rag_pipeline_variables")),
    )


def _mapping(value: Any, field: str) -> dict[str, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    raise InvalidDsl(f"`{field}` must be a mapping, not {type(value).__name__}.", field=field)


def _list(value: Any, field: str) -> list[Any]:
    if value is None or isinstance(value, list):
        return value or []
    raise InvalidDsl(f"`{field}` must be a list, not {type(value).__name__}.", field=field)


def _text(data: dict[str, Any], key: str, default: str, *, part: str = "app") -> str:
    """A text of the head; YAML reads an unquoted number as one, and a name may be a number."""
    value = data.get(key)
    if value is None or value == "":
        return default
    if isinstance(value, dict | list):
        raise InvalidDsl(f"`{part}.{key}` must be a text.", field=f"{part}.{key}")
    return str(value)
