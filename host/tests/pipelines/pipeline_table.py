"""Every route of knowledge pipelines in the console: whom it serves, and bodies with which each gets far."""

from __future__ import annotations

import uuid
from typing import Any, Final

from dify_host.identity.workspaces import ROLES

__all__ = ["PIPELINES", "PIPELINE_BODIES"]

MEMBER: Final = set(ROLES)
EDITOR: Final = {"owner", "admin", "editor"}
OWN, DRAFT = "/rag/pipelines/{app_id}", "/rag/pipelines/{app_id}/workflows/draft"
LIVE = "/rag/pipelines/{app_id}/workflows/published"
TEMPLATE = "/rag/pipeline/customized/templates/{template_id}"

PIPELINES: Final[list[tuple[str, str, set[str]]]] = [
    ("POST", "/rag/pipelines/imports", EDITOR),
    ("POST", "/rag/pipelines/imports/{import_id}/confirm", EDITOR),
    ("GET", "/rag/pipelines/imports/{app_id}/check-dependencies", EDITOR),
    ("GET", f"{OWN}/exports", EDITOR),
    ("POST", "/rag/pipeline/empty-dataset", EDITOR),
    ("POST", "/rag/pipeline/dataset", EDITOR),
    ("GET", "/rag/pipelines/datasource-plugins", MEMBER),
    ("GET", "/rag/pipelines/recommended-plugins", MEMBER),
    ("GET", "/rag/pipeline/templates", MEMBER),
    ("GET", "/rag/pipeline/templates/{template_id}", MEMBER),
    ("PATCH", TEMPLATE, EDITOR),
    ("DELETE", TEMPLATE, EDITOR),
    ("POST", TEMPLATE, EDITOR),
    ("POST", f"{OWN}/customized/publish", EDITOR),
    ("GET", DRAFT, EDITOR),
    ("POST", DRAFT, EDITOR),
    ("GET", f"{OWN}/workflows/publish", EDITOR),
    ("POST", f"{OWN}/workflows/publish", EDITOR),
    ("GET", f"{OWN}/workflows", EDITOR),
    ("PATCH", f"{OWN}/workflows/{{workflow_id}}", EDITOR),
    ("DELETE", f"{OWN}/workflows/{{workflow_id}}", EDITOR),
    ("POST", f"{OWN}/workflows/{{workflow_id}}/restore", EDITOR),
    ("GET", f"{OWN}/workflows/default-workflow-block-configs", EDITOR),
    ("GET", f"{OWN}/workflows/default-workflow-block-configs/{{block_type}}", EDITOR),
    ("POST", f"{OWN}/workflow-runs/tasks/{{task_id}}/stop", EDITOR),
    ("POST", f"{DRAFT}/run", EDITOR),
    ("POST", f"{LIVE}/run", EDITOR),
    ("POST", f"{DRAFT}/nodes/{{node_id}}/run", EDITOR),
    ("GET", f"{DRAFT}/nodes/{{node_id}}/last-run", MEMBER),
    ("POST", f"{DRAFT}/iteration/nodes/{{node_id}}/run", EDITOR),
    ("POST", f"{DRAFT}/loop/nodes/{{node_id}}/run", EDITOR),
    ("POST", f"{DRAFT}/datasource/nodes/{{node_id}}/run", EDITOR),
    ("POST", f"{LIVE}/datasource/nodes/{{node_id}}/run", EDITOR),
    ("POST", f"{LIVE}/datasource/nodes/{{node_id}}/preview", EDITOR),
    ("POST", f"{DRAFT}/datasource/variables-inspect", EDITOR),
    ("GET", f"{DRAFT}/variables", EDITOR),
    ("DELETE", f"{DRAFT}/variables", EDITOR),
    ("GET", f"{DRAFT}/nodes/{{node_id}}/variables", EDITOR),
    ("DELETE", f"{DRAFT}/nodes/{{node_id}}/variables", EDITOR),
    ("GET", f"{DRAFT}/variables/{{variable_id}}", EDITOR),
    ("PATCH", f"{DRAFT}/variables/{{variable_id}}", EDITOR),
    ("DELETE", f"{DRAFT}/variables/{{variable_id}}", EDITOR),
    ("PUT", f"{DRAFT}/variables/{{variable_id}}/reset", EDITOR),
    ("GET", f"{DRAFT}/system-variables", EDITOR),
    ("GET", f"{DRAFT}/environment-variables", EDITOR),
    ("GET", f"{DRAFT}/pre-processing/parameters", MEMBER),
    ("GET", f"{DRAFT}/processing/parameters", MEMBER),
    ("GET", f"{LIVE}/pre-processing/parameters", MEMBER),
    ("GET", f"{LIVE}/processing/parameters", MEMBER),
    ("GET", f"{OWN}/workflow-runs", MEMBER),
    ("GET", f"{OWN}/workflow-runs/{{run_id}}", MEMBER),
    ("GET", f"{OWN}/workflow-runs/{{run_id}}/node-executions", MEMBER),
    ("GET", f"{OWN}/workflow-runs/{{run_id}}/trace", MEMBER),
]
_SOURCE: Final = {"inputs": {}, "datasource_type": "local_file"}
_START: Final = {**_SOURCE, "datasource_info_list": [{"related_id": str(uuid.uuid4())}], "start_node_id": "file"}
PIPELINE_BODIES: Final[dict[str, Any]] = {
    "/rag/pipelines/imports": {"mode": "yaml-content", "yaml_content": "kind: app"},
    "/rag/pipeline/dataset": {"yaml_content": "kind: app"},
    TEMPLATE: {"name": "Other"},
    f"{OWN}/customized/publish": {"name": "Other"},
    f"{OWN}/workflows/{{workflow_id}}": {"marked_name": "Other"},
    DRAFT: {"graph": {}},
    f"{DRAFT}/run": _START,
    f"{LIVE}/run": _START,
    f"{DRAFT}/datasource/nodes/{{node_id}}/run": _SOURCE,
    f"{LIVE}/datasource/nodes/{{node_id}}/run": _SOURCE,
    f"{LIVE}/datasource/nodes/{{node_id}}/preview": _SOURCE,
    f"{DRAFT}/datasource/variables-inspect": {
        "datasource_type": "local_file", "datasource_info": {}, "start_node_id": "file", "start_node_title": "File",
    },
}  # fmt: skip
