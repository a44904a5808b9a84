"""Old forms of a whole document: its version and kind, where the viewport stood, and features."""

from __future__ import annotations

from typing import Final

from dify_host.apps.old_forms.rule import Mapping, Rule, texts

__all__ = ["DOCUMENT_RULES", "kind_of_today", "lifted_images", "text_version", "viewport_in_graph"]

_KINDS: Final = ("app", "rag_pipeline")
_OLDEST: Final = "0.1.0"
_PARTS: Final = 3
_NUMBER_LIMITS: Final = 3


def text_version(document: Mapping) -> Mapping:
    """A version that YAML read as a number (`0.1`), or none at all, becomes a text of three parts."""
    version = document.get("version")
    if version in (None, ""):
        return {**document, "version": _OLDEST}
    if isinstance(version, bool) or not isinstance(version, int | float):
        return document
    parts = str(version).split(".")
    if not all(part.isdigit() for part in parts):
        return document
    return {**document, "version": ".".join([*parts, "0", "0"][:_PARTS])}


def kind_of_today(document: Mapping) -> Mapping:
    """A kind that is missing or unknown is told by what the document holds."""
    if document.get("kind") in _KINDS:
        return document
    pipeline = isinstance(document.get("rag_pipeline"), dict) and not document.get("app")
    return {**document, "kind": "rag_pipeline" if pipeline else "app"}


def viewport_in_graph(document: Mapping) -> Mapping:
    """A viewport beside the graph moves into it."""
    workflow = document.get("workflow")
    if not isinstance(workflow, dict) or "viewport" not in workflow:
        return document
    graph = workflow.get("graph")
    kept = {key: value for key, value in workflow.items() if key != "viewport"}
    if isinstance(graph, dict):
        kept["graph"] = {"viewport": workflow["viewport"], **graph}
    return {**document, "workflow": kept}


def lifted_images(document: Mapping) -> Mapping:
    """The switch for images alone becomes the upload of files, with images as the only type."""
    workflow = document.get("workflow")
    features = workflow.get("features") if isinstance(workflow, dict) else None
    upload = features.get("file_upload") if isinstance(features, dict) else None
    if not (isinstance(workflow, dict) and isinstance(features, dict) and isinstance(upload, dict)):
        return document
    image = upload.get("image")
    if not isinstance(image, dict) or image.get("enabled") is not True:
        return document
    old = {
        "enabled": True,
        "allowed_file_types": ["image"],
        "allowed_file_extensions": [],
        "allowed_file_upload_methods": texts(image.get("transfer_methods")) or ["local_file", "remote_url"],
        "number_limits": image.get("number_limits") or _NUMBER_LIMITS,
    }
    given = {key: value for key, value in upload.items() if key != "image" and value not in (None, [], False)}
    lifted = {**features, "file_upload": {**old, **given}}
    return {**document, "workflow": {**workflow, "features": lifted}}


DOCUMENT_RULES: Final = (
    Rule("version", "The version was missing or a number.", text_version),
    Rule("kind", "The kind was missing or unknown.", kind_of_today),
    Rule("viewport", "The viewport stood beside the graph.", viewport_in_graph),
    Rule("image-upload", "Images had an upload switch of their own.", lifted_images),
)
