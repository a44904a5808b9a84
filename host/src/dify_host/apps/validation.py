"""Everything that is wrong with an app, as problems with node ids or fields.

Errors refuse it, as every run would fail. Warnings do not; some of them say that the app is not ready, and until it is
it stays a draft.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
from dify_kernel.errors import DifyError, InvalidGraph
from dify_kernel.graph.inputs import InputType
from dify_kernel.graph.plan import Problem, inspect_graph
from dify_kernel.registry import Registry

from dify_host.apps.graph_checks import MODEL_MISSING, check_graph
from dify_host.apps.needs import MISSING_PROVIDER, MISSING_TOOL, find_missing, missing_problems
from dify_host.apps.records import ModelConfig, Variable
from dify_host.apps.sharing import node_data
from dify_host.runs.basic import basic_graph
from dify_host.triggers.graph import trigger_nodes
from dify_host.triggers.sync import trigger_problems

__all__ = ["Problem", "check_config", "check_pipeline", "check_workflow", "has_errors", "refuse_errors"]

EMPTY_GRAPH: Final = "empty_graph"
UNKNOWN_NODE: Final = "unknown_node"
#: What an app or an installation lacks: the app may be kept and passed on like this, and cannot be published.
UNFINISHED: Final = frozenset((EMPTY_GRAPH, MODEL_MISSING, UNKNOWN_NODE, MISSING_PROVIDER, MISSING_TOOL))

_UNREACHED: Final = "unreachable_node"
_MAX_HINTS: Final = 20
_MAX_ROOTS: Final = 20  # from which a graph is looked at; each look goes through all of it
_MAX_PROMPTS: Final = 10
_MAX_STOPS: Final = 4
_MAX_KEYWORDS: Final = (100, 10_000)  # lines, characters
_MAX_PRESET: Final = 100
_ROLES: Final = ("system", "user", "assistant")
_FORM_TYPES: Final = frozenset(kind.value for kind in InputType)
#: Letters, digits, underscores, CJK and emoji, not starting with a digit.
_VARIABLE: Final = re.compile(r"(?!\d)[a-zA-Z0-9_\u4e00-\u9fa5\U0001F300-\U0001FAFF\u2600-\u27BF]{1,100}")


class _Switch(msgspec.Struct):
    enabled: bool = False


class _Model(msgspec.Struct):
    """The shape of a chosen model."""

    provider: str | None = None
    name: str | None = None
    mode: str | None = None
    completion_params: dict[str, Any] | None = None


class _Features(msgspec.Struct):
    """The shape of the features that the host reads."""

    opening_statement: str | None = None
    suggested_questions: list[str] | None = None
    suggested_questions_after_answer: _Switch | None = None
    speech_to_text: _Switch | None = None
    text_to_speech: _Switch | None = None
    retriever_resource: _Switch | None = None
    sensitive_word_avoidance: _Switch | None = None
    file_upload: dict[str, Any] | None = None


def check_workflow(
    graph: Mapping[str, Any],
    features: Mapping[str, Any],
    mode: str,
    registry: Registry,
    *,
    environment: Iterable[Variable] | None = None,
    conversation: Iterable[Variable] | None = None,
) -> list[Problem]:
    """Every problem of a workflow or advanced-chat app, errors first. Loads the plugins of its nodes.

    References to environment and conversation variables are checked where these are given.
    """
    found = _check_features(features)
    if not graph.get("nodes"):
        found.append(_warning(EMPTY_GRAPH, "The graph has no nodes; the app cannot run."))
        return found
    roots = [node.node_id for node in trigger_nodes(graph)] if mode == "workflow" else []
    found += _told(_inspect(graph, roots, registry), graph, registry)
    found += trigger_problems(graph) if roots else []
    found += check_graph(graph, mode, registry, _declared(environment, conversation))
    found += missing_problems(find_missing(graph, {}, [], registry))
    return _ordered(found)


def check_pipeline(graph: Mapping[str, Any], registry: Registry) -> list[Problem]:
    """Every problem of a knowledge pipeline, errors first. Each of its data sources is a start of its own."""
    if not graph.get("nodes"):
        return [_warning(EMPTY_GRAPH, "The graph has no nodes; the pipeline cannot run.")]
    kinds = {node_id: data.get("type") for node_id, data in node_data(graph)}
    sources = [node_id for node_id, kind in kinds.items() if kind == "datasource"]
    found = [item for item in _inspect(graph, sources, registry) if item.code != "invalid_root"]
    found = _told(found, graph, registry)
    if not sources:
        found.append(_error("missing_source", "The pipeline has no data source."))
    if "knowledge-index" not in kinds.values():
        found.append(_error("missing_index", "The pipeline has no knowledge-index node; nothing would be indexed."))
    found += check_graph(graph, "rag-pipeline", registry)
    found += missing_problems(find_missing(graph, {}, [], registry))
    return _ordered(found)


def check_config(config: ModelConfig, mode: str, registry: Registry) -> list[Problem]:
    """Every problem of a chat, agent-chat or completion app, errors first."""
    found = [
        *_check_model(config.model),
        *_check_form(config.user_input_form),
        *_check_prompts(config),
        *_check_moderation(config.sensitive_word_avoidance),
        *_check_datasets(config, mode),
        *_check_features(_features_of(config)),
    ]
    if not config.model.get("provider") or not config.model.get("name"):
        found.append(_warning(MODEL_MISSING, "No model is chosen; the app cannot run."))
    elif not has_errors(found):
        found += _check_graph(config, mode, registry)
        found += missing_problems(find_missing({}, msgspec.to_builtins(config), [], registry))
    return _ordered(found)


def has_errors(problems: Iterable[Problem], *, finished: bool = False) -> bool:
    """Whether any problem stops the app; with `finished`, lacking parts count as well."""
    return any(item.severity == "error" or (finished and item.code in UNFINISHED) for item in problems)


def refuse_errors(problems: list[Problem], *, finished: bool = False) -> None:
    """Raise InvalidGraph with every problem when any stops the app; with `finished`, what is lacking is an error."""
    wrong = [item for item in problems if has_errors([item], finished=finished)]
    if not wrong:
        return
    lines = "; ".join(f"{item.node_id}: {item.message}" if item.node_id else item.message for item in wrong[:5])
    more = f" (and {len(wrong) - 5} more)" if len(wrong) > 5 else ""
    stops = {id(item) for item in wrong}
    told = [msgspec.structs.replace(item, severity="error") if id(item) in stops else item for item in problems]
    raise InvalidGraph(f"The app cannot be used: {lines}{more}", problems=_ordered(told))


# -- workflows -----------------------------------------------------------------------------------------------


def _inspect(graph: Mapping[str, Any], roots: list[str], registry: Registry) -> list[Problem]:
    """What the engine says. Each root starts a path of its own: only what none of them reaches never runs."""
    views = [inspect_graph(graph, registry.node, root_id=root) for root in roots[:_MAX_ROOTS]]
    merged = dict.fromkeys(item for view in [inspect_graph(graph, registry.node), *views] for item in view)
    told = [set(view) for view in views]
    complete = len(roots) == len(views)
    return [item for item in merged if item.code != _UNREACHED or (complete and all(item in view for view in told))]


def _told(problems: list[Problem], graph: Mapping[str, Any], registry: Registry) -> list[Problem]:
    """What compiling tells, a node type that nothing installed offers as something that may still come."""
    types = {node_id: str(data.get("type") or "") for node_id, data in node_data(graph)}
    offers = {offer.name: offer.distribution for offer in registry.offers("nodes")}
    hints: dict[str, str] = {}
    found = []
    for item in problems:
        if item.code == UNKNOWN_NODE:
            wanted = types.get(item.node_id or "", "")
            if wanted not in hints:
                hints[wanted] = _hint(wanted, offers) if len(hints) < _MAX_HINTS else ""
            item = msgspec.structs.replace(item, message=f"{item.message}{hints[wanted]}", severity="warning")
        found.append(item)
    return found


def _hint(wanted: str, offers: Mapping[str, str]) -> str:
    """Which installed distribution offers a node type that looks like the wanted one."""
    near = difflib.get_close_matches(wanted[:64].replace("_", "-"), offers, n=1, cutoff=0.8)
    return f" Did you mean {near[0]!r} of {offers[near[0]]}?" if near else ""


def _declared(
    environment: Iterable[Variable] | None, conversation: Iterable[Variable] | None
) -> dict[str, frozenset[str]]:
    given = {"env": environment, "conversation": conversation}
    return {scope: frozenset(item.name for item in items) for scope, items in given.items() if items is not None}


def _check_features(features: Mapping[str, Any]) -> list[Problem]:
    try:
        msgspec.convert(dict(features), _Features)
    except msgspec.ValidationError as exc:
        return [_error("invalid_features", f"The features cannot be read: {exc}.")]
    return []


# -- configurations ------------------------------------------------------------------------------------------


def _features_of(config: ModelConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in _Features.__struct_fields__}


def _check_model(model: dict[str, Any]) -> list[Problem]:
    try:
        read = msgspec.convert(model, _Model)
    except msgspec.ValidationError as exc:
        return [_error("invalid_model", f"The model cannot be read: {exc}.")]
    stops = (read.completion_params or {}).get("stop") or []
    if not isinstance(stops, list) or len(stops) > _MAX_STOPS:
        return [_error("invalid_model", f"`completion_params.stop` must be a list of at most {_MAX_STOPS}.")]
    return []


def _check_graph(config: ModelConfig, mode: str, registry: Registry) -> list[Problem]:
    """What the engine says about the graph that the configuration becomes."""
    try:
        return inspect_graph(basic_graph(config, mode), registry.node)
    except DifyError as exc:
        return [_error("invalid_config", exc.description)]
    except (AttributeError, KeyError, TypeError) as exc:
        return [_error("invalid_config", f"The configuration has a part of the wrong type ({exc}).")]


def _check_form(form: list[dict[str, Any]]) -> list[Problem]:
    found: list[Problem] = []
    names: set[str] = set()
    for item in form:
        kind, body = next(iter(item.items())) if len(item) == 1 else ("", None)
        if kind not in _FORM_TYPES or not isinstance(body, dict):
            message = f"A field of `user_input_form` must have one key of {', '.join(sorted(_FORM_TYPES))}."
            found.append(_error("invalid_form", message))
            continue
        found += [_error("invalid_form", text) for text in _field_problems(kind, body)]
        name = str(body.get("variable"))
        if name in names:
            found.append(_error("invalid_form", f"The variable {name!r} is in `user_input_form` twice."))
        names.add(name)
    return found


def _field_problems(kind: str, body: dict[str, Any]) -> list[str]:
    name, label = body.get("variable"), body.get("label")
    found = []
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
        found.append(
            f"`variable` in `user_input_form` must be a name of up to 100 letters, digits and _, not {name!r}."
        )
    if kind != "external_data_tool" and not isinstance(label, str):
        found.append(f"The field {name!r} of `user_input_form` needs a `label`.")
    if kind == "select":
        options = body.get("options")
        if not isinstance(options, list):
            found.append(f"The field {name!r} of `user_input_form` needs a list of `options`.")
        elif body.get("default") and body["default"] not in options:
            found.append(f"The default of the field {name!r} is not among its options.")
    return found


def _check_prompts(config: ModelConfig) -> list[Problem]:
    if config.prompt_type not in ("simple", "advanced"):
        return [_error("invalid_prompt", "`prompt_type` must be `simple` or `advanced`.")]
    messages = config.chat_prompt_config.get("prompt") or []
    if not isinstance(messages, list) or len(messages) > _MAX_PROMPTS:
        return [_error("invalid_prompt", f"`chat_prompt_config.prompt` must be a list of at most {_MAX_PROMPTS}.")]
    for item in messages:
        if not isinstance(item, dict) or item.get("role") not in _ROLES or not isinstance(item.get("text"), str):
            return [_error("invalid_prompt", f"A prompt message needs a role of {', '.join(_ROLES)} and a text.")]
    return []


def _check_datasets(config: ModelConfig, mode: str) -> list[Problem]:
    datasets = config.dataset_configs.get("datasets")
    listed = datasets.get("datasets") if isinstance(datasets, dict) else None
    if mode == "completion" and listed and not config.dataset_query_variable:
        message = "Dataset query variable is required when dataset is exist"
        return [_error("invalid_datasets", f"{message}: set `dataset_query_variable`.")]
    return []


def _check_moderation(settings: dict[str, Any]) -> list[Problem]:
    if not settings.get("enabled"):
        return []
    kind, config = settings.get("type"), settings.get("config")
    if not kind or not isinstance(kind, str):
        return [_error("invalid_moderation", "`sensitive_word_avoidance.type` is required.")]
    if not isinstance(config, dict):
        return [_error("invalid_moderation", "`sensitive_word_avoidance.config` must be a mapping.")]
    return [_error("invalid_moderation", text) for text in _moderation_problems(kind, config)]


def _moderation_problems(kind: str, config: dict[str, Any]) -> list[str]:
    found = []
    named = {name: config.get(name) or {} for name in ("inputs_config", "outputs_config")}
    sides = {name: side for name, side in named.items() if isinstance(side, dict) and side.get("enabled")}
    if not sides:
        found.append("At least one of inputs_config or outputs_config must be enabled.")
    for name, side in sides.items():
        preset = side.get("preset_response")
        if kind == "keywords" and (not preset or len(str(preset)) > _MAX_PRESET):
            found.append(f"{name}.preset_response must have 1 to {_MAX_PRESET} characters.")
    keywords = config.get("keywords")
    if kind == "keywords":
        lines, characters = _MAX_KEYWORDS
        if not isinstance(keywords, str) or not keywords:
            found.append("keywords is required.")
        elif len(keywords) > characters or len(keywords.splitlines()) > lines:
            found.append(f"keywords may have {lines} lines and {characters} characters.")
    return found


# -- problems ------------------------------------------------------------------------------------------------


def _error(code: str, message: str) -> Problem:
    return Problem(code=code, message=message)


def _warning(code: str, message: str) -> Problem:
    return Problem(code=code, message=message, severity="warning")


def _ordered(problems: list[Problem]) -> list[Problem]:
    """Errors first, nothing twice, and one warning about a variable."""
    seen: set[tuple[Any, ...]] = set()
    kept = []
    for item in sorted(problems, key=lambda item: item.severity != "error"):
        key = (item.code, item.node_id, item.message.partition(";")[0])
        if key not in seen:
            seen.add(key)
            kept.append(item)
    return kept
