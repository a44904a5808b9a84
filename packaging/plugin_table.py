"""Prints the table of plugins from their project files; `--write` puts it between the markers of README.md."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from dify_kernel.proof import read_proofs, summary

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BEGIN = "<!-- plugins:begin -->"
END = "<!-- plugins:end -->"
#: Kinds in the order of the table, and what a reader calls them.
KINDS = {
    "vdb": "vector store",
    "storage": "storage",
    "providers": "models",
    "nodes": "nodes",
    "tools": "tools",
    "datasources": "data sources",
    "auth": "authentication",
    "hooks": "hooks",
}


def table() -> str:
    """The table in Markdown: kind by kind, each by name."""
    lines = ["| distribution | kind | offers | what it is | proven |", "|---|---|---|---|---|"]
    for kind, label in KINDS.items():
        for path in sorted((ROOT / "plugins").glob(f"{kind}_*/pyproject.toml")):
            project = tomllib.loads(path.read_text("utf-8"))["project"]
            link = f"[`{project['name']}`]({path.parent.relative_to(ROOT).as_posix()})"
            offers = " ".join(f"`{name}`" for name in sorted(project["entry-points"][f"dify.{kind}"]))
            proven = summary(read_proofs(path.parent / "src" / f"dify_{path.parent.name}"))
            lines.append(f"| {link} | {label} | {offers} | {project['description']} | {proven} |")
    return "\n".join(lines)


def filled(text: str) -> str:
    """A text with the table between its markers; ValueError without them."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} has no {BEGIN} followed by {END}.")
    return f"{before}{begin}\n{table()}\n{end}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        README.write_text(filled(README.read_text("utf-8")), "utf-8")
    else:
        sys.stdout.write(f"{table()}\n")
