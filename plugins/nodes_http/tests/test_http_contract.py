"""The http-request node keeps the node contract."""

from dify_kernel.contracts.http import HttpConnectionError, HttpResponse, HttpTooLarge, OutboundRefused
from dify_kernel.testing.fakes import FakeHttp, fake_ports
from dify_kernel.testing.node import NodeExample, NodeSuite
from dify_nodes_http.node import HttpRequestNode


def answers(**given):
    return lambda: fake_ports(http=FakeHttp({f"/{path}": answer for path, answer in given.items()}))


def answer(status, text="", kind="text/plain; charset=utf-8"):
    return HttpResponse(status=status, headers=[("Content-Type", kind)], content=text.encode())


def outputs(status, body, kind="text/plain; charset=utf-8"):
    return {"status_code": status, "body": body, "headers": {"content-type": kind}, "files": []}


API = "https://api.test"


class TestHttpRequestNode(NodeSuite):
    node = HttpRequestNode
    examples = [
        NodeExample(
            name="text",
            config={"url": f"{API}/{{{{#start.path#}}}}", "method": "get", "body": {"type": "none", "data": []}},
            variables={"start": {"path": "ok"}},
            ports=answers(ok=answer(200, "é")),
            outputs=outputs(200, "é"),
        ),
        NodeExample(
            name="status without strategy",
            config={"url": f"{API}/gone", "method": "DELETE", "retry_config": {"retry_enabled": False}},
            ports=answers(gone=answer(404, "no")),
            outputs=outputs(404, "no"),
        ),
        NodeExample(
            name="status with strategy",
            config={"url": f"{API}/gone", "error_strategy": "fail-branch"},
            ports=answers(gone=answer(404, "no")),
            error="Request failed with status code 404",
        ),
        NodeExample(
            name="status with retry",
            config={"url": f"{API}/gone", "retry_config": {"retry_enabled": True, "max_retries": "3"}},
            ports=answers(gone=answer(404, "no")),
            error="Request failed with status code 404",
        ),
        NodeExample(
            name="try again",
            config={"url": f"{API}/busy?a=1", "params": "b:2"},
            ports=answers(busy=answer(503)),
            error="Reached maximum retries (0) for URL https://api.test/busy?a=1",
        ),
        NodeExample(
            name="refused",
            config={"url": f"{API}/x"},
            ports=answers(x=HttpConnectionError("Connection refused")),
            error="Connection refused",
        ),
        NodeExample(
            name="private", config={"url": f"{API}/x"}, ports=answers(x=OutboundRefused("private")), error="private"
        ),
        NodeExample(
            name="too large", config={"url": f"{API}/x"}, ports=answers(x=HttpTooLarge("too much")), error="too much"
        ),
        NodeExample(name="no url", config={"url": ""}, error="url is required"),
        NodeExample(name="no scheme", config={"url": "ftp://x"}, error="url should start with http:// or https://"),
        NodeExample(
            name="empty key",
            config={
                "url": API,
                "authorization": {"type": "api-key", "config": {"type": "bearer", "api_key": "{{#env.key#}}"}},
            },
            variables={"env": {"key": " "}},
            error="API key",
        ),
        NodeExample(
            name="form",
            config={
                "url": f"{API}/post",
                "method": "post",
                "headers": "X-A: {{#start.a#}}",
                "params": "q:{{#start.a#}}",
                "body": {
                    "type": "form-data",
                    "data": [
                        {"id": "1", "key": "{{#start.a#}}", "type": "text", "value": "{{#start.b#}}"},
                        {"id": "2", "key": "f", "type": "file", "value": "", "file": ["start", "f"]},
                    ],
                },
            },
            variables={"start": {"a": "A", "b": "B", "f": None}},
        ),
    ]
    bad_configs = [
        {"url": API, "method": "trace"},
        {"url": API, "body": {"type": "soap"}},
        {"url": API, "authorization": {"type": "oauth"}},
        {"method": "get"},
    ]
