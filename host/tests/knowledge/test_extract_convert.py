"""Old formats go through a program of the operator's choice, within limits, and leave nothing behind."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from dify_host.knowledge.errors import ExtractionFailed, UnsupportedFileType
from dify_host.knowledge.extract.convert import Converter, ConvertLimits
from dify_host.knowledge.extract.extractor import Extractor
from dify_kernel.errors import SettingsError

from .documents import make_docx
from .more_documents import make_msg, make_pptx

OLD = make_msg({"WordDocument": b"x" * 5000})


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files, which every test leaves empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def program(tmp_path: Path, body: str) -> str:
    """A command that runs these lines with the file, its folder and the format as arguments."""
    script = tmp_path / "program.py"
    script.write_text(f"import os, subprocess, sys, time\nsource, folder, wanted = sys.argv[1:]\n{body}\n")
    return f"{sys.executable} {script} {{input}} {{folder}} {{format}}"


async def read(command: str, name: str = "a.doc", **limits: int) -> list[str]:
    converter = Converter(command, ConvertLimits(**limits))
    return [item.text for item in await Extractor(converter=converter).extract(OLD, name)]


@pytest.mark.parametrize(
    ("name", "made", "text"),
    [
        ("a.doc", make_docx(["Written anew"], [["a"]]), "Written anew"),
        ("a.ppt", make_pptx(["<p:sp><a:p><a:r><a:t>Written anew</a:t></a:r></a:p></p:sp>"]), "Written anew"),
    ],
)
async def test_what_the_program_writes_is_read(
    tmp_path: Path, temporary: Path, name: str, made: bytes, text: str
) -> None:
    (tmp_path / "made").write_bytes(made)
    command = program(
        tmp_path,
        f"data = open({str(tmp_path / 'made')!r}, 'rb').read()\n"
        "assert open(source, 'rb').read()\nopen(f'{folder}/document.{wanted}', 'wb').write(data)",
    )
    assert (await read(command, name))[0].startswith(text)
    assert list(temporary.iterdir()) == []


async def test_what_the_program_says_is_text(tmp_path: Path) -> None:
    assert await read(program(tmp_path, "sys.stdout.buffer.write('Grüße'.encode())")) == ["Grüße"]


async def test_without_a_program_the_refusal_says_what_to_do() -> None:
    with pytest.raises(UnsupportedFileType, match="need a converter") as caught:
        await read("")
    assert "docx" in caught.value.hint
    assert "DOCUMENT_CONVERTER" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "limits", "message"),
    [
        ("sys.exit(3)", {}, "exit code 3"),
        ("pass", {}, "gave nothing"),
        ("time.sleep(60)", {"seconds": 1}, "more than 1 s"),
        ("bytearray(2**30)", {"max_memory": 2**29}, "failed"),
        ("print('x' * 5000)", {"max_output": 1000}, "more than 1000 bytes"),
        ("with open(f'{folder}/big', 'wb') as file:\n    file.write(b'x' * 5000)", {"max_output": 1000}, "failed"),
        ("assert 'PYTHONSTARTUP' in os.environ", {}, "failed"),
        ("os.symlink('/etc/passwd', f'{folder}/document.{wanted}')", {}, "gave nothing"),
        ("subprocess.Popen(['sleep', '600'])\ntime.sleep(60)", {"seconds": 1}, "more than 1 s"),
    ],
)
async def test_a_program_that_fails_is_told(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, body: str, limits: dict[str, int], message: str
) -> None:
    monkeypatch.setenv("PYTHONSTARTUP", "a secret")
    with pytest.raises(ExtractionFailed, match=message) as caught:
        await read(program(tmp_path, body), **limits)
    assert caught.value.where["file"] == "a.doc"
    assert list(temporary.iterdir()) == []


def test_what_can_be_read_depends_on_the_converter() -> None:
    without = Extractor().extensions
    assert {"pdf", "odt", "msg"} <= set(without)
    assert not {"doc", "ppt"} & set(without)
    assert set(Extractor(converter=Converter("x {input}")).extensions) == {*without, "doc", "ppt"}


async def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(ExtractionFailed, match="no-such-program failed"):
        await read("/no-such-program {input}")


async def test_only_old_files_reach_the_program(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFileType):
        await Extractor(converter=Converter(program(tmp_path, "print('x')"))).extract(b"just text", "a.doc")


def test_a_command_that_is_none_is_an_error_of_settings() -> None:
    with pytest.raises(SettingsError):
        Converter("a 'b")


@pytest.mark.skipif(shutil.which("antiword") is None, reason="antiword is not installed")
async def test_antiword_refuses_what_is_no_word_file() -> None:
    with pytest.raises(ExtractionFailed):
        await read("antiword -m UTF-8.txt -w 0 {input}")
