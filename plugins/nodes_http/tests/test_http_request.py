"""What goes out: address, headers, key, body, limits, and the raw text that is recorded of it."""

import json

import pytest
from dify_kernel.contracts.http import FormPart, Timeout
from dify_kernel.contracts.node import Limits, NodeStatus
from dify_kernel.errors import NodeFailed
from dify_kernel.testing.fakes import FakeFiles, FakeHttp, fake_context, fake_ports
from dify_kernel.testing.node import make_node, run_node
from dify_nodes_http.node import HttpRequestNode
from hypothesis import given
from hypothesis import strategies as st


async def send(config, *, limits=None, files=None, attempt=0, **variables):
    """Run the node; the outbound request and the result."""
    http = FakeHttp()
    ports = fake_ports(http=http, **({"files": files} if files else {}))
    context = fake_context("node", {"v": variables}, ports=ports, limits=limits, attempt=attempt)
    outcome = await run_node(make_node(HttpRequestNode, {"url": "http://host.test/p", **config}), context)
    if outcome.error:
        raise outcome.error
    return http.requests[0], outcome.result


def header(request, name):
    return [value for key, value in request.headers if key.lower() == name]


async def test_params_repeat_and_are_split_before_they_are_filled_in():
    request, result = await send(
        {"url": "http://host.test/p?z=0", "params": "a:1\n\n a : {{#v.x#}}\nb\n:lost"}, x="2:3\nc:4"
    )
    assert list(request.params) == [("a", "1"), ("a", "2:3\nc:4"), ("b", "")]
    assert result.process_data["request"].startswith(
        "GET /p?z=0&a=1&a=2%3A3%0Ac%3A4&b= HTTP/1.1\r\nHost: host.test\r\n"
    )


async def test_a_value_cannot_add_a_header():
    request, _ = await send({"headers": "X-A: {{#v.x#}}"}, x="1\r\nX-Evil: 2")
    assert header(request, "x-a") == ["1 X-Evil: 2"]
    assert header(request, "x-evil") == []


async def test_a_variable_may_hold_whole_header_lines():
    request, _ = await send({"headers": "{{#v.h#}}\nX-B: 2"}, h="X-A: 1\nAccept: text/plain")
    assert dict(request.headers) == {"X-A": "1", "Accept": "text/plain", "X-B": "2"}


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        ({"type": "bearer", "api_key": "{{#v.k#}}", "header": ""}, "Authorization", "Bearer K"),
        ({"type": "basic", "api_key": "u:{{#v.k#}}", "header": None}, "Authorization", "Basic dTpL"),
        ({"type": "basic", "api_key": "dTpL"}, "Authorization", "Basic dTpL"),
        ({"type": "custom", "api_key": "{{#v.k#}}", "header": "X-Api-Key"}, "X-Api-Key", "K"),
        ({"type": "custom", "api_key": "K"}, "Authorization", "K"),
    ],
)
async def test_keys_are_sent_and_starred_in_the_record(config, name, value):
    request, result = await send({"authorization": {"type": "api-key", "config": config}}, k="K")
    assert header(request, name.lower()) == [value]
    assert f"{name}: {'*' * len(value)}\r\n" in result.process_data["request"]


async def test_authorization_written_by_hand_is_starred_too():
    _, result = await send({"headers": "Authorization: Bearer hidden"})
    assert "hidden" not in result.process_data["request"]


@pytest.mark.parametrize(
    ("text", "variables", "sent"),
    [
        ('{"a": "{{#v.q#}}", "b": 1}', {"q": "v"}, {"a": "v", "b": 1}),
        ('{"a": "{{#v.q#}}", "b": 1}', {"q": 'qu"ote'}, {"a": 'qu"ote', "b": 1}),
        ('{"a": "{{#v.q#}}"}', {"q": "two\nlines"}, {"a": "two\nlines"}),
        ('{"a": {{#v.q#}}}', {"q": True}, {"a": True}),
        ('{"a": {{#v.q#}}}', {"q": {"k": [1, None]}}, {"a": {"k": [1, None]}}),
        ('{"a": {{#v.q#}}}', {"q": [1, "x"]}, {"a": [1, "x"]}),
        ("{'a': 'é',}", {}, {"a": "é"}),
        ("[1, 2]", {}, [1, 2]),
    ],
)
async def test_json_is_filled_in_and_repaired(text, variables, sent):
    body = {"type": "json", "data": [{"key": "", "type": "text", "value": text}]}
    request, result = await send({"method": "post", "body": body}, **variables)
    assert json.loads(request.content) == sent
    assert header(request, "content-type") == ["application/json"]
    assert result.process_data["request"].endswith(
        f"Content-Length: {len(request.content)}\r\n\r\n{request.content.decode()}"
    )


async def test_a_plain_string_is_the_only_item_of_a_body():
    request, _ = await send({"method": "post", "body": {"type": "raw-text", "data": "raw {{#v.q#}}"}}, q="Q")
    assert request.content == b"raw Q"
    assert header(request, "content-type") == ["text/plain"]


async def test_a_given_content_type_stays():
    config = {"method": "patch", "headers": "content-type: text/x-own", "body": {"type": "raw-text", "data": "x"}}
    request, _ = await send(config)
    assert header(request, "content-type") == ["text/x-own"]


@pytest.mark.parametrize("kind", ["json", "raw-text"])
@pytest.mark.parametrize("data", [[], "", None, " \n", [{"key": "", "type": "text", "value": ""}]])
async def test_a_body_that_was_never_filled_in_is_none(kind, data):
    request, result = await send({"method": "get", "body": {"type": kind, "data": data}})
    assert request.content is None
    assert result.status == "succeeded"


