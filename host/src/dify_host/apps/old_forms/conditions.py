"""Old forms of branches: conditions without cases, operators by their labels, classes without ids, instructions."""

from __future__ import annotations

from typing import Any, Final

from dify_host.apps.old_forms.rule import Mapping, Rule, changed_items, mappings

__all__ = [
    "BRANCH_RULES",
    "cases_of_today",
    "class_ids",
    "logical_operators",
    "operators_of_today",
    "text_case_ids",
    "the_instruction",
]

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
    "gte": "≥",
    "lte": "≤",
    "gt": ">",
    "lt": "<",
    "greater than": ">",
    "less than": "<",
    "startswith": "start with",
    "endswith": "end with",
    "is in": "in",
    "is not in": "not in",
    "does not contain": "not contains",
}
_EQUAL: Final = ("==", "===", "equals", "equal", "eq", "equal to", "is equal to")
_UNEQUAL: Final = ("!=", "!==", "<>", "ne", "neq", "not equals", "not equal", "not equal to", "is not equal to")
_OPERATORS: Final = (
    *("contains", "not contains", "start with", "end with", "is", "is not", "empty", "not empty", "in", "not in"),
    *("all of", "null", "not null", "exists", "not exists"),
)


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
    meant = _operator(operator, condition) if isinstance(operator, str) else operator
    if meant != operator:
        new["comparison_operator"] = meant
    inner = condition.get("sub_variable_condition")
    if isinstance(inner, dict):
        changed = changed_items(inner, "conditions", _with_operator)
        if changed is not inner:
            new["sub_variable_condition"] = changed
    return {**condition, **new} if new else condition


def _operator(given: str, condition: Mapping) -> str:
    """The operator that is meant; texts are compared by words, numbers by signs."""
    plain = " ".join(given.lower().replace("_", " ").split())
    if plain in _EQUAL:
        return "=" if _is_number(condition) else "is"
    if plain in _UNEQUAL:
        return "≠" if _is_number(condition) else "is not"
    return _LABELS.get(plain) or (plain if plain in _OPERATORS else given)


def _is_number(condition: Mapping) -> bool:
    value, kind = condition.get("value"), condition.get("varType")
    return kind == "number" or (kind is None and isinstance(value, int | float) and not isinstance(value, bool))


def logical_operators(data: Mapping) -> Mapping:
    """Cases that do not say how their conditions are joined need all of them."""
    return changed_items(data, "cases", _joined)


def _joined(case: Mapping) -> Mapping:
    given = case.get("logical_operator", "and")
    meant = given.lower() if isinstance(given, str) and given else "and" if given in (None, "") else given
    return case if meant == given else {**case, "logical_operator": meant}


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
    Rule("logical-operators", "A case did not say how its conditions are joined.", logical_operators, ("if-else",)),
    Rule("class-ids", "A class had no id, or one that is no text.", class_ids, ("question-classifier",)),
    Rule("instructions", "A classifier had `instructions`.", the_instruction, ("question-classifier",)),
)
