"""Old forms of branches: conditions without cases, operators by their labels, classes without ids, instructions."""

from __future__ import annotations

from typing import Any, Final

from dify_host.apps.old_forms.rule import Mapping, Rule, changed_items, mappings

__all__ = ["BRANCH_RULES", "cases_of_today", "class_ids", "operators_of_today", "text_case_ids", "the_instruction"]

#: What the editor shows, and keyboards without the sign write, for an operator.
_LABELS: Final = {
    "is empty": "empty",
    "is not empty": "not empty",
    "is null": "null",
    "is not null": "not null",
    "starts with": "start with",
    "ends with": "end with",
    ">=": "≥",
    "<=": "≤",
}


def cases_of_today(data: Mapping) -> Mapping:
    """One group of conditions becomes the case `true`; groups inside it become cases by their ids."""
    if "conditions" not in data:
        return data
    kept = {key: value for key, value in data.items() if key not in ("conditions", "logical_operator")}
    if data.get("cases"):
        return kept
    conditions = data["conditions"]
    groups = [item for item in mappings(conditions) if isinstance(item.get("conditions"), list)]
    if groups and len(groups) == len(conditions):
        cases = [{**_without_id(group), "case_id": group.get("case_id") or group.get("id")} for group in groups]
        return {**kept, "cases": cases}
    joined = data.get("logical_operator") or "and"
    return {**kept, "cases": [{"case_id": "true", "logical_operator": joined, "conditions": conditions or []}]}


def text_case_ids(data: Mapping) -> Mapping:
    """A case that has only an `id`, or one that is no text, gets its `case_id`; the first may be called `true`."""
    cases = data.get("cases")
    if not isinstance(cases, list):
        return data
    new = [_with_case_id(case, first=index == 0) for index, case in enumerate(cases)]
    return {**data, "cases": new} if any(a is not b for a, b in zip(cases, new, strict=True)) else data


def _with_case_id(case: Any, *, first: bool) -> Any:
    if not isinstance(case, dict):
        return case
    given = case.get("case_id")
    if given in (None, ""):
        given = case.get("id") or (True if first else None)
    if isinstance(given, bool):
        given = "true" if given else "false"
    if isinstance(given, int):
        given = str(given)
    return case if given is None or given == case.get("case_id") else {**case, "case_id": given}


def operators_of_today(data: Mapping) -> Mapping:
    """An operator that is written as the editor shows it becomes the one that is meant."""
    new = changed_items(data, "cases", lambda case: changed_items(case, "conditions", _with_operator))
    return changed_items(new, "break_conditions", _with_operator)


def _with_operator(condition: Mapping) -> Mapping:
    new: Mapping = {}
    operator = condition.get("comparison_operator")
    if isinstance(operator, str) and operator in _LABELS:
        new["comparison_operator"] = _LABELS[operator]
    inner = condition.get("sub_variable_condition")
    if isinstance(inner, dict):
        changed = changed_items(inner, "conditions", _with_operator)
        if changed is not inner:
            new["sub_variable_condition"] = changed
    return {**condition, **new} if new else condition


def class_ids(data: Mapping) -> Mapping:
    """A class without an id is called by its place, from 1; a number becomes a text."""
    classes = data.get("classes")
    if not isinstance(classes, list):
        return data
    new = []
    for place, item in enumerate(classes, 1):
        given = item.get("id") if isinstance(item, dict) else None
        if not isinstance(item, dict) or (isinstance(given, str) and given):
            new.append(item)
        else:
            new.append({**item, "id": str(given) if isinstance(given, int) else str(place)})
    return {**data, "classes": new} if any(a is not b for a, b in zip(classes, new, strict=True)) else data


def the_instruction(data: Mapping) -> Mapping:
    """What a classifier was told in `instructions` is what `instruction` tells today."""
    told = data.get("instructions")
    return data if not told or data.get("instruction") else {**data, "instruction": told}


def _without_id(group: Mapping) -> Mapping:
    return {key: value for key, value in group.items() if key != "id"}


BRANCH_RULES: Final = (
    Rule("flat-conditions", "An if-else node had conditions without cases.", cases_of_today, ("if-else",)),
    Rule("case-ids", "A case had no id, or one that is no text.", text_case_ids, ("if-else",)),
    Rule("operators", "Operators were written as the editor shows them.", operators_of_today, ("if-else", "loop")),
    Rule("class-ids", "A class had no id, or one that is no text.", class_ids, ("question-classifier",)),
    Rule("instructions", "A classifier had `instructions`.", the_instruction, ("question-classifier",)),
)
