"""What callers of an app may know about it: its parameters, tool icons and web page, as Dify's API shows them. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from dify_host.apps.dsl import CONFIG_DEFAULTS
from dify_host.apps.records import AppRecord, ModelConfig, SiteRecord, WorkflowRecord
from dify_host.apps.sharing import node_data
from dify_host.settings import HostSettings

__all__ = ["app_parameters", "site_view", "tool_icons"]

_OFF: Final = {"enabled": False}
_DEFAULTS: Final[dict[str, Any]] = {
    "opening_statement": None,
    "suggested_questions": [],
    "suggested_questions_after_answer": _OFF,
    "speech_to_text": _OFF,
    "text_to_speech": _OFF,
    "retriever_resource": _OFF,
    "annotation_reply": _OFF,
    "more_like_this": _OFF,
    "user_input_form": [],
    "sensitive_word_avoidance": CONFIG_DEFAULTS["sensitive_word_avoidance"],
    "file_upload": CONFIG_DEFAULTS["file_upload"],
}
#: What an API tool looks like until its owner draws it.
_PLAIN_ICON: Final = {"background": "#252525", "content": "\N{GRINNING FACE WITH SMILING EYES}"}
_SITE_FIELDS: Final = (
    "title",
    "chat_color_theme",
    "chat_color_theme_inverted",
    "icon_type",
    "icon",
    "icon_background",
    "description",
    "copyright",
    "privacy_policy",
    "custom_disclaimer",
    "default_language",
    "show_workflow_steps",
    "use_icon_as_answer_icon",
)


def app_parameters(source: WorkflowRecord | ModelConfig, settings: HostSettings) -> dict[str, Any]:
    """The body of `/parameters`: features, input form and the limits of uploads."""
    if isinstance(source, WorkflowRecord):
        given: dict[str, Any] = {**source.features, "user_input_form": _start_form(source.graph)}
    else:
        given = {name: getattr(source, name, None) for name in _DEFAULTS}
        # A basic app shows what it cites unless it says that it does not.
        given["retriever_resource"] = given["retriever_resource"] or {"enabled": True}
    shown = {name: copy.deepcopy(given.get(name) or default) for name, default in _DEFAULTS.items()}
    shown["opening_statement"] = given.get("opening_statement")
    shown["system_parameters"] = {
        "image_file_size_limit": settings.upload_image_file_size_limit,
        "video_file_size_limit": settings.upload_video_file_size_limit,
        "audio_file_size_limit": settings.upload_audio_file_size_limit,
        "file_size_limit": settings.upload_file_size_limit,
        "workflow_file_upload_limit": settings.workflow_file_upload_limit,
    }
    return shown


def tool_icons(source: WorkflowRecord | ModelConfig | None, console_api_url: str) -> dict[str, Any]:
    """The body of `/meta`: an address or a drawing for each tool of the app."""
    tools: list[Mapping[str, Any]] = []
    if isinstance(source, WorkflowRecord):
        tools = [data for _, data in node_data(source.graph) if data.get("type") == "tool"]
    elif source is not None:
        tools = [tool for tool in source.agent_mode.get("tools") or [] if isinstance(tool, dict) and len(tool) > 3]
    icons: dict[str, Any] = {}
    base = f"{console_api_url.rstrip('/')}/console/api/workspaces/current/tool-provider/builtin"
    for tool in tools:
        name, kind, provider = tool.get("tool_name"), tool.get("provider_type"), tool.get("provider_id")
        if isinstance(name, str) and kind == "builtin":
            icons[name] = f"{base}/{provider}/icon"
        elif isinstance(name, str) and kind == "api":
            icons[name] = dict(_PLAIN_ICON)
    return {"tool_icons": icons}


def site_view(site: SiteRecord, app: AppRecord, icon_url: str | None) -> dict[str, Any]:
    """The body of `/site`; `icon_url` is the signed address of an image icon."""
    shown = {name: getattr(site, name) for name in _SITE_FIELDS}
    if shown["description"] is None:
        shown["description"] = app.description
    return {**shown, "icon_url": icon_url if site.icon_type == "image" else None}


def _start_form(graph: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variables of the start node, each under its type."""
    for _, data in node_data(graph):
        if data.get("type") == "start":
            variables = data.get("variables") or []
            return [{str(item.get("type") or "text-input"): item} for item in variables if isinstance(item, dict)]
    return []
