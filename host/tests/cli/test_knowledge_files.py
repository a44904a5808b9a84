"""Knowledge bases go out, in and elsewhere by commands."""

from __future__ import annotations

import zipfile
from pathlib import Path

from .conftest import Dify


def test_a_base_goes_out_and_in(dify: Dify, tmp_path: Path) -> None:
    text, file = tmp_path / "sky.txt", tmp_path / "sky.zip"
    text.write_text("Jupiter is a planet.\n\nThe sun is a star.")
    dify("kb", "create", "Sky", "--economy")
    dify("kb", "add", "Sky", str(text))
    out = dify("kb", "export", "Sky", str(file), "--json").result
    assert (out["documents"], out["files"], out["size"]) == (1, 1, file.stat().st_size)
    taken = dify("kb", "import", str(file), "--json")
    assert (taken.status, taken.result["code"]) == (1, "dataset_name_duplicate")
    made = dify("kb", "import", str(file), "--name", "Heaven", "--json").result
    assert (made["name"], made["to_index"]) == ("Heaven", 0)
    (hit,) = dify("kb", "search", "Heaven", "Jupiter", "--json").result["data"]
    assert hit["document_name"] == "sky.txt"
    assert dify("kb", "move", "Sky", "--to", "sqlite", "--json").result["code"] == "invalid_param"  # it has no vectors
    assert dify("kb", "export", "Sea", str(file), "--json").status == 1
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("../x", "x")
    refused = dify("kb", "import", str(file), "--name", "Bad", "--json")
    assert (refused.status, refused.result["code"]) == (1, "portable_file_refused")
    assert dify("kb", "list", "--json").result["total"] == 2
