"""The bounded memory: the least used goes first, and entries end by time."""

from __future__ import annotations

from dify_host.lru import Lru


def test_the_least_recently_used_goes_first() -> None:
    memory: Lru[str, int] = Lru(2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 3)
    assert (memory.get("a"), memory.get("b"), memory.get("c"), len(memory)) == (1, None, 3, 2)


def test_an_entry_ends_by_time() -> None:
    now = [0.0]
    memory: Lru[str, int] = Lru(2, 5.0, clock=lambda: now[0])
    memory.put("a", 1)
    now[0] = 4.9
    assert memory.get("a") == 1
    now[0] = 5.0
    assert memory.get("a") is None
    assert len(memory) == 0


def test_chosen_entries_are_dropped() -> None:
    memory: Lru[str, int] = Lru(9)
    for number, name in enumerate("abcd"):
        memory.put(name, number)
    memory.drop(lambda key, value: key == "a" or value == 3)
    assert [memory.get(name) for name in "abcd"] == [None, 1, 2, None]
