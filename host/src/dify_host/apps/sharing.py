"""What an app's text may carry out of a workspace, and what it may bring in: secrets, credentials, knowledge bases.

The ids of knowledge bases are encrypted with AES-256-CBC under a key made of the workspace's id, as Dify does: this
hides them from readers of a shared file; it is no protection of anything by itself.
"""

from __future__ import annotations

import base64
import binascii
import copy
import hashlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7

from dify_host.apps.records import Variable

__all__ = [
    "config_datasets",
    "decrypt_dataset_id",
    "derived_plugins",
    "encrypt_dataset_id",
    "export_config",
    "export_dependencies",
    "export_graph",
    "export_variables",
    "graph_datasets",
    "import_graph",
    "node_data",
    "used_plugins",
]

_DAILY: Final[dict[str, Any]] = {
    "mode": "visual",
    "frequency": "daily",
    "visual_config": {"time": "12:00 AM", "on_minute": 0, "weekdays": ["sun"], "monthly_days": [1]},
    "timezone": "UTC",
}
#: What stands for a trigger's link to this workspace in an exported graph.
_TRIGGER_BLANKS: Final[dict[str, dict[str, Any]]] = {
    "trigger-schedule": {"config": _DAILY},
    "trigger-webhook": {"webhook_url": "", "webhook_debug_url": ""},
    "trigger-plugin": {"subscription_id": ""},
}
_IDENTIFIERS: Final = (
    "marketplace_plugin_unique_identifier",
    "github_plugin_unique_identifier",
    "plugin_unique_identifier",
)


