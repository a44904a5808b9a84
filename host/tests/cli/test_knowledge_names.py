"""`dify kb` with odd names, places and files: taken as they are, or refused with a reason before anything is done."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from dify_host.cli.call import Call
from dify_host.knowledge.datasets import NewDataset

from .conftest import Done

NAMES = ("ÜBER Straße", "知识 📚 بيت", "[/red]x", "a/b%_\\c", "  x  ", "%")


def labelled(folder: Path, judgement: str = "q\tp\t1\n") -> str:
    (folder / "passages.jsonl").write_text('\ufeff{"id":"p","text":"Jupiter is big"}\n')
    (folder / "queries.jsonl").write_text('{"id":"q","text":"Jupiter"}\n')
    (folder / "qrels.tsv").write_text(judgement)
    return str(folder)


def test_a_knowledge_base_of_any_name_is_found_by_it(dify: Callable[..., Done], tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("Jupiter is big")
    folder = labelled(tmp_path)
    for name in NAMES:
        made = dify("kb", "create", name, "--economy", "--json").result
        assert dify("kb", "add", name, str(tmp_path / "p.txt"), "--json").result["dataset_id"] == made["id"]
        assert "Jupiter is big" in dify("kb", "search", name, "jupiter").out
        assert name.strip() in dify("kb", "eval", name, folder, "--setting", "own").out
    shown = dify("kb", "list").out
    assert all(name.strip() in shown for name in NAMES)
    assert dify("kb", "search", "über straße", "x", "--json").result["code"] == "not_found"


def test_a_hundred_names_that_hold_another_do_not_hide_it(dify: Callable[..., Done], data: Path) -> None:
    first = dify("kb", "create", "x", "--economy", "--json").result

    async def create() -> None:
        async with Call(data=str(data), json=True).workspace() as (_platform, workspace, owner):
            for number in range(100):
                await workspace.datasets.create(NewDataset(name=f"x{number}", indexing_technique="economy"), owner.id)

    asyncio.run(create())
    assert dify("kb", "search", "x", "y", "--json").result["dataset_id"] == first["id"]


def test_files_that_cannot_be_read_are_refused_before_any_is_added(dify: Callable[..., Done], tmp_path: Path) -> None:
    dify("kb", "create", "Sky", "--economy")
    good, bad = tmp_path / "good.txt", tmp_path / "bad.xyz"
    good.write_text("Jupiter")
    bad.write_text("Jupiter")
    assert dify("kb", "add", "Sky", str(good), str(bad), "--json").result["code"] == "unsupported_file_type"
    assert dify("kb", "list", "--json").result["data"][0]["document_count"] == 0


def test_an_export_goes_where_a_file_can_be(dify: Callable[..., Done], tmp_path: Path) -> None:
    dify("kb", "create", "Sky", "--economy")
    nowhere = dify("kb", "export", "Sky", str(tmp_path / "none" / "sky.zip"), "--json").result
    assert nowhere["code"] == "invalid_param"
    assert "cannot be written" in nowhere["message"]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert dify("kb", "export", "Sky", str(pipe), "--json").result["code"] == "invalid_param"
    assert pipe.is_fifo()
    assert "no documents" in dify("kb", "export", "Sky", str(tmp_path / "sky.zip")).out
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["sky.zip"]
    assert "no documents" in dify("kb", "import", str(tmp_path / "sky.zip"), "--name", "Sea").out


@pytest.mark.parametrize("grade", ["nan", "inf", "-1e999", "good"])
@pytest.mark.parametrize("grades", ["gain", "rank"])
def test_a_grade_that_is_none_is_named_with_its_line(
    dify: Callable[..., Done], tmp_path: Path, grade: str, grades: str
) -> None:
    dify("kb", "create", "Sky", "--economy")
    folder = labelled(tmp_path, f"query\tpassage\tgrade\nq\tp\t{grade}\n")
    refused = dify("kb", "eval", "Sky", folder, "--grades", grades, "--json").result
    assert refused["code"] == "invalid_param"
    assert "qrels.tsv, line 2" in refused["message"]
