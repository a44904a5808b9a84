"""Rules of files: the feature in its two forms, the fields of a form, and what each of them takes."""

from __future__ import annotations

from typing import Any

import pytest
from dify_host.files.rules import FileRules, check_files, sent_rules, variable_rules
from dify_kernel.errors import BadInput
from dify_kernel.graph.inputs import InputVariable
from dify_kernel.graph.values import File, FileTransfer, FileType

BOTH = ("remote_url", "local_file")


def local(name: str, kind: str = "custom", mime: str | None = None, method: str = "local_file") -> File:
    """A file as a request names it."""
    _, dot, extension = name.rpartition(".")
    return File(
        type=FileType(kind),
        transfer_method=FileTransfer(method),
        filename=name,
        extension=f".{extension}" if dot else "",
        mime_type=mime,
    )


@pytest.mark.parametrize(
    ("feature", "rules"),
    [
        (None, None),
        ({}, None),
        ({"enabled": False, "number_limits": 5}, None),
        ({"image": {"enabled": False, "number_limits": 3}}, None),
        ({"enabled": True}, FileRules(number=3)),
        (
            {
                "enabled": True,
                "allowed_file_types": ["document", "custom"],
                "allowed_file_extensions": [".log"],
                "allowed_file_upload_methods": ["local_file"],
                "number_limits": 5,
                "image": {"enabled": False},
            },
            FileRules(types=("document", "custom"), extensions=(".log",), methods=("local_file",), number=5),
        ),
        ({"image": {"enabled": True}}, FileRules(types=("image",), methods=BOTH, number=3)),
        (
            {"image": {"enabled": True, "number_limits": 1, "transfer_methods": ["local_file"]}},
            FileRules(types=("image",), methods=("local_file",), number=1),
        ),
        (
            {"enabled": True, "allowed_file_types": ["audio"], "number_limits": 9, "image": {"enabled": True}},
            FileRules(types=("audio",), methods=BOTH, number=3),
        ),
        ({"enabled": True, "number_limits": "4"}, FileRules(number=4)),
        ({"enabled": True, "number_limits": "many"}, FileRules(number=3)),
        ({"enabled": True, "number_limits": 0}, FileRules(number=3)),
    ],
)
def test_the_feature(feature: dict[str, Any] | None, rules: FileRules | None) -> None:
    assert sent_rules(feature) == rules


def test_a_field_of_the_form() -> None:
    field = InputVariable(variable="paper", allowed_file_types=["document"], allowed_file_upload_methods=["local_file"])
    assert variable_rules(field) == FileRules(types=("document",), methods=("local_file",))
    assert variable_rules(InputVariable(variable="paper")) == FileRules()


@pytest.mark.parametrize(
    ("rules", "file"),
    [
        (FileRules(), local("a.anything")),
        (FileRules(types=["document"]), local("a.pdf")),
        (FileRules(types=["document"]), local("A.PDF", "document")),
        (FileRules(types=["image"]), local("a", mime="image/png")),
        (FileRules(types=["image"]), local("picture", "image", method="remote_url")),
        (FileRules(types=["custom"], extensions=[".log"]), local("a.LOG")),
        (FileRules(types=["custom"], extensions=["LOG"]), local("a.log", "document")),
        (FileRules(types=["image", "custom"], extensions=[".log"]), local("a.png", "image")),
        (FileRules(types=["custom"], extensions=[".png"]), local("a.png", "image")),
        (FileRules(methods=["remote_url"]), local("a.png", method="remote_url")),
        (FileRules(types=["image"], methods=["remote_url"]), local("a.txt", method="tool_file")),
    ],
)
def test_what_is_taken(rules: FileRules, file: File) -> None:
    check_files(rules, [file])


@pytest.mark.parametrize(
    ("rules", "file"),
    [
        (FileRules(types=["image"]), local("a.pdf")),
        (FileRules(types=["image"]), local("a.pdf", "image")),
        (FileRules(types=["document"]), local("a.sh", "document")),
        (FileRules(types=["image"]), local("a.sh", "image", method="remote_url")),
        (FileRules(types=["document"]), local("a", "document")),
        (FileRules(types=["custom"]), local("a.log")),
        (FileRules(types=["custom"], extensions=[".log"]), local("a.png", "image")),
        (FileRules(types=["custom"], extensions=["", "."]), local("log")),
        (FileRules(types=["custom"], extensions=[".log"]), local("log", "custom", method="remote_url")),
        (FileRules(types=["document"], extensions=[".log"]), local("a.log")),
        (FileRules(methods=["remote_url"]), local("a.png")),
        (FileRules(methods=["local_file"]), local("a.png", method="remote_url")),
    ],
)
def test_what_is_refused(rules: FileRules, file: File) -> None:
    with pytest.raises(BadInput) as caught:
        check_files(rules, [file])
    assert (caught.value.code, caught.value.status) == ("invalid_param", 400)
    assert str(caught.value).startswith(f"File validation failed for file: {file.filename}")


def test_how_many() -> None:
    check_files(FileRules(number=2), [local("a.txt")] * 2)
    with pytest.raises(BadInput, match="Number of files exceeds the maximum limit 2") as caught:
        check_files(FileRules(number=2), [local("a.txt")] * 3)
    assert caught.value.code == "invalid_param"
