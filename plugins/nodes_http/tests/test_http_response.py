"""What comes back: text or file, names, sizes, failures that keep the answer."""

import pytest
from dify_kernel.contracts.http import HttpConnectionError, HttpResponse, HttpTimeout, HttpTooLarge, OutboundRefused
from dify_kernel.contracts.node import Limits, NodeStatus
from dify_kernel.graph.values import File, Value, ValueType
from dify_kernel.testing.fakes import FakeFiles, FakeHttp, fake_context, fake_ports
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_http.node import HttpRequestNode
from dify_nodes_http.response import file_name, is_file, joined_headers


def response(kind="", content=b"x", disposition=None, url="http://host.test/a/report.pdf?x=1"):
    headers = [("content-type", kind)] if kind else []
    headers += [("content-disposition", disposition)] if disposition is not None else []
    return HttpResponse(status=200, headers=headers, content=content, url=url)


async def run(answer, limits=None, **config):
    files = FakeFiles()
    ports = fake_ports(http=FakeHttp({"/a": answer}), files=files)
    node = make_node(HttpRequestNode, {"url": "http://host.test/a", **config})
    outcome = await run_node(node, fake_context("node", {}, ports=ports, limits=limits))
    return outcome.result, files


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("", b"x", False),
        ("text/plain", b"x", False),
        ("text/html; charset=utf-8", b"<p>", False),
        ("text/csv", b"a,b", True),
        ("image/png", b"\x89PNG", True),
        ("image/svg+xml", b"<svg/>", True),
        ("audio/mpeg", b"x", True),
        ("video/mp4", b"x", True),
        ("font/woff2", b"x", True),
        ("application/json", b"{}", False),
        ("application/problem+json", b"{}", False),
        ("application/soap+xml", b"<a/>", False),
        ("APPLICATION/XML", b"<a/>", False),
        ("application/x-yaml", b"a: 1", False),
        ("application/graphql-response", b"x", False),
        ("application/pdf", b"%PDF\xff", True),
        ("application/octet-stream", b'{"a": "\xc3\xa9"}', False),
        ("application/octet-stream", b"[" + "é".encode() * 512, False),
        ("application/octet-stream", b"plain words", True),
        ("application/zip", b"PK\x03\x04\xff", True),
        ("image/png", b"", False),
        ("multipart/mixed", b"x", False),
    ],
)
def test_kinds(kind, content, expected):
    assert is_file(response(kind, content)) is expected


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ("attachment", True),
        (" Attachment; x=y", True),
        ('inline; filename="a.txt"', True),
        ("inline", False),
        ("", False),
    ],
)
def test_dispositions(disposition, expected):
    assert is_file(response("text/plain", disposition=disposition)) is expected


@pytest.mark.parametrize(
    ("disposition", "kind", "url", "expected"),
    [
        ('attachment; filename="a b.txt"', "text/plain", "http://h/x", "a b.txt"),
        ("attachment; filename=a.txt; size=3", "text/plain", "http://h/x", "a.txt"),
        ("attachment; filename=\"x.txt\"; filename*=UTF-8''%C3%A9%20a.txt", "text/plain", "http://h/x", "é a.txt"),
        ("attachment; filename*=nonsense''%41", "application/pdf", "http://h/y.pdf", "y.pdf"),
        ('attachment; filename="../../etc/passwd"', "text/plain", "http://h/x", "passwd.txt"),
        ('attachment; filename="..\\\\up.txt"', "text/plain", "http://h/x", "up.txt"),
        (None, "image/png", "http://h/pic", "pic.png"),
        (None, "image/png", "http://h/a%20b.png?c=d", "a b.png"),
        (None, "image/png", "http://h/", "response.png"),
        (None, "", "http://h/..", "response"),
    ],
)
def test_names(disposition, kind, url, expected):
    assert file_name(response(kind, disposition=disposition, url=url)) == expected


def test_repeated_headers_are_joined():
    answer = HttpResponse(status=200, headers=[("Set-Cookie", "a=1"), ("X", "1"), ("set-cookie", "b=2")], content=b"")
    assert joined_headers(answer) == {"set-cookie": "a=1, b=2", "x": "1"}


async def test_a_file_is_saved_and_the_body_is_empty():
    result, files = await run(response("image/png", b"\x89PNG", url="http://host.test/pic.png"))
    [file] = files.saved
    assert result.outputs["body"] == ""
    assert result.outputs["files"] == Value(ValueType.ARRAY_FILE, [file])
    assert isinstance(file, File)
    assert (file.filename, file.mime_type, file.size) == ("pic.png", "image/png", 4)


async def test_no_files_are_still_a_list_of_files():
    result, _ = await run(response("text/plain"))
    assert result.outputs["files"] == Value(ValueType.ARRAY_FILE, [])


async def test_sizes():
    limits = Limits(http_request_node_max_text_size=4, http_request_node_max_binary_size=8)
    assert (await run(response("text/plain", b"x" * 4), limits))[0].status is NodeStatus.SUCCEEDED
    assert (await run(response("image/png", b"x" * 8), limits))[0].status is NodeStatus.SUCCEEDED
    for answer, kind in ((response("text/plain", b"x" * 5), "Text"), (response("image/png", b"x" * 9), "File")):
        result, _ = await run(answer, limits)
        assert (result.status, result.error_type) == (NodeStatus.FAILED, "ResponseSizeError")
        assert result.error.startswith(f"{kind} size is too large")


@pytest.mark.parametrize("config", [{"error_strategy": "default-value"}, {"retry_config": {"retry_enabled": True}}])
async def test_a_bad_status_keeps_the_answer(config):
    answer = HttpResponse(status=404, headers=[("content-type", "text/plain")], content=b"gone")
    result, _ = await run(answer, **config)
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "HTTPResponseCodeError")
    assert result.error == "Request failed with status code 404"
    assert (result.outputs["status_code"], result.outputs["body"]) == (404, "gone")
    assert result.process_data["request"] == "GET /a HTTP/1.1\r\nHost: host.test\r\n\r\n"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_answers_that_ask_to_try_again_fail_the_node(status):
    result, _ = await run(HttpResponse(status=status, headers=[], content=b"x"))
    assert (result.status, result.error_type) == (NodeStatus.FAILED, "HttpRequestNodeError")
    assert result.error == "Reached maximum retries (0) for URL http://host.test/a"
    assert result.process_data


@pytest.mark.parametrize(
    ("raised", "error_type"),
    [
        (HttpConnectionError("refused"), "HttpRequestNodeError"),
        (HttpTimeout("slow"), "HttpRequestNodeError"),
        (OutboundRefused("private"), "HttpRequestNodeError"),
        (HttpTooLarge("large"), "ResponseSizeError"),
    ],
)
async def test_no_answer(raised, error_type):
    result, _ = await run(raised)
    assert (result.status, result.error_type, result.error) == (NodeStatus.FAILED, error_type, raised.message)
    assert result.process_data["request"].startswith("GET /a ")
