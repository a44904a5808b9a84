"""Finds where a replay differs from its recording, field by field."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

from .recordings import Case
from .replay import Seen

__all__ = ["Differences", "differences", "same"]

Differences = dict[str, list[str]]

_HOLE = re.compile(r"<(?:uuid|volatile|file-url)>")
_BOUNDARY = re.compile(r"WebKitFormBoundary\w+")
_UNIX_TIME = range(1_700_000_000, 2_000_000_000)
_TRACEBACK = "Traceback (most recent call last)"
_CHUNKS = {"text_chunk", "message"}
_RUN_FIELDS = ("http", "status", "outputs", "error", "total_steps", "exceptions_count", "answer")
_NODE_FIELDS = ("node_type", "index", "title", "status", "inputs", "process_data", "outputs", "error")
_MORE_FIELDS = ("retry_index", "steps")
#: Under this name the ancestors hold the nodes whose rounds run side by side.
PARALLEL = "(side by side)"
#: What counts tokens or time, and what the endpoint adds of its own: there, but not equal.
_VARYING = {"usage", "__usage", "headers"}
#: Nodes that ask a model in words of their own: who speaks is compared, and what the classifier asks in the end.
_OWN_WORDS = {"question-classifier", "parameter-extractor"}


def differences(case: Case, seen: Seen) -> Differences:
    """Every field that differs, with what was recorded and what came instead. A node's fields are `NODE.FIELD`."""
    found: Differences = defaultdict(list)
    expected = case.data["import"]["status"]
    if seen.imported != expected:
        found["import"].append(f"recorded {expected!r}, seen {seen.imported!r} {seen.problem}")
        return found
    ancestors = _ancestors(case.graph)
    for number, (recorded, run) in enumerate(zip(case.data["runs"], seen.runs, strict=True)):
        for field, text in _of_run(recorded, run, ancestors):
            found[field].append(f"run {number}: {text}")
    return found


def same(recorded: Any, seen: Any) -> bool:
    """Whether two values are equal, types included; a hole in a recorded text stands for anything."""
    if isinstance(recorded, str):
        return isinstance(seen, str) and _same_text(recorded, seen)
    if isinstance(recorded, dict):
        if not isinstance(seen, dict) or recorded.keys() != seen.keys():
            return False
        return all(_same_part(name, recorded[name], seen[name]) for name in recorded)
    if isinstance(recorded, list):
        if not isinstance(seen, list) or len(recorded) != len(seen):
            return False
        return all(same(a, b) for a, b in zip(recorded, seen, strict=True))
    if isinstance(recorded, int) and recorded in _UNIX_TIME:
        return seen in _UNIX_TIME
    return type(recorded) is type(seen) and bool(recorded == seen)


def _same_part(name: str, recorded: Any, seen: Any) -> bool:
    if name == "__updated_variables":  # listed in the order of a hash there
        return same(*(sorted(side, key=lambda item: str(item["name"])) for side in (recorded, seen)))
    if name == "model_provider" and seen == "openai":  # published apps name any; all are played by one
        return isinstance(recorded, str)
    if name in _VARYING and isinstance(recorded, dict) and isinstance(seen, dict):
        return recorded.keys() == seen.keys()
    return recorded == "<volatile>" or same(recorded, seen)


def _same_text(recorded: str, seen: str) -> bool:
    if _TRACEBACK in recorded:  # lines of the traceback are those of the interpreter; the last one is the app's
        return recorded.rstrip().splitlines()[-1] in seen
    if _BOUNDARY.search(recorded):
        return _BOUNDARY.sub("", recorded) == _BOUNDARY.sub("", seen)
    if not _HOLE.search(recorded):
        return recorded == seen
    pattern = ".*".join(re.escape(part) for part in _HOLE.split(recorded))
    return re.fullmatch(pattern, seen, re.DOTALL) is not None


def _of_run(recorded: dict[str, Any], seen: dict[str, Any], ancestors: dict[str, set[str]]) -> list[tuple[str, str]]:
    found = []
    if recorded["http"] != 200 or seen["http"] != 200:
        found += _field("http", recorded["http"], seen["http"])
        return found + _field("error_body", _refusal(recorded.get("error_body")), _refusal(seen.get("error_body")))
    for field in _RUN_FIELDS:
        if field in recorded:
            found += _field(field, recorded[field], seen.get(field))
    if "blocking" in recorded:
        found += _field("blocking", _waited(recorded["blocking"]), _waited(seen["blocking"]))
    found += _of_events(recorded["events"], seen["events"], ancestors)
    return found


def _waited(data: dict[str, Any]) -> dict[str, Any]:
    """The answer to a run that was waited for, without its tokens."""
    if "body" in data:
        return {**data, "body": _refusal(data["body"])}
    return {name: value for name, value in data.items() if name != "total_tokens"}


def _refusal(body: Any) -> Any:
    """An error body without what it says beyond code, message and status."""
    if not isinstance(body, dict):
        return body
    return {name: body[name] for name in ("code", "message", "status") if name in body}


def _field(name: str, recorded: Any, seen: Any) -> list[tuple[str, str]]:
    if same(recorded, seen):
        return []
    return [(name, f"\n    recorded {str(recorded)[:1500]}\n    seen     {str(seen)[:1500]}")]


# -- events ------------------------------------------------------------------------------------------------------