async def test_a_json_body_whose_variable_is_empty_is_told():
    body = {"type": "json", "data": [{"key": "", "type": "text", "value": "{{#v.q#}}"}]}
    with pytest.raises(NodeFailed, match="Failed to parse JSON"):
        await send({"method": "post", "body": body}, q="")


@pytest.mark.parametrize(
    ("kind", "data"),
    [("binary", []), *((kind, [{"value": "1"}, {"value": "2"}]) for kind in ("json", "raw-text", "binary"))],
)
async def test_bodies_of_one_item(kind, data):
    with pytest.raises(NodeFailed, match="exactly one item") as caught:
        await send({"method": "post", "body": {"type": kind, "data": data}})
    assert caught.value.error_type == "RequestBodyError"


async def test_urlencoded_forms():
    data = [{"key": "k{{#v.q#}}", "type": "text", "value": "a b&{{#v.q#}}"}, {"key": "e", "value": None}]
    request, _ = await send({"method": "put", "body": {"type": "x-www-form-urlencoded", "data": data}}, q="Q")
    assert request.content == b"kQ=a+b%26Q&e="
    assert header(request, "content-type") == ["application/x-www-form-urlencoded"]


async def test_forms_of_old_exports_are_lines():
    request, _ = await send(
        {"method": "post", "body": {"type": "x-www-form-urlencoded", "data": "a:1\nb: {{#v.q#}}"}}, q=2
    )
    assert request.content == b"a=1&b=2"


async def test_a_form_without_files_is_multipart_all_the_same():
    data = [{"key": "kQ", "type": "text", "value": "Q"}, {"key": "z", "type": "text", "value": ""}]
    request, result = await send({"method": "post", "body": {"type": "form-data", "data": data}})
    assert list(request.files) == [
        FormPart(name="kQ", content=b"Q"),
        FormPart(name="z", content=b""),
        FormPart(name="__multipart_placeholder__", content=b"", content_type="application/octet-stream"),
    ]
    head, _, body = result.process_data["request"].partition("\r\n\r\n")
    boundary = head.partition("boundary=")[2].partition("\r\n")[0]
    assert "placeholder" not in body
    assert "Content-Length: 222" in head
    assert body.startswith(f'--{boundary}\r\nContent-Disposition: form-data; name="kQ"\r\n\r\nQ\r\n--{boundary}\r\n')


async def test_files_of_a_form():
    files = FakeFiles()
    one, two = (files.put(name.encode(), filename=f"{name}.txt", mime_type="text/plain") for name in ("one", "two"))
    data = [
        {"key": "many", "type": "file", "value": "", "file": ["v", "many"]},
        {"key": "single", "type": "file", "file": ["v", "single"]},
        {"key": "none", "type": "file", "file": ["v", "nothing"]},
        {"key": "t", "type": "text", "value": "x"},
    ]
    config = {"method": "post", "body": {"type": "form-data", "data": data}}
    request, result = await send(config, files=files, many=[one, two], single=one)
    assert [(part.name, part.filename, part.content) for part in request.files] == [
        ("t", None, b"x"),
        ("many", "one.txt", b"one"),
        ("many", "two.txt", b"two"),
        ("single", "one.txt", b"one"),
    ]
    assert '; filename="two.txt"\r\nContent-Type: text/plain\r\n\r\n<3 bytes>' in result.process_data["request"]


async def test_a_binary_body_is_the_file():
    files = FakeFiles()
    file = files.put(b"\xff\x00", filename="a.bin", mime_type="application/octet-stream")
    config = {"method": "post", "body": {"type": "binary", "data": [{"type": "file", "file": ["v", "f"]}]}}
    request, result = await send(config, files=files, f=file)
    assert request.content == b"\xff\x00"
    assert result.process_data["request"].endswith("\r\n\r\n<2 bytes>")
    with pytest.raises(NodeFailed) as caught:
        await send(config, f="no file")
    assert caught.value.error_type == "FileFetchError"


@pytest.mark.parametrize(("method", "sent"), [("get", False), ("HEAD", False), ("post", True), ("delete", True)])
async def test_a_request_with_effects_carries_the_same_key_at_each_attempt(method, sent):
    keys = [header((await send({"method": method}, attempt=n))[0], "idempotency-key") for n in (0, 1)]
    assert keys == [["run-1:node-1"] if sent else []] * 2


async def test_the_users_own_idempotency_key_wins():
    request, _ = await send({"method": "post", "headers": "idempotency-key: mine"})
    assert header(request, "idempotency-key") == ["mine"]


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, (10, 600, 600)),
        ({"connect": 5, "read": 6, "write": 7, "max_connect_timeout": 0}, (5, 6, 7)),
        ({"connect": 0, "read": None}, (10, 600, 600)),
        ({"connect": 9999, "read": 9999, "write": 9999}, (10, 600, 600)),
    ],
)
async def test_timeouts_are_capped(timeout, expected):
    request, _ = await send({"timeout": timeout})
    assert request.timeout == Timeout(connect=expected[0], read=expected[1], write=expected[2])


@pytest.mark.parametrize(
    ("own", "platform", "expected"), [(None, False, False), (True, False, True), (False, True, False)]
)
async def test_certificates(own, platform, expected):
    request, _ = await send({"ssl_verify": own}, limits=Limits(http_request_node_ssl_verify=platform))
    assert request.verify is expected


@given(text=st.text(max_size=60), value=st.text(max_size=20))
async def test_any_text_for_headers_and_params_makes_clean_pairs(text, value):
    request, result = await send({"headers": text + "\nX: {{#v.x#}}", "params": text}, x=value)
    assert result.status is NodeStatus.SUCCEEDED
    assert all(name.strip() and not {"\r", "\n"} & set(name + text) for name, text in request.headers)
