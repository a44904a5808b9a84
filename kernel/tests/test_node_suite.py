"""The suite of nodes passes a node that keeps the contract, and fails each one that breaks a sentence of it."""

import dataclasses
from contextlib import asynccontextmanager

import pytest
from dify_kernel.testing.broken_node import ASK, BROKEN, CALL, UPPER, AskNode, CallNode, UpperNode
from dify_kernel.testing.honesty import contract_tests, run_suite
from dify_kernel.testing.node import NodeExample, NodeSuite

BAD = [{"variable": ["start"]}, {"variable": "start.name"}, {}]


class TestUpper(NodeSuite):
    node = UpperNode
    examples = [
        UPPER,
        NodeExample(
            name="empty",
            config={"variable": ["start", "name"]},
            variables={"start": {"name": ""}},
            outputs={"output": ""},
            handle="empty",
        ),
    ]
    bad_configs = BAD


class TestCall(NodeSuite):
    node = CallNode
    examples = [
        CALL,
        NodeExample(name="missing", config={"variable": ["start", "name"]}, error="Variable start.name not found"),
    ]
    bad_configs = BAD


class TestAsk(NodeSuite):
    node = AskNode
    examples = [
        ASK,
        dataclasses.replace(ASK, name="only asked", answer=None),
        dataclasses.replace(ASK, name="nobody", pause=None, answer={"timeout": True}, outputs=None, handle="__timeout"),
        NodeExample(name="missing", config=ASK.config, error="Variable start.name not found"),
    ]
    bad_configs = BAD


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_node_fails_where_it_is_broken(name):
    node, example, expected = BROKEN[name]
    suite = type("Broken", (NodeSuite,), {"node": node, "examples": [example], "bad_configs": BAD})

    @asynccontextmanager
    async def fixtures():
        yield {"example": example}

    outcomes = await run_suite(suite, fixtures)

    assert {test for test in expected if outcomes[test] != "passed"} == set(expected)


def test_every_contract_test_has_a_node_that_fails_it():
    covered = {test for _, _, tests in BROKEN.values() for test in tests}
    about_the_author = {"test_there_are_examples", "test_no_contract_test_is_dropped"}

    assert contract_tests(NodeSuite).keys() - covered == about_the_author


async def test_a_suite_without_examples_is_refused():
    suite = type("Empty", (NodeSuite,), {"node": UpperNode})

    with pytest.raises(AssertionError):
        suite().test_there_are_examples()
