"""Kept runs of nodes that work on values: branches, templates, assigners, lists, files, errors, secrets."""

from __future__ import annotations

from dify_kernel.contracts.http import HttpResponse
from dify_kernel.contracts.ports import Ports
from dify_kernel.errors import CodeExecutionError
from dify_kernel.graph.values import File, FileTransfer, FileType, Value, ValueType
from dify_kernel.testing.fakes import FakeFiles, FakeHttp, FakeSandbox, fake_ports
from dify_kernel.testing.graph import node

from .case import Case, chat, flow, start

__all__ = ["CASES"]


def picture() -> File:
    """A file that a user has sent."""
    return File(
        id="f-1",
        related_id="f-1",
        type=FileType.IMAGE,
        transfer_method=FileTransfer.LOCAL_FILE,
        filename="a.png",
        extension=".png",
        mime_type="image/png",
        size=4,
        url="http://files.test/f-1",
    )


def document() -> Ports:
    """Ports whose files hold one text."""
    files = FakeFiles()
    files.put(b"hello", filename="a.txt", mime_type="text/plain")
    return fake_ports(files=files)


def letter() -> File:
    """The text that `document` holds."""
    return FakeFiles().put(b"hello", filename="a.txt", mime_type="text/plain")


def web() -> Ports:
    """Ports of a web with a page, a picture, and a server that is busy once."""
    text = [("content-type", "text/plain")]
    answers = {
        "/page": HttpResponse(status=200, headers=text, content="é".encode()),
        "/picture": HttpResponse(status=200, headers=[("content-type", "image/png")], content=b"\x89PNG"),
        "/busy": [
            HttpResponse(status=500, headers=text, content=b"busy"),
            HttpResponse(status=200, headers=text, content=b"now"),
        ],
        "/gone": HttpResponse(status=404, headers=text, content=b"no"),
    }
    return fake_ports(http=FakeHttp(answers))


def sandbox() -> Ports:
    """Ports of a sandbox that doubles the input `n`."""
    return fake_ports(sandbox=FakeSandbox(lambda _language, _code, inputs: {"r": inputs["n"] * 2}))


def broken() -> Ports:
    """Ports of a sandbox in which everything fails."""
    return fake_ports(sandbox=FakeSandbox(error=CodeExecutionError("no such thing")))


def branch(test: str, value: str) -> dict[str, object]:
    """The data of a branch with one case."""
    condition = {"variable_selector": ["start", "a"], "comparison_operator": test, "value": value}
    return {"cases": [{"case_id": "yes", "logical_operator": "and", "conditions": [condition]}]}


def code(**more: object) -> dict[str, object]:
    """The data of a code node with the output `r`."""
    return {
        "code": "def main(n):\n    return {'r': n * 2}",
        "code_language": "python3",
        "variables": [{"variable": "n", "value_selector": ["start", "n"]}],
        "outputs": {"r": {"type": "number", "children": None}},
        **more,
    }


def template(text: str, **variables: list[str]) -> dict[str, object]:
    """The data of a template."""
    return {
        "template": text,
        "variables": [{"variable": name, "value_selector": found} for name, found in variables.items()],
    }


