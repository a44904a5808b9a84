"""The loopback server: what it keeps of a request, how it answers, and that no fault of a test's answer is lost."""

import asyncio
import http.client
import json
import threading
import time

import pytest
from dify_kernel.contracts.http import HttpRequest
from dify_kernel.testing.loopback import Asked, json_answer, loopback
from dify_kernel.testing.plain_http import PlainHttpClient


def connect(server):
    return http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)


def ask(connection, method="GET", path="/", body=None, headers=None):
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def echo(asked):
    return json_answer(201, asked.json(), {"X-Method": asked.method})


def test_a_request_is_kept_as_it_arrived_and_its_answer_comes_whole():
    sent = {"Content-Type": "application/json; charset=utf-8", "X-Mixed": "Case"}
    with loopback(echo) as server:
        connection = connect(server)
        connection.request("PATCH", "/a%2Fb?x=1&x=&y=%C3%BC", body='{"ä": 1}'.encode(), headers=sent)
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read()), answer.headers["x-method"]) == (201, {"ä": 1}, "PATCH")
        assert answer.headers["content-type"] == "application/json"
        connection.close()
        assert server.url == f"http://127.0.0.1:{server.port}"
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("PATCH", "/a%2Fb")
    assert asked.query == [("x", "1"), ("x", ""), ("y", "ü")]
    assert (asked.headers["x-mixed"], asked.body, asked.json()) == ("Case", '{"ä": 1}'.encode(), {"ä": 1})


def test_a_connection_is_kept_alive_also_after_answers_without_a_body():
    with loopback(lambda asked: (204 if asked.method == "DELETE" else 200, {}, b"body")) as server:
        connection = connect(server)
        found = [ask(connection, method)[1] for method in ("GET", "HEAD", "DELETE", "GET")]
        socket = connection.sock
        assert found == [b"body", b"", b"", b"body"]
        assert ask(connection, "PUT", body=b"x") == (200, b"body")
        assert socket is not None
        assert connection.sock is socket


def test_a_body_that_is_not_said_to_be_json_is_none():
    asked = Asked(method="POST", path="/", query=[], headers={"content-type": "text/plain"}, body=b"{}")
    with pytest.raises(ValueError, match="text/plain"):
        asked.json()
    assert Asked(method="GET", path="/", query=[], headers={}, body=b"").json() is None


def test_queued_answers_come_first_and_one_answer_may_stand_for_all():
    with loopback((404, {}, b"none")) as server:
        server.queued += [(503, {}, b""), json_answer(200, [1])]
        connection = connect(server)
        assert [ask(connection) for _ in range(3)] == [(503, b""), (200, b"[1]"), (404, b"none")]
        server.answer = lambda asked: (200, {}, asked.path.encode())
        assert ask(connection, path="/now") == (200, b"/now")
    assert len(server.asked) == 4


@pytest.mark.parametrize("wrong", [lambda _: 1 / 0, lambda _: None, lambda _: (200, {}, "text")])
def test_a_fault_of_the_answer_fails_the_test_and_is_told_to_the_client(wrong):
    found = []

    def block():
        with loopback(wrong) as server:
            found.append(ask(connect(server), path="/x"))

    with pytest.raises((ZeroDivisionError, TypeError)) as caught:
        block()
    ((status, body),) = found
    assert (status, type(caught.value).__name__.encode() in body) == (500, True)
    assert caught.value.__notes__ == ["The loopback could not answer GET /x."]


def test_a_fault_is_told_beside_what_fails_because_of_it():
    def block():
        with loopback(lambda asked: pytest.fail("the wrong question")) as server:
            assert ask(connect(server))[0] == 200

    with pytest.raises(AssertionError) as caught:
        block()
    assert "the wrong question" in caught.value.__notes__[-1]


def test_a_body_in_chunks_is_refused_aloud():
    def block():
        with loopback((200, {}, b"")) as server, pytest.raises(http.client.BadStatusLine):
            ask(connect(server), "POST", body=iter([b"a"]), headers={"Transfer-Encoding": "chunked"})

    with pytest.raises(NotImplementedError, match="in chunks"):
        block()


async def test_many_ask_at_once_and_each_is_answered():
    meeting = threading.Barrier(8)

    def answer(asked):
        meeting.wait(10)  # all of them are being answered at the same time
        return 200, {}, asked.path.encode()

    with loopback(answer) as server:
        async with PlainHttpClient() as client:
            paths = [f"/{number}" for number in range(8)]
            requests = [HttpRequest(method="GET", url=server.url + path) for path in paths]
            answers = await asyncio.gather(*[client.send(request) for request in requests])
    assert [answer.content.decode() for answer in answers] == paths
    assert sorted(asked.path for asked in server.asked) == paths


def test_the_end_waits_for_nobody_prints_nothing_and_closes_what_is_kept_alive(capfd):
    reached, over = threading.Event(), threading.Event()

    def slow(_):
        reached.set()
        over.wait(20)
        return 200, {}, b"late"

    with loopback(lambda _: (200, {}, b"")) as server:
        idle = connect(server)
        ask(idle)
        server.answer = slow
        waiting = connect(server)
        waiting.request("GET", "/")
        assert reached.wait(10)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    over.set()
    assert idle.sock.recv(1) == b""
    with pytest.raises(http.client.RemoteDisconnected):
        waiting.getresponse()
    with pytest.raises(ConnectionError):
        ask(connect(server))
    assert capfd.readouterr() == ("", "")
