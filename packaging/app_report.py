"""Says of every app in a folder whether it is imported, and with `--run` how its runs end: `app_report.py FOLDER`.

`--write` puts the counts into docs. Runs are played on the stage of tests/corpus, which says who stands in for what.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dify_host.apps.changes import Check
from dify_host.apps.checking import AppChecker
from dify_host.apps.dsl import read
from dify_host.apps.old_forms.modern import ALL_RULES
from dify_kernel.errors import BadInput
from dify_kernel.graph.plan import Problem
from dify_kernel.registry import Registry

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the stage is among the tests, which are no distribution

if TYPE_CHECKING:
    from tests.corpus.playing import Played

__all__ = ["counts", "filled", "main", "outcome", "report", "run", "run_counts"]

PAGE = ROOT / "docs" / "compatibility.md"
BEGIN = "<!-- {}:begin -->"
END = "<!-- {}:end -->"
Kind = TypeVar("Kind", bound=str)
_OUTCOMES = {
    "ready": "imported, nothing missing",
    "waits": "imported, and a draft until a plugin is installed",
    "refused": "refused, every problem named",
}
_WAYS = {
    "all": "every run succeeds",
    "some": "some runs succeed",
    "none": "no run succeeds",
    "all with stand-ins": "every run succeeds, with stand-ins",
    "some with stand-ins": "some runs succeed, with stand-ins",
    "none with stand-ins": "no run succeeds, with stand-ins",
}
_KINDS = {
    "node": "a node type",
    "provider": "a model provider",
    "tool": "a tool",
    "plugin": "another plugin that the file lists",
}


def report(folder: Path) -> dict[str, Check]:
    """What is said of each file, by name; a text that cannot be read is a check with one problem."""
    checker = AppChecker(Registry())
    return {path.name: _checked(checker, path) for path in sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])}


def outcome(check: Check) -> str:
    """What becomes of a file in one word or two."""
    if not check.valid:
        return "refused"
    if check.missing:
        return "waits"
    return "ready"


def counts(checks: Sequence[Check]) -> str:
    """The numbers in Markdown: outcomes, old forms, what was missing, why some were refused."""
    outcomes = Counter(outcome(check) for check in checks)
    rules = Counter(code for check in checks for code in {change.code for change in check.changes})
    messages = {rule.code: rule.message for rule in ALL_RULES}
    kinds = Counter(kind for check in checks for kind in {item.kind for item in check.missing})
    parts = [
        _table(f"{len(checks)} files", [(text, outcomes[key]) for key, text in _OUTCOMES.items()]),
        _table("old form, brought to that of today", [(messages[code], count) for code, count in _ordered(rules)]),
        _table("not installed", [(_KINDS[kind], count) for kind, count in _ordered(kinds)]),
    ]
    for severity, title in (("error", "why files are refused"), ("warning", "what is said besides")):
        codes = Counter(code for check in checks for code in {p.code for p in check.problems if p.severity == severity})
        parts.append(_table(title, [(f"`{code}`", count) for code, count in _ordered(codes)]))
    return "\n\n".join(parts)


def run(folder: Path) -> dict[str, Played]:
    """How the runs of each file end, by name."""
    return asyncio.run(_run(sorted([*folder.glob("*.yml"), *folder.glob("*.yaml")])))


async def _run(files: Sequence[Path]) -> dict[str, Played]:
    from tests.corpus.playing import play
    from tests.corpus.stage import open_stage

    with tempfile.TemporaryDirectory() as folder:
        async with open_stage(Path(folder), files) as stage:
            return {path.name: await play(stage, path) for path in files}


def run_counts(played: Mapping[str, Played]) -> str:
    """The numbers of the runs in Markdown: how far each app came, why some runs fail, how many nodes were reached."""
    from tests.corpus.ends import KINDS, kind_of

    ran = {name: each for name, each in played.items() if each.outcome == "ran"}
    alone = [each for each in ran.values() if not each.stand_ins]
    ways = Counter(_way(each) for each in ran.values())
    kinds = Counter(kind_of(name, each) for name, each in ran.items() if each.failures)
    nodes = sum(len(each.nodes) for each in ran.values())
    reached = sum(len(each.reached) for each in ran.values())
    tables = [
        ("how far they come", [(text, ways[key]) for key, text in _WAYS.items()]),
        ("why runs do not succeed", [(KINDS.get(kind, "unexplained"), count) for kind, count in _ordered(kinds)]),
    ]
    played_text = (
        f"{len(ran)} apps were run, {len(alone)} of them with nobody standing in for a tool or a strategy, in\n"
        f"{sum(len(each.ends) for each in ran.values())} runs. "
        f"{reached} of the {nodes} nodes of their graphs came to an end in one of them."
    )
    return "\n\n".join([played_text, *(_table(title, rows) for title, rows in tables)])


def _way(played: Played) -> str:
    """How far an app came: the key of _WAYS."""
    failed = len(played.failures)
    way = "all" if not failed else "some" if failed < len(played.ends) else "none"
    return f"{way} with stand-ins" if played.stand_ins else way


def filled(page: str, text: str, name: str = "apps") -> str:
    """A page with the text between the markers of that name; ValueError without them."""
    before, begin, rest = page.partition(BEGIN.format(name))
    _, end, after = rest.partition(END.format(name))
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no {BEGIN.format(name)} followed by {END.format(name)}.")
    return f"{before}{begin}\n{text}\n{end}{after}"


def main(args: Sequence[str]) -> None:
    """Print a line a file and the numbers; `--write` puts the numbers into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help=f"put the counts into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--run", action="store_true", help="run each app, too")
    given = parser.parse_args(args)
    checks = report(given.folder)
    if not checks:
        parser.error(f"{given.folder} holds no .yml file.")
    for name, check in checks.items():
        sys.stdout.write(f"{outcome(check):9}{name}  {_details(check)}\n")
    texts = {"apps": counts(list(checks.values()))}
    if given.run:
        played = run(given.folder)
        for name, each in played.items():
            sys.stdout.write(f"{name}  {_told(each)}\n")
        texts["runs"] = run_counts(played)
    for part, text in texts.items():
        sys.stdout.write(f"\n{text}\n")
        if given.write:
            PAGE.write_text(filled(PAGE.read_text("utf-8"), text, part), "utf-8")


