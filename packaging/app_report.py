"""Says of every app in a folder whether it is imported: `app_report.py FOLDER`; `--write` puts the counts into docs."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from dify_host.apps.changes import Check
from dify_host.apps.checking import AppChecker
from dify_host.apps.dsl import read
from dify_host.apps.old_forms.modern import ALL_RULES
from dify_kernel.errors import BadInput
from dify_kernel.graph.plan import Problem
from dify_kernel.registry import Registry

__all__ = ["counts", "filled", "main", "outcome", "report"]

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
BEGIN = "<!-- apps:begin -->"
END = "<!-- apps:end -->"
_OUTCOMES = {
    "ready": "imported, nothing missing",
    "waits": "imported, and a draft until a plugin is installed",
    "pipeline": "valid knowledge pipelines, which are not kept yet",
    "refused": "refused, every problem named",
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
    if not check.importable:
        return "pipeline"
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
        _table("old form, brought to that of today", [(messages[code], count) for code, count in rules.most_common()]),
        _table("not installed", [(_KINDS[kind], count) for kind, count in kinds.most_common()]),
    ]
    for severity, title in (("error", "why files are refused"), ("warning", "what is said besides")):
        codes = Counter(code for check in checks for code in {p.code for p in check.problems if p.severity == severity})
        parts.append(_table(title, [(f"`{code}`", count) for code, count in codes.most_common()]))
    return "\n\n".join(parts)


def filled(page: str, text: str) -> str:
    """A page with the text between its markers; ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} has no {BEGIN} followed by {END}.")
    return f"{before}{begin}\n{text}\n{end}{after}"


def main(args: Sequence[str]) -> None:
    """Print a line a file and the numbers; `--write` puts the numbers into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true", help=f"put the counts into {PAGE.relative_to(ROOT)}")
    given = parser.parse_args(args)
    checks = report(given.folder)
    if not checks:
        parser.error(f"{given.folder} holds no .yml file.")
    for name, check in checks.items():
        sys.stdout.write(f"{outcome(check):9}{name}  {_details(check)}\n")
    sys.stdout.write(f"\n{counts(list(checks.values()))}\n")
    if given.write:
        PAGE.write_text(filled(PAGE.read_text("utf-8"), counts(list(checks.values()))), "utf-8")


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


def _table(title: str, rows: Iterable[tuple[str, int]]) -> str:
    lines = [f"| {title} | files |", "|---|---|", *(f"| {text} | {count} |" for text, count in rows)]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
