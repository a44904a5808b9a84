"""The shape of every command: quick help, one JSON object at the end, stable statuses."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import click
import pytest
from dify_host.cli.main import _COMMANDS
from dify_host.cli.main import dify as group

from .conftest import Dify

HEAVY = ("sqlalchemy", "litestar", "dramatiq", "rich", "httpx", "redis", "dify_host.platform")


def loaded(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(' '.join(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()) if done.stdout.strip() else set()


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(argument: str) -> None:
    code = f"from dify_host.cli.main import _status\n_status([{argument!r}], json=False)"
    assert loaded(code) == set()


def test_the_supervisor_imports_nothing_heavy() -> None:
    assert loaded("import dify_host.cli.up") == set()


def commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)] if path else []
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if name == "demo":
                continue
            inner = command.get_command(context, name)
            assert inner is not None
            found += commands(inner, (*path, name))
    return found


def test_every_command_has_a_help_a_data_folder_and_json() -> None:
    for path, command in commands(group):
        if isinstance(command, click.Group) and not command.invoke_without_command:
            continue
        options = {text for item in command.params for text in item.opts}
        assert {"--data", "--json"} <= options, path
        assert command.get_short_help_str(), path
    assert set(_COMMANDS) >= {"up", "api", "worker", "beat", "serve", "setup", "app", "run", "kb", "models", "doctor"}


def test_wrong_usage_is_2_and_json_when_asked(dify: Dify) -> None:
    assert dify("app", "nonsense").status == 2
    done = dify("setup", "--json")
    assert (done.status, done.result["code"]) == (2, "usage")
    assert "--email" in done.result["message"]


def test_an_error_is_1_with_its_code_and_message(dify: Dify) -> None:
    assert dify("db", "upgrade").status == 0
    done = dify("models", "add", "nobody", "--json")
    assert (done.status, done.result["code"]) == (1, "plugin_not_found")
    shown = dify("models", "add", "nobody")
    assert shown.status == 1
    assert "plugin_not_found" in shown.err
    assert shown.out == ""


def test_an_address_or_a_folder_that_cannot_be_had_is_told_before_anything_starts(
    dify: Dify, data: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for command in ("up", "api"):
            done = dify(command, "--port", str(taken.getsockname()[1]), "--json")
            assert (done.status, done.result["code"]) == (1, "address_unavailable")
            assert "another program" in done.result["message"]
    data.write_text("a file where the folder should be")
    done = dify("app", "list", "--json")
    assert (done.status, done.result["code"]) == (1, "invalid_setting")
    assert "DIFY_DATA" in done.result["message"]