def node_data(graph: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id and `data` of every node that has the form of one."""
    nodes = graph.get("nodes")
    for node in nodes if isinstance(nodes, list) else []:
        if isinstance(node, dict) and isinstance(node.get("data"), dict):
            yield str(node.get("id") or ""), node["data"]


# -- out -----------------------------------------------------------------------------------------------------


def export_graph(
    graph: dict[str, Any], tenant_id: str, *, include_secret: bool, encrypt_datasets: bool
) -> dict[str, Any]:
    """A copy of a graph without what belongs to this workspace alone."""
    shared = copy.deepcopy(graph)
    for _, data in node_data(shared):
        kind = data.get("type")
        data.update(copy.deepcopy(_TRIGGER_BLANKS.get(str(kind), {})))
        if kind == "knowledge-retrieval" and encrypt_datasets:
            data["dataset_ids"] = [encrypt_dataset_id(each, tenant_id) for each in _texts(data.get("dataset_ids"))]
        if not include_secret:
            _strip_credentials(data)
    return shared


def export_variables(variables: list[Variable], *, include_secret: bool) -> list[Variable]:
    """Environment variables with empty secrets, unless these are asked for."""
    if include_secret:
        return variables
    return [msgspec.structs.replace(item, value="") if item.value_type == "secret" else item for item in variables]


def export_config(config: dict[str, Any]) -> dict[str, Any]:
    """A copy of a `model_config` whose agent tools name no credential."""
    shared = copy.deepcopy(config)
    for tool in _items(shared.get("agent_mode"), "tools"):
        tool.pop("credential_id", None)
    return shared


def _strip_credentials(data: dict[str, Any]) -> None:
    if data.get("type") == "tool":
        data.pop("credential_id", None)
    if data.get("type") == "agent":
        parameters = data.get("agent_parameters")
        for tool in _items(parameters.get("tools") if isinstance(parameters, dict) else None, "value"):
            tool.pop("credential_id", None)


# -- in ------------------------------------------------------------------------------------------------------


def import_graph(graph: dict[str, Any], tenant_id: str) -> tuple[dict[str, Any], list[str]]:
    """A copy of a graph with readable ids of knowledge bases, and the nodes that lost some which do not open here."""
    own = copy.deepcopy(graph)
    poorer = []
    for node_id, data in node_data(own):
        if data.get("type") != "knowledge-retrieval" or "dataset_ids" not in data:
            continue
        given = _texts(data["dataset_ids"])
        data["dataset_ids"] = [found for each in given if (found := decrypt_dataset_id(each, tenant_id))]
        if len(data["dataset_ids"]) < len(given):
            poorer.append(node_id)
    return own, poorer


# -- knowledge bases -----------------------------------------------------------------------------------------


def encrypt_dataset_id(dataset_id: str, tenant_id: str) -> str:
    """The id as Dify writes it into exported apps; the same each time."""
    padder = PKCS7(AES.block_size).padder()
    engine = _cipher(tenant_id).encryptor()
    data = padder.update(dataset_id.encode()) + padder.finalize()
    return base64.b64encode(engine.update(data) + engine.finalize()).decode()


def decrypt_dataset_id(text: str, tenant_id: str) -> str | None:
    """The id in either form; None for what another workspace encrypted and for any other text."""
    if _is_id(text):
        return text
    try:
        engine, unpadder = _cipher(tenant_id).decryptor(), PKCS7(AES.block_size).unpadder()
        data = engine.update(base64.b64decode(text, validate=True)) + engine.finalize()
        opened = (unpadder.update(data) + unpadder.finalize()).decode()
    except (ValueError, binascii.Error):
        return None
    return opened if _is_id(opened) else None


def graph_datasets(graph: dict[str, Any]) -> list[str]:
    """The knowledge bases that a graph asks, each once."""
    found = [
        each
        for _, data in node_data(graph)
        if data.get("type") == "knowledge-retrieval"
        for each in _texts(data.get("dataset_ids"))
    ]
    return list(dict.fromkeys(found))


def config_datasets(config: dict[str, Any]) -> list[str]:
    """The knowledge bases of a `model_config`, those of its old-style agent tools included, each once."""
    settings = config.get("dataset_configs")
    listed = _items(settings.get("datasets") if isinstance(settings, dict) else None, "datasets")
    holders = [*listed, *_items(config.get("agent_mode"), "tools")]
    bodies = [holder["dataset"] for holder in holders if isinstance(holder.get("dataset"), dict)]
    return list(dict.fromkeys(body["id"] for body in bodies if isinstance(body.get("id"), str)))


# -- plugins -------------------------------------------------------------------------------------------------


def used_plugins(dependencies: list[dict[str, Any]]) -> list[str]:
    """The `author/name` of each plugin that an app's text says it needs, sorted."""
    values = [item["value"] for item in dependencies if isinstance(item.get("value"), dict)]
    named = [value.get(key) for value in values for key in _IDENTIFIERS]
    return sorted({text.partition(":")[0] for text in named if isinstance(text, str) and text})


def derived_plugins(graph: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """The same for texts from before they said it, from the models and tools that are named; sorted."""
    holders = [*(data for _, data in node_data(graph)), config]
    models = [holder["model"].get("provider") for holder in holders if isinstance(holder.get("model"), dict)]
    tools = [data.get("provider_id") for _, data in node_data(graph) if data.get("type") == "tool"]
    named = [text for text in models if isinstance(text, str) and text]
    named += [text for text in tools if isinstance(text, str) and "/" in text]
    return sorted({"/".join(text.split("/")[:2]) if "/" in text else f"langgenius/{text}" for text in named})


def export_dependencies(graph: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plugins that a graph's nodes name with version and digest, as an app's text lists them."""
    named = {data.get("plugin_unique_identifier") for _, data in node_data(graph)}
    found = sorted(text for text in named if isinstance(text, str) and text)
    return [
        {"type": "marketplace", "current_identifier": None, "value": {_IDENTIFIERS[0]: text, "version": None}}
        for text in found
    ]


def _cipher(tenant_id: str) -> Cipher[CBC]:
    key = hashlib.sha256(tenant_id.encode()).digest()
    return Cipher(AES(key), CBC(key[:16]))


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _items(holder: Any, key: str) -> list[dict[str, Any]]:
    """The mappings in a list that a mapping may hold."""
    value = holder.get(key) if isinstance(holder, dict) else None
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
