"""Process rules: how the texts of a document are cleaned and cut. Lengths are counted in characters."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from dify_kernel.errors import BadInput

__all__ = [
    "AUTOMATIC_RULES",
    "PreProcessingRule",
    "ProcessRule",
    "Rules",
    "Segmentation",
    "check_rule",
    "read_rule",
]

MIN_LENGTH = 50


class PreProcessingRule(msgspec.Struct, frozen=True, kw_only=True):
    """One cleaning step, on or off; `remove_stopwords` is accepted and does nothing."""

    id: Literal["remove_extra_spaces", "remove_urls_emails", "remove_stopwords"]
    enabled: bool


class Segmentation(msgspec.Struct, frozen=True, kw_only=True):
    """Where to cut. `max_tokens` and `chunk_overlap` are characters, in spite of the name."""

    max_tokens: int
    separator: str = "\n"
    chunk_overlap: int = 0


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a mode; the last two belong to parent-child chunking."""

    pre_processing_rules: list[PreProcessingRule]
    segmentation: Segmentation
    parent_mode: Literal["full-doc", "paragraph"] | None = None
    subchunk_segmentation: Segmentation | None = None

    def enabled(self, rule_id: str) -> bool:
        """Tell whether a cleaning step is on."""
        return any(rule.id == rule_id and rule.enabled for rule in self.pre_processing_rules)


class ProcessRule(msgspec.Struct, frozen=True, kw_only=True):
    """A mode and, unless it is automatic, its rules."""

    mode: Literal["automatic", "custom", "hierarchical"] = "automatic"
    rules: Rules | None = None

    @property
    def effective(self) -> Rules:
        """The rules that apply: those given, or the automatic ones."""
        return AUTOMATIC_RULES if self.mode == "automatic" or self.rules is None else self.rules


AUTOMATIC_RULES = Rules(
    pre_processing_rules=[
        PreProcessingRule(id="remove_extra_spaces", enabled=True),
        PreProcessingRule(id="remove_urls_emails", enabled=False),
    ],
    segmentation=Segmentation(max_tokens=500, separator="\n", chunk_overlap=50),
)


def read_rule(mode: str, rules: Any) -> ProcessRule:
    """Read a rule from its stored or posted parts; BadInput names what is wrong.

    A stored segmentation may carry the name `delimiter` for its separator.
    """
    if isinstance(rules, dict):
        rules = {key: _with_separator(value) if "segmentation" in key else value for key, value in rules.items()}
    try:
        return msgspec.convert({"mode": mode, "rules": rules or None}, ProcessRule)
    except msgspec.ValidationError as exc:
        raise BadInput(f"The process rule is not valid: {exc}.") from exc


def check_rule(rule: ProcessRule, *, doc_form: str = "text_model", max_length: int = 4000) -> ProcessRule:
    """Return the rule when its lengths and parts fit the document form; BadInput otherwise."""
    if rule.mode != "automatic" and rule.rules is None:
        raise BadInput("rules is required unless mode is automatic.")
    if doc_form == "hierarchical_model" and (rule.rules is None or rule.rules.subchunk_segmentation is None):
        raise BadInput(
            "hierarchical_model needs rules.subchunk_segmentation.",
            hint="Use mode hierarchical with both segmentations.",
        )
    if rule.rules is not None:
        full_doc = rule.rules.parent_mode == "full-doc"
        if not full_doc:
            _check_lengths("segmentation", rule.rules.segmentation, max_length)
        if rule.rules.subchunk_segmentation is not None:
            _check_lengths("subchunk_segmentation", rule.rules.subchunk_segmentation, max_length)
    return rule


def _check_lengths(name: str, part: Segmentation, max_length: int) -> None:
    if not MIN_LENGTH <= part.max_tokens <= max_length:
        raise BadInput(
            f"{name}.max_tokens is {part.max_tokens}, and must be between {MIN_LENGTH} and {max_length}.",
            hint="The upper bound is INDEXING_MAX_SEGMENTATION_TOKENS_LENGTH.",
        )
    if not 0 <= part.chunk_overlap < part.max_tokens:
        raise BadInput(f"{name}.chunk_overlap is {part.chunk_overlap}, and must be between 0 and max_tokens.")


def _with_separator(part: Any) -> Any:
    if isinstance(part, dict) and "delimiter" in part and not part.get("separator"):
        return {**part, "separator": part["delimiter"]}
    return part
