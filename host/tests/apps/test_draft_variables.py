"""Kept values of drafts on every engine: replaced, changed, put back, forgotten, and nobody else's."""

from __future__ import annotations

import pytest
from dify_host.apps.draft_variables import DraftVariables, Remembered
from dify_host.apps.records import Variable
from dify_host.apps.repository import AppRepository
from dify_host.db.types import new_id
from dify_kernel.errors import BadInput, NotFound
from dify_kernel.graph.values import File, FileTransfer, FileType, ValueType

from .test_app_repository import add_app


def kept(name: str, value: object, node_id: str = "code", **more: str) -> Remembered:
    return Remembered(node_id=node_id, name=name, value=value, **more)


async def test_a_newer_value_takes_the_place_of_an_older_one(repository: AppRepository) -> None:
    app = await add_app(repository)
    variables = DraftVariables(repository.db, repository.tenant)
    await variables.remember(app.id, [kept("a", 1), kept("a", {"é": [None, 1.5]}), kept("b", "x", "other")])
    await variables.remember(app.id, [kept("b", "y", "other"), kept("q", "hi", "sys"), kept("app_id", "1", "sys")])
    items, total = await variables.page(app.id, page=1, limit=2)
    assert (len(items), total) == (2, 4)
    found = {item.name: item for item in (await variables.page(app.id, page=1, limit=100))[0]}
    assert {name: item.value for name, item in found.items()} == {
        "a": {"é": [None, 1.5]},
        "b": "y",
        "q": "hi",
        "app_id": "1",
    }
    assert {name: item.kind for name, item in found.items()} == {"a": "node", "b": "node", "q": "sys", "app_id": "sys"}
    assert found["a"].value_type == "object"
    assert [item.name for item in await variables.of_node(app.id, "sys")] == ["app_id", "q"]


async def test_values_keep_their_types(repository: AppRepository) -> None:
    app = await add_app(repository)
    variables = DraftVariables(repository.db, repository.tenant)
    file = File(id=new_id(), type=FileType.IMAGE, transfer_method=FileTransfer.REMOTE_URL, url="https://a.test/x.png")
    items = [kept("files", [], value_type="array[file]"), kept("file", file), kept("n", 2), kept("none", None)]
    await variables.remember(app.id, items)
    found = await variables.values(app.id, ["code", "gone"])
    assert {name: value.type for (_, name), value in found.items()} == {
        "files": ValueType.ARRAY_FILE,
        "file": ValueType.FILE,
        "n": ValueType.INTEGER,
        "none": ValueType.NONE,
    }
    assert found["code", "file"].data == file


async def test_a_change_is_checked_marked_and_taken_back(repository: AppRepository) -> None:
    app = await add_app(repository)
    variables = DraftVariables(repository.db, repository.tenant)
    await variables.remember(app.id, [kept("n", 2), kept("user_id", "u", "sys")])
    number, fixed = [
        next(item for item in (await variables.page(app.id, page=1, limit=9))[0] if item.name == name)
        for name in ("n", "user_id")
    ]
    assert (await variables.edit(app.id, number.id)) == number
    changed = await variables.edit(app.id, number.id, name="m", value=3)
    assert (changed.name, changed.selector, changed.value) == ("m", ["code", "m"], 3)
    assert changed.last_edited_at is not None
    with pytest.raises(BadInput, match="number"):
        await variables.edit(app.id, number.id, value="three")
    with pytest.raises(BadInput, match="cannot be changed"):
        await variables.edit(app.id, fixed.id, value="x")
    back = await variables.put_back(app.id, number.id, 2)
    assert (back.value, back.last_edited_at) == (2, None)


async def test_declared_values_come_once_and_go_with_the_rest(repository: AppRepository) -> None:
    app = await add_app(repository)
    variables = DraftVariables(repository.db, repository.tenant)
    declared = [Variable(id=new_id(), name="seen", value_type="array[string]", value=[], description="so far")]
    await variables.declare(app.id, declared)
    (first,) = await variables.of_node(app.id, "conversation")
    assert (first.value, first.value_type, first.description) == ([], "array[string]", "so far")
    await variables.edit(app.id, first.id, value=["x"])
    await variables.declare(app.id, declared)
    (second,) = await variables.of_node(app.id, "conversation")
    assert second.value == ["x"]
    assert await variables.delete(app.id, node_id="code") == 0
    assert await variables.delete(app.id, variable_id=first.id) == 1
    await variables.remember(app.id, [kept("a", 1)])
    assert await variables.delete(app.id) == 1


async def test_nobody_else_sees_or_leaves_values(repository: AppRepository, stranger: AppRepository) -> None:
    app = await add_app(repository)
    mine = DraftVariables(repository.db, repository.tenant)
    theirs = DraftVariables(stranger.db, stranger.tenant)
    await mine.remember(app.id, [kept("a", 1)])
    (item,) = await mine.of_node(app.id, "code")
    assert await theirs.page(app.id, page=1, limit=9) == ([], 0)
    assert await theirs.values(app.id, ["code"]) == {}
    assert await theirs.delete(app.id) == 0
    for call in (theirs.get(app.id, item.id), theirs.edit(app.id, item.id, value=2)):
        with pytest.raises(NotFound):
            await call
    await theirs.remember(app.id, [kept("a", 2)])
    await theirs.declare(app.id, [Variable(id=new_id(), name="b", value_type="string", value="x")])
    assert [each.value for each in (await mine.page(app.id, page=1, limit=9))[0]] == [1]
