"""What the documents name is there: files behind links, commands behind `dify …`, sessions behind `nox -s …`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from dify_host.cli.main import dify

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "kernel/*.md", "host/*.md", "packaging/*/*.md", "plugins/*/*.md")
    for path in ROOT.glob(pattern)
)
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
_SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_links_lead_somewhere(document: Path) -> None:
    links = [link for link, _ in _LINK.findall(document.read_text("utf-8")) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_links_within_the_readme_have_their_heading() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    headings = {line[3:].lower().replace(" ", "-") for line in text.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if _SHELL.search(path.read_text("utf-8"))], ids=named)
def test_commands_of_the_documents_exist(document: Path) -> None:
    for block in _SHELL.findall(document.read_text("utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if "dify" in words and words[0] in ("dify", "uv", "pip"):
                check_command(words[words.index("dify") + 1 :])


def check_command(words: list[str]) -> None:
    """The command, its subcommand and its options are those of the program."""
    command: click.Command = dify
    context = click.Context(command)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words[0])
        assert found is not None, f"dify has no command {words[0]!r}"
        command, words = found, words[1:]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if re.fullmatch(r"--?[a-z][a-z-]*", word)} <= known | {"--help"}


def test_sessions_of_the_documents_exist() -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE))
    for document in DOCUMENTS:
        used = re.findall(r"nox -s \"?(\w+)", document.read_text("utf-8"))
        assert set(used) <= sessions, named(document)
