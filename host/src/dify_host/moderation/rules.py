"""What an app says about sensitive words (`sensitive_word_avoidance`), read into a struct. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from dify_kernel.errors import BadInput

__all__ = ["ModerationRules", "Side", "read_rules"]


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """Whether texts of one direction are judged, and what is said in the place of one that is refused."""

    enabled: bool = False
    preset_response: str = ""


class ModerationRules(msgspec.Struct, frozen=True, kw_only=True):
    """Who judges (`keywords`, `api`, or a kind that a model stands behind), and what it needs to know."""

    type: str
    inputs: Side = Side()
    outputs: Side = Side()
    keywords: tuple[str, ...] = ()
    extension_id: str = ""


def read_rules(feature: Mapping[str, Any] | None) -> ModerationRules | None:
    """The rules of an app; None when it judges nothing. BadInput for a mapping that cannot be read."""
    given = feature or {}
    kind = given.get("type")
    if not given.get("enabled") or not kind:
        return None
    config = given.get("config") or {}
    if not isinstance(config, Mapping):
        raise BadInput("The `config` of sensitive_word_avoidance is no mapping.", field="sensitive_word_avoidance")
    words = str(config.get("keywords") or "").split("\n")
    rules = ModerationRules(
        type=str(kind),
        inputs=_side(config.get("inputs_config")),
        outputs=_side(config.get("outputs_config")),
        keywords=tuple(word.strip().lower() for word in words if word.strip()),
        extension_id=str(config.get("api_based_extension_id") or ""),
    )
    return rules if rules.inputs.enabled or rules.outputs.enabled else None


def _side(value: Any) -> Side:
    if not isinstance(value, Mapping):
        return Side()
    return Side(enabled=bool(value.get("enabled")), preset_response=str(value.get("preset_response") or ""))