ITEMS = [
    {"variable_selector": ["conversation", "n"], "input_type": "constant", "operation": "+=", "value": 5},
    {
        "variable_selector": ["conversation", "l"],
        "input_type": "variable",
        "operation": "append",
        "value": ["t", "output"],
    },
]
V1 = {
    "assigned_variable_selector": ["conversation", "s"],
    "write_mode": "over-write",
    "input_variable_selector": ["t", "output"],
}
CONVERSATION = {"conversation": {"n": 1, "s": "old", "l": Value(ValueType.ARRAY_STRING, ["a"])}}
CASES: dict[str, Case] = {
    "branch": flow(
        "start > if:yes > t > join > end",
        "if:false > u > join",
        nodes=[
            node("if", "if-else", **branch("is", "x")),
            node("t", "template-transform", **template("<{{ a }}>", a=["start", "a"])),
            node("u", "template-transform", **template("never")),
            node("join", "variable-aggregator", output_type="string", variables=[["u", "output"], ["t", "output"]]),
        ],
        gives={"text": ["join", "output"], "user": ["start", "sys.user_id"]},
        variables=start(a="x"),
    ),
    "aggregator-old": flow(
        "start > join > end",
        nodes=[node("join", "variable-assigner", output_type="string", variables=[["ghost", "x"], ["start", "a"]])],
        gives={"text": ["join", "output"]},
        variables=start(a="x"),
    ),
    "assigner-2": chat(
        "start > t > set > say",
        nodes=[
            node("t", "template-transform", **template("b")),
            node("set", "assigner", version="2", items=ITEMS),
            node("say", "answer", answer="{{#conversation.n#}} {{#conversation.l#}}"),
        ],
        variables={**start(), **CONVERSATION},
    ),
    "assigner-1": chat(
        "start > t > set > say",
        nodes=[
            node("t", "template-transform", **template("new")),
            node("set", "assigner", **V1),
            node("say", "answer", answer="{{#conversation.s#}}"),
        ],
        variables={**start(), **CONVERSATION},
    ),
    "list-operator": flow(
        "start > list > end",
        nodes=[
            node(
                "list",
                "list-operator",
                variable=["start", "files"],
                filter_by={
                    "enabled": True,
                    "conditions": [{"key": "type", "comparison_operator": "in", "value": ["document"]}],
                },
                order_by={"enabled": False},
                limit={"enabled": False},
            )
        ],
        gives={"found": ["list", "result"], "first": ["list", "first_record"]},
        variables=start(files=[picture(), letter()]),
    ),
    "files": chat(
        "start > say",
        nodes=[node("say", "answer", answer="{{#start.picture#}} and {{#start.none#}}.")],
        variables=start(picture=picture(), none=Value(ValueType.ARRAY_FILE, [])),
    ),
    "document": flow(
        "start > read > end",
        nodes=[node("read", "document-extractor", variable_selector=["start", "f"], is_array_file=False)],
        gives={"text": ["read", "text"]},
        variables=start(f=letter()),
        ports=document,
    ),
    "code": flow(
        "start > code > end",
        nodes=[node("code", "code", **code())],
        gives={"r": ["code", "r"]},
        variables=start(n=21),
        ports=sandbox,
    ),
    "default-value": flow(
        "start > code > end",
        nodes=[
            node(
                "code",
                "code",
                **code(error_strategy="default-value", default_value=[{"key": "r", "type": "number", "value": "7"}]),
            )
        ],
        gives={"r": ["code", "r"], "error": ["code", "error_message"]},
        variables=start(n=21),
        ports=broken,
    ),
    "failed": flow(
        "start > code > end",
        nodes=[node("code", "code", **code())],
        gives={"r": ["code", "r"]},
        variables=start(n=21),
        ports=broken,
    ),
    "http": flow(
        "start > page > picture > end",
        nodes=[
            node("page", "http-request", method="get", url="https://api.test/page", body={"type": "none", "data": []}),
            node("picture", "http-request", method="get", url="https://api.test/picture"),
        ],
        gives={"body": ["page", "body"], "files": ["picture", "files"]},
        variables=start(),
        ports=web,
    ),
    "retry": flow(
        "start > busy > end",
        nodes=[
            node(
                "busy",
                "http-request",
                method="post",
                url="https://api.test/busy",
                retry_config={"retry_enabled": True, "max_retries": 3, "retry_interval": 1},
            )
        ],
        gives={"body": ["busy", "body"]},
        variables=start(),
        ports=web,
    ),
    "error-branch": flow(
        "start > gone:fail-branch > t > end",
        "gone > never",
        nodes=[
            node("gone", "http-request", method="get", url="https://api.test/gone", error_strategy="fail-branch"),
            node("t", "template-transform", **template("no: {{ e }}", e=["gone", "error_message"])),
            node("never", "template-transform", **template("never")),
        ],
        gives={"text": ["t", "output"], "type": ["gone", "error_type"]},
        variables=start(),
        ports=web,
    ),
    "secrets": flow(
        "start > t > page > end",
        nodes=[
            node("t", "template-transform", **template("key={{ k }}", k=["env", "KEY"])),
            node("page", "http-request", method="get", url="https://api.test/page", headers="X-Key:{{#t.output#}}"),
        ],
        gives={"shown": ["t", "output"], "body": ["page", "body"]},
        variables=start(),
        secrets={"KEY": "s3cret"},
        ports=web,
    ),
}