def _of_events(
    recorded: list[dict[str, Any]], seen: list[dict[str, Any]], ancestors: dict[str, set[str]]
) -> list[tuple[str, str]]:
    found = _field("text", _texts(recorded), _texts(seen))
    ours, theirs = _grouped(seen), _grouped(recorded)
    found += _field(
        "events", {key: len(items) for key, items in theirs.items()}, {key: len(items) for key, items in ours.items()}
    )
    for (name, node), items in theirs.items():
        mine = ours.get((name, node), [])
        if len(items) > 1 and len(items) == len(mine):  # rounds side by side end in any order
            items, mine = sorted(items, key=_round), sorted(mine, key=_round)
        for one, other in zip(items, mine, strict=False):
            fields = _NODE_FIELDS if name.startswith("node") else (*_NODE_FIELDS, "code", "message")
            for field in (*fields, *_MORE_FIELDS):
                if field == "title" and field not in one:
                    continue
                label = f"{node}.{field}" if node else f"{name}.{field}"
                if name == "workflow_finished" and field in _RUN_FIELDS:
                    continue
                found += _field(label, _part(one, field), _part(other, field))
    if not found:
        found += _order(recorded, seen, ancestors)
    return found


def _part(event: dict[str, Any], field: str) -> Any:
    """A field of an event, as it is compared."""
    found = event.get(field)
    if field != "process_data" or event.get("node_type") not in _OWN_WORDS or not isinstance(found, dict):
        return found
    prompts = found.get("prompts", [])
    asked = prompts[-1] if event["node_type"] == "question-classifier" else None
    kept = {name: value for name, value in found.items() if name != "llm_text"}
    return {**kept, "prompts": [prompt["role"] for prompt in prompts], "asked": asked}


def _round(event: dict[str, Any]) -> str:
    """What tells the rounds of a container apart, for the same node in each."""
    return str(event.get("inputs")) if event["event"] == "node_finished" else ""


def _texts(events: list[dict[str, Any]]) -> list[list[str]]:
    """The stream: [source, text] with neighbouring pieces of one source joined."""
    joined: list[list[str]] = []
    for event in events:
        if event["event"] not in _CHUNKS:
            continue
        text = event.get("text", event.get("answer", ""))
        source = "/".join(event["from_variable_selector"])
        if joined and joined[-1][0] == source:
            text = joined.pop()[1] + text
        joined.append([source, text])
    return joined


def _grouped(events: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if event["event"] not in _CHUNKS:
            grouped[(event["event"], event.get("node_id", ""))].append(event)
    return grouped


def _order(
    recorded: list[dict[str, Any]], seen: list[dict[str, Any]], ancestors: dict[str, set[str]]
) -> list[tuple[str, str]]:
    """Where the order differs. Beside parallel branches only events of nodes that follow one another are in order."""
    theirs, ours = _steps(recorded), _steps(seen)
    if theirs == ours:
        return []
    ran = {node for name, node, _ in theirs if name == "node_finished"}
    if not any(a != b and not _follow(a, b, ancestors) for a in ran for b in ran):
        return [("order", f"\n    recorded {theirs}\n    seen     {ours}")]
    theirs = [step for step in theirs if step[0] not in _CHUNKS]
    place = {step: at for at, step in enumerate(ours)}
    for at, before in enumerate(theirs):
        for after in theirs[at + 1 :]:
            if _follow(before[1], after[1], ancestors) and place[before] > place[after]:
                return [("order", f"{after} came before {before}: {ours}")]
    return []


def _follow(a: str, b: str, ancestors: dict[str, set[str]]) -> bool:
    """Whether one of two nodes is behind the other; the run is before and behind all of them.

    A node that stands in rounds side by side follows itself no more than it follows a parallel branch.
    """
    return (
        (a == b and a not in ancestors.get(PARALLEL, ()))
        or not a
        or not b
        or a in ancestors.get(b, ())
        or b in ancestors.get(a, ())
    )


def _steps(events: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    """(name, node, which time), chunks with the node that their text is from, repetitions in a row told once."""
    steps: list[tuple[str, str, int]] = []
    times: dict[tuple[str, str], int] = defaultdict(int)
    for event in events:
        node = event["from_variable_selector"][0] if event["event"] in _CHUNKS else event.get("node_id", "")
        if event["event"] in _CHUNKS and steps and steps[-1][:2] == (event["event"], node):
            continue
        times[(event["event"], node)] += 1
        steps.append((event["event"], node, times[(event["event"], node)]))
    return steps


def _parallel(graph: dict[str, Any]) -> set[str]:
    """The nodes inside containers whose rounds run side by side."""
    wide = {node["id"] for node in graph["nodes"] if node["data"].get("is_parallel")}
    return {node["id"] for node in graph["nodes"] if node.get("parentId") in wide}


def _ancestors(graph: dict[str, Any]) -> dict[str, set[str]]:
    behind: dict[str, set[str]] = defaultdict(set)
    for edge in graph["edges"]:
        behind[edge["target"]].add(edge["source"])
    found = {}
    for node in list(behind):
        reached: set[str] = set()
        stack = [node]
        while stack:
            new = behind.get(stack.pop(), set()) - reached
            reached |= new
            stack += new
        found[node] = reached
    found[PARALLEL] = _parallel(graph)
    return found
