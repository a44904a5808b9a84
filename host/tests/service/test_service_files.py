"""Files of runs: held to the app's rules, shown with their messages, and served to those whose app has them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from .service_house import House, Key, answers_with, graph, names, node

IMAGES = {"file_upload": {"image": {"enabled": True, "number_limits": 2, "transfer_methods": ["local_file"]}}}
PAPERS = {
    "file_upload": {
        "enabled": True,
        "allowed_file_types": ["document", "custom"],
        "allowed_file_extensions": [".log"],
        "allowed_file_upload_methods": ["local_file", "remote_url"],
        "number_limits": 2,
    }
}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


async def sent(app: Key, name: str, content: bytes = b"hello", mime: str = "text/plain") -> dict[str, Any]:
    """The file object of an upload."""
    made = await app("POST", "/files/upload", files={"file": (name, content, mime)}, data={"user": "abc-123"})
    assert made.status_code == 201, made.text
    return {"type": "custom", "transfer_method": "local_file", "upload_file_id": made.json()["id"]}


def remote(url: str, kind: str = "image") -> dict[str, Any]:
    return {"type": kind, "transfer_method": "remote_url", "url": url}


async def ask(app: Key, *files: dict[str, Any]) -> httpx.Response:
    return await app.wait("/chat-messages", {"query": "REPLY:seen", "files": list(files)})


def check_refused(answer: httpx.Response, message: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_param"), answer.text
    assert answer.json()["message"].startswith(message)


@pytest.fixture
async def papers(house: House) -> Key:
    return await house.app("advanced-chat", answers_with(), features=PAPERS)


async def test_files_of_a_message_follow_the_rules(papers: Key) -> None:
    text, log = await sent(papers, "a.txt"), await sent(papers, "b.log")
    taken = await ask(papers, text, log)
    assert taken.status_code == 200, taken.text
    check_refused(await ask(papers, text, log, text), "Number of files exceeds the maximum limit 2")
    picture = await sent(papers, "cat.png", PNG, "image/png")
    for file in (picture, {**picture, "type": "document"}):
        check_refused(await ask(papers, file), "File validation failed for file: cat.png")
    check_refused(await ask(papers, remote("https://x.test/dog.png")), "File validation failed for file: dog.png")
    listed = (await papers("GET", "/conversations?user=abc-123")).json()["data"]
    assert [item["id"] for item in listed] == [taken.json()["conversation_id"]]


@pytest.mark.parametrize("mode", ["advanced-chat", "chat"])
async def test_the_older_form_takes_images_alone(house: House, mode: str) -> None:
    body, more = (answers_with(), {"features": IMAGES}) if mode == "advanced-chat" else ({**IMAGES}, {})
    app = await house.app(mode, body, **more)
    picture, text = await sent(app, "cat.png", PNG, "image/png"), await sent(app, "a.txt")
    assert (await ask(app, picture)).status_code == 200
    check_refused(await ask(app, text), "File validation failed for file: a.txt")
    check_refused(await ask(app, remote("https://x.test/dog.png")), "File validation failed for file: dog.png")
    check_refused(await ask(app, *[picture] * 3), "Number of files exceeds the maximum limit 2")


def shows(*fields: dict[str, Any]) -> dict[str, Any]:
    outputs = [{"variable": "files", "value_selector": ["sys", "files"]}]
    return graph(node("start", "start", variables=list(fields)), node("end", "end", outputs=outputs))


async def test_the_text_of_a_message_with_files_is_called_message(house: House) -> None:
    app = await house.app("chat", {"pre_prompt": "", **IMAGES})
    picture = {**await sent(app, "cat.png", PNG, "image/png"), "type": "image"}
    found = await app.stream("/chat-messages", {"query": "REPLY:A cat, I think.", "files": [picture]})
    assert names(found) == ["message", "message_end"]
    assert "".join(item["answer"] for item in found[:-1]) == "A cat, I think."


async def test_files_of_a_workflow(house: House) -> None:
    free, held = await house.app("workflow", shows()), await house.app("workflow", shows(), features=PAPERS)
    picture = await sent(free, "cat.png", PNG, "image/png")
    taken = (await free.wait("/workflows/run", {"files": [picture]})).json()
    assert [file["filename"] for file in taken["data"]["outputs"]["files"]] == ["cat.png"]
    picture = await sent(held, "cat.png", PNG, "image/png")
    check_refused(await held.wait("/workflows/run", {"files": [picture]}), "File validation failed for file: cat.png")


async def test_a_chat_without_uploads_leaves_files_out(house: House) -> None:
    chat = await house.app(
        "advanced-chat", graph(*shows()["nodes"][:1], node("answer", "answer", answer="{{#sys.files#}}"))
    )
    answer = await chat.wait("/chat-messages", {"query": "x", "files": [await sent(chat, "a.txt")]})
    assert (answer.status_code, answer.json()["answer"]) == (200, "")


async def test_files_of_a_form_follow_its_fields(house: House) -> None:
    rules = {"allowed_file_types": ["document"], "allowed_file_upload_methods": ["local_file"]}
    paper = {"type": "file", "variable": "paper", "label": "Paper", **rules}
    logs = {
        **{"type": "file-list", "variable": "logs", "label": "Logs", "max_length": 2},
        **{"allowed_file_types": ["custom"], "allowed_file_extensions": [".log"]},
    }
    app = await house.app("workflow", shows(paper, logs))
    text, log = await sent(app, "a.txt"), await sent(app, "b.log")

    async def run(**inputs: Any) -> httpx.Response:
        return await app.wait("/workflows/run", {"inputs": inputs})

    assert (await run(paper=text, logs=[log, log])).status_code == 200
    check_refused(await run(paper=log), "File validation failed for file: b.log")
    check_refused(await run(paper=remote("https://x.test/a.pdf")), "File validation failed for file: a.pdf")
    check_refused(await run(logs=[log, text]), "File validation failed for file: a.txt")
    check_refused(await run(logs=[log] * 3), "logs in input form must be less than 2 files")


async def test_files_are_shown_with_their_messages(house: House, papers: Key, web: httpx.AsyncClient) -> None:
    text = await sent(papers, "a.txt")
    first = (await ask(papers, text, remote("https://x.test/a%20b.pdf", "document"))).json()
    path = f"/messages?user=abc-123&conversation_id={first['conversation_id']}"
    (message,) = (await papers("GET", path)).json()["data"]
    kept, far = message["message_files"]
    assert set(kept) == {
        *("id", "filename", "type", "url", "mime_type", "size", "transfer_method", "belongs_to", "upload_file_id"),
    }
    assert (kept["filename"], kept["type"], kept["size"], kept["belongs_to"]) == ("a.txt", "document", 5, "user")
    assert (kept["transfer_method"], kept["upload_file_id"]) == ("local_file", text["upload_file_id"])
    assert (await web.get(kept["url"])).content == b"hello"
    assert (far["filename"], far["url"], far["size"]) == ("a b.pdf", "https://x.test/a%20b.pdf", -1)
    assert (far["transfer_method"], far["upload_file_id"]) == ("remote_url", None)
    other = await house.app("advanced-chat", answers_with())
    refused = await other("GET", f"/files/{text['upload_file_id']}/preview")
    assert (refused.status_code, refused.json()["code"]) == (403, "file_access_denied")


async def test_a_member_s_file_is_served_once_a_message_has_it(house: House, papers: Key) -> None:
    files = house.workspace.files
    made = await files.upload(b"plan", "plan.txt", created_by_role="account", created_by=house.owner_id)
    path = f"/files/{made.id}/preview"
    assert (await papers("GET", path)).status_code == 403
    given = {"type": "document", "transfer_method": "local_file", "upload_file_id": made.id}
    assert (await ask(papers, given)).status_code == 200
    seen = await papers("GET", path)
    assert (seen.status_code, seen.content) == (200, b"plan")


async def test_a_file_that_a_node_made(house: House, web: httpx.AsyncClient) -> None:
    made = await house.workspace.files.save(b"%PDF-1.7", filename="report.pdf", mime_type="application/pdf")
    body = graph(node("start", "start", variables=[]), node("answer", "answer", answer="Here: {{#sys.files#}}"))
    app = await house.app("advanced-chat", body, features=PAPERS)
    path = f"/files/{made.related_id}/preview"
    assert (await app("GET", path)).status_code == 403
    given = {"type": "document", "transfer_method": "tool_file", "tool_file_id": made.related_id}
    answer = (await ask(app, given)).json()
    listed = await app("GET", f"/messages?user=abc-123&conversation_id={answer['conversation_id']}")
    (message,) = listed.json()["data"]
    assert [file["belongs_to"] for file in message["message_files"]] == ["user", "assistant"]
    for file in message["message_files"]:
        assert (file["filename"], file["transfer_method"], file["size"]) == ("report.pdf", "tool_file", 8)
        assert f"/files/tools/{made.related_id}.pdf?" in file["url"]
        seen = await web.get(file["url"])
        assert (seen.status_code, seen.content) == (200, b"%PDF-1.7")
        assert seen.headers["content-type"] == "application/pdf"
        saved = await web.get(f"{file['url']}&as_attachment=true")
        assert saved.headers["content-disposition"] == "attachment; filename*=UTF-8''report.pdf"
        for link in (file["url"].replace("sign=", "sign=x"), file["url"].replace("/tools/", "/tools/x")):
            refused = await web.get(link)
            assert refused.status_code in (400, 403)
            assert refused.json()["code"] in ("file_access_denied", "invalid_param")
    assert (await app("GET", path)).content == b"%PDF-1.7"