def _told(played: Played) -> str:
    """One line on the runs of an app."""
    ends = ", ".join(f"{count} {status}" for status, count in Counter(end.status for end in played.ends).items())
    errors = "; ".join(sorted({end.error.strip().splitlines()[-1] for end in played.failures if end.error.strip()}))
    parts = [ends or played.outcome, ", ".join(played.stand_ins), errors]
    return "  ".join(part for part in parts if part)


def _checked(checker: AppChecker, path: Path) -> Check:
    try:
        return checker.check(read(path.read_bytes()))
    except BadInput as exc:
        problem = Problem(code="invalid_dsl", message=exc.description)
        return Check(kind="", name="", mode="", version="", valid=False, importable=False, problems=[problem])


def _details(check: Check) -> str:
    errors = [f"{item.node_id or '-'}: {item.message}" for item in check.problems if item.severity == "error"]
    missing = [f"{item.kind} {item.name}" for item in check.missing]
    changes = sorted({change.code for change in check.changes})
    parts = [("old", changes), ("missing", missing), ("because", errors)]
    return "  ".join(f"{title}: {', '.join(items)}" for title, items in parts if items)


def _ordered(counted: Counter[Kind]) -> list[tuple[Kind, int]]:
    """The most frequent first, equal ones by name."""
    return sorted(counted.items(), key=lambda item: (-item[1], item[0]))


def _table(title: str, rows: Iterable[tuple[str, int]]) -> str:
    lines = [f"| {title} | files |", "|---|---|", *(f"| {text} | {count} |" for text, count in rows)]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
