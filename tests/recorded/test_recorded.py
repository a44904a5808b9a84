"""What Dify 1.11.4 was recorded to do with small graphs and published apps, against what is done with them here.

Everything is compared: import, statuses, outputs, errors, steps, the stream, every event and its fields. What differs
on purpose is in the table below, with the reason; an entry that is no longer needed fails its test.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from .compare import differences
from .recordings import cases, corpus
from .replay import Seen, Stage

CASES = {case.name: case for case in cases()} | {case.name[:3]: case for case in corpus()}
if not CASES:
    pytest.skip("no recordings beside the checkout; set DIFY_SHARED", allow_module_level=True)

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("recorded")]

#: Apps whose code imports what the sandbox's interpreter does not have, as the recorded one did.
LACKING = {"035": "pandas", "082": "requests", "106": "jieba", "120": "requests", "129": "requests", "171": "requests"}

CHECKED = "a graph that can never run is refused with its problems; there it is taken, and every run of it fails"
SHOWN = "the stream shows all that is stored; there it stops at the first variable that is missing"
TOLD = "the error of a node whose strategy took over is told; there it is `Unknown error`"
RETRIED = "an attempt that is made again is no exception, and a retry that helps is a success"
MASKED = "secrets are masked"
NUMBERS = "a number stays one; there a fraction makes every later message of the conversation fail"
REACHED = "edges from nodes that the start does not reach do not count"
RUNS = "nothing is missing, so it runs; there it fails before it starts"
WORDS = "the error says what is wrong, and where"
CALLED = "the scripted model calls functions, so it is asked to; the recorded one could not"
TOLD_ALL = "what rounds did before one of them failed is told; there it is lost with the container"
MIGRATED = "an iteration of an old version gets the start that it lacks; there it fails at its first round"
IMAGE = "the scripted model sees the image; the recorded one saw text alone"
READ = "a form that people write by hand is read; there nothing runs"

#: Where it is done otherwise on purpose: case -> field -> why.
DEVIATIONS: dict[str, dict[str, str]] = {
    "012": {"import": READ},
    "019": dict.fromkeys(
        [
            *("outputs", "blocking", "text", "1761803537660.outputs"),
            *("1761804280993.inputs", "1761804280993.outputs"),
        ],
        IMAGE,
    ),
    "023": {"extractor_node.process_data": CALLED},
    "045": dict.fromkeys(["answer", "text", "events"], READ),
    "046": {"blocking": RUNS, "events": RUNS},
    "069": dict.fromkeys(
        [
            *("outputs", "answer", "text", "total_steps", "events", "llm.outputs"),
            *("llm.process_data", "1730191858003.inputs", "1730191858003.process_data", "1730191858003.outputs"),
        ],
        IMAGE,
    ),
    "074": {"import": CHECKED},
    "094": dict.fromkeys(["answer", "text", "events"], READ),
    "098": dict.fromkeys(["outputs", "answer", "text", "llm.outputs", "llm.process_data", "answer.outputs"], IMAGE),
    "114": {"answer": RUNS, "text": RUNS, "events": RUNS},
    "122": dict.fromkeys(
        [
            *("outputs", "blocking", "text", "1761803537660.outputs"),
            *("1761804280993.inputs", "1761804280993.outputs"),
        ],
        IMAGE,
    ),
    "131": {"answer": RUNS, "text": RUNS, "events": RUNS},
    "173": dict.fromkeys(["answer", "text", "events"], READ),
    "042": dict.fromkeys(["blocking", "text", "events"], RUNS),
    "095": dict.fromkeys(["answer", "text", "events"], RUNS),
    "135": dict.fromkeys(
        ["status", "outputs", "error", "total_steps", "exceptions_count", "blocking", "text", "events"], MIGRATED
    ),
    "147": dict.fromkeys(["answer", "text", "events"], RUNS),
    "agg-groups": {"text": SHOWN, "end.inputs": "an object holds values; there it holds records of variables"},
    "assign-divide": {"a.process_data": NUMBERS, "answer": NUMBERS, "text": NUMBERS, "events": NUMBERS},
    "assign-set-text-number": {"a.process_data": NUMBERS},
    "code-nan": {"error": WORDS, "blocking": WORDS, "c.error": WORDS},
    "end-missing": {"text": SHOWN},
    "env-vars": dict.fromkeys(
        ["outputs", "blocking", "text", "t.inputs", "t.outputs", "end.inputs", "end.outputs"], MASKED
    ),
    "err-code-default": {"c.error": TOLD},
    "err-code-failbranch": {"c.error": TOLD},
    "err-parallel-one-default": {"c.error": TOLD},
    "http-204": {"blocking": "the connection is not used again after an answer that breaks the protocol"},
    "http-404-failbranch": {"text": SHOWN, "h.error": TOLD},
    "http-flaky-retry": {"status": RETRIED, "exceptions_count": RETRIED, "blocking": RETRIED},
    "http-refused-failbranch": {
        "exceptions_count": RETRIED,
        **dict.fromkeys(["outputs", "blocking", "text", "h.error", "h.outputs", "bad.inputs", "bad.outputs"], WORDS),
    },
    "iter-par-terminated": {"events": TOLD_ALL},
    "llm-error-default": {"m.outputs": WORDS, "m.error": TOLD},
    "loop-break-at-once": {"text": SHOWN},
    "start-json": {"text": SHOWN},
    "unreachable-node": {"outputs": REACHED, "total_steps": REACHED, "blocking": REACHED, "events": REACHED},
}


@pytest.mark.parametrize("name", sorted(set(CASES) - set(LACKING)))
async def test_it_does_what_was_recorded(name: str, stage: Stage) -> None:
    found = differences(CASES[name], await stage.play(CASES[name]))
    allowed = DEVIATIONS.get(name, {})
    wrong = [f"{field}: {text}" for field, texts in found.items() if field not in allowed for text in texts]
    assert not wrong, "\n".join(wrong)
    assert sorted(allowed) == sorted(found), "the table names fields that do not differ"


async def test_every_node_type_of_the_cases_is_there(stage: Stage) -> None:
    assert {name: missing for name, case in CASES.items() if (missing := case.needs() - stage.node_types)} == {}


@pytest.mark.parametrize(("name", "module"), sorted(LACKING.items()))
async def test_code_that_imports_more_than_there_is_says_so(name: str, module: str, stage: Stage) -> None:
    seen = await stage.play(CASES[name])
    assert all(f"No module named '{module}'" in run["error"] for run in seen.runs)


async def test_every_deviation_is_of_a_case() -> None:
    assert (set(DEVIATIONS) | set(LACKING)) - set(CASES) == set()


async def test_a_recording_is_like_itself_and_every_change_of_it_is_noticed() -> None:
    for case in CASES.values():
        imported, runs = case.data["import"]["status"], case.data["runs"]
        assert differences(case, Seen(imported=imported, runs=runs)) == {}
    case = CASES["answer-chain"]
    events = case.data["runs"][0]["events"]
    for at in range(len(events)):
        assert differences(case, _played(case.data, events[:at] + events[at + 1 :])), f"event {at} is gone"
        if events[at]["event"] == "workflow_finished":
            continue  # compared as the fields of the run
        for field in events[at].keys() - {"pieces"}:
            changed = copy.deepcopy(events)
            changed[at][field] = ["changed"] if field == "from_variable_selector" else "changed"
            assert differences(case, _played(case.data, changed)), f"{field} of event {at} is another"
    for at in range(len(events) - 1):
        swapped = [*events[:at], events[at + 1], events[at], *events[at + 2 :]]
        assert differences(case, _played(case.data, swapped)), f"event {at} is late"


def _played(data: dict[str, Any], events: list[dict[str, Any]]) -> Seen:
    return Seen(imported=data["import"]["status"], runs=[{**data["runs"][0], "events": events}, *data["runs"][1:]])
