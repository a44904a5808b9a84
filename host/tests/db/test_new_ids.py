"""Ids sort in the order of making, are never made twice, and a forked process makes its own."""

from __future__ import annotations

import os
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from dify_host.db.types import new_id


def test_ids_are_version_7_sorted_and_unique() -> None:
    made = [new_id() for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in made} == {(7, uuid.RFC_4122)}


def test_the_random_part_is_random() -> None:
    parts = {uuid.UUID(new_id()).int & (1 << 62) - 1 for _ in range(5000)}
    assert len(parts) == 5000
    for bit in range(62):
        assert 2000 < sum(part >> bit & 1 for part in parts) < 3000


def test_threads_share_the_making() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = [each for part in pool.map(lambda _: [new_id() for _ in range(500)], range(16)) for each in part]
    assert len(set(made)) == len(made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_does_not_repeat_its_parents_numbers() -> None:
    new_id()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join(new_id()[19:] for _ in range(100)).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as pipe:
        theirs = set(pipe.read().split())
    assert len(theirs) == 100
    assert theirs.isdisjoint(new_id()[19:] for _ in range(100))
