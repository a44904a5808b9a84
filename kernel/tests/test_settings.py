"""Settings from the environment: types, secrets, errors that name the variable."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from dify_kernel.errors import SettingsError
from dify_kernel.settings import Doc, Secret, describe_settings, load_settings, read_env_file, shown_address


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    url: Annotated[str, Doc("Where the server is.")]
    port: Annotated[int, Doc("Its port.", ge=1, le=65535)] = 6333
    grpc: Annotated[bool, Doc("Use gRPC.")] = False
    api_key: Annotated[Secret, Doc("Its key.")] = Secret()
    hosts: Annotated[list[str], Doc("More hosts.")] = []
    kind: Annotated[Literal["a", "b"], Doc("Which kind.")] = "a"
    options: Annotated[dict[str, str], Doc("Anything else.")] = {}


def load(**env: str) -> Settings:
    return load_settings(Settings, {f"X_{key}": value for key, value in env.items()}, prefix="X_")


def test_values_take_their_types_and_empty_ones_their_defaults() -> None:
    got = load(URL="u", PORT="80", GRPC="Yes", HOSTS=" a, b ,", KIND="", OPTIONS_ROOT="/r", OPTIONS_MODE="w")
    assert got == Settings(url="u", port=80, grpc=True, hosts=["a", "b"], options={"root": "/r", "mode": "w"})


@pytest.mark.parametrize(("name", "value"), [("PORT", "no"), ("PORT", "0"), ("GRPC", "maybe"), ("KIND", "c")])
def test_a_bad_value_names_its_variable_and_what_is_wanted(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=rf"X_{name} is '{value}'") as caught:
        load(URL="u", **{name: value})
    assert caught.value.where == {"setting": f"X_{name}"}


def test_a_missing_required_value_says_what_it_is_for() -> None:
    with pytest.raises(SettingsError, match=r"X_URL is not set\. Where the server is\."):
        load()


def test_a_secret_neither_prints_nor_serialises() -> None:
    settings = load(URL="u", API_KEY="hush-hush")
    assert settings.api_key.reveal() == "hush-hush"
    assert "hush" not in f"{settings} {settings!r} {settings.api_key}"
    with pytest.raises(TypeError):
        pickle.dumps(settings.api_key)
    with pytest.raises(TypeError):
        msgspec.json.encode(settings)


def test_description_shows_every_setting_and_no_secret() -> None:
    rows = {row.variable: row for row in describe_settings(Settings, prefix="X_")}
    assert rows["X_URL"].required
    assert (rows["X_PORT"].default, rows["X_PORT"].description) == ("6333", "Its port.")
    assert rows["X_API_KEY"].secret
    assert rows["X_KIND"].type == "a | b"


def test_env_files_have_comments_quotes_and_exports(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# c\nexport A=1\nB='x # y'\nC=z # note\n\nD=\nnonsense\n")
    assert read_env_file(path) == {"A": "1", "B": "x # y", "C": "z", "D": ""}
    assert read_env_file(tmp_path / "none") == {}


def test_an_address_is_shown_without_its_password() -> None:
    for address, shown in (
        ("http://user:p@ss@host:1/path", "http://host:1/path"),
        ("user:secret@host:1", "host:1"),
        ("https://host", "https://host"),
        ("", ""),
    ):
        assert shown_address(address) == shown
