"""The parts of the jail that need no process: the self-test's judgement, the call filter, the records."""

from __future__ import annotations

from pathlib import Path

import pytest
from dify_host.sandbox import selftest
from dify_host.sandbox.jail import seccomp, wire


@pytest.mark.parametrize("wall", ["write", "socket", "fork", "exec", "signal"])
def test_the_self_test_notices_an_open_wall(wall: str) -> None:
    closed = dict.fromkeys(("write", "socket", "fork", "exec", "signal"), "PermissionError")
    empty: dict[str, list[str]] = {"host_file": [], "writable": [], "packages": [], "unreadable": []}
    holds = {"uid": 65534, "pid": 1, "root": ["lib", "tmp"], **empty, **closed}
    assert selftest.problems(holds) == ()
    assert len(selftest.problems({**holds, wall: "done"})) == 1
    for name, seen in {"uid": 0, "pid": 7, "root": ["proc"], **{key: ["/x"] for key in empty}}.items():
        assert len(selftest.problems({**holds, name: seen})) == 1


def test_the_self_test_program_finds_open_walls_in_a_plain_interpreter() -> None:
    names: dict[str, object] = {}
    program = selftest.PROGRAM.replace("os.fork)", "lambda: os.waitpid(os.fork() or os._exit(0), 0))")
    exec(program.replace('os.execv("/bin/true", ["true"])', 'os.stat("/bin/true")').replace('"/outside"', '"/"'), names)
    main = names["main"]
    assert callable(main)
    found = selftest.problems({**main(selftest.hidden_files()), "write": "done"})
    assert len(found) >= 6


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_program_is_well_formed(machine: str) -> None:
    program = seccomp.assemble(machine)
    assert len(program) % 8 == 0
    assert len(program) // 8 < 255
    # The last instruction allows, the one before it refuses: nothing falls through to the former.
    assert program[-8:] == bytes.fromhex("060000000000ff7f")
    assert program[-16:-8] == bytes.fromhex("0600000001000500")


def test_the_call_numbers_are_the_kernels() -> None:
    headers = {0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), 1: Path("/usr/include/asm-generic/unistd.h")}
    checked = 0
    for column, path in headers.items():
        if not path.exists():
            continue
        known: dict[str, int] = {}
        for line in path.read_text().splitlines():
            words = line.split()
            if len(words) >= 3 and words[0] == "#define" and words[2].isdigit():
                known[words[1].replace("__NR3264_", "__NR_").removeprefix("__NR_")] = int(words[2])
        renamed = {"newfstatat": "fstatat"} if column == 1 else {}
        every = {**seccomp.ALLOWED, **{name: numbers for name, (numbers, _) in seccomp.REFUSED_WITH.items()}}
        for name, numbers in every.items():
            if numbers[column] is not None:
                assert known[renamed.get(name, name)] == numbers[column], name
                checked += 1
    if not checked:
        pytest.skip("no kernel headers on this machine")


def test_records_come_back_as_they_were() -> None:
    job = wire.Job(7, 1, 2.5, 1 << 40, 3, 4)
    assert _fields(wire.unpack_job(wire.pack_job(job))) == _fields(job) == [7, 1, 1 << 40, 3, 4, 2.5]
    end = wire.Exit(7, wire.TIMED_OUT, -9, 0.5, 0.25, 6)
    assert _fields(wire.unpack_exit(wire.pack_exit(end))) == _fields(end) == [0.25, 7, 6, wire.TIMED_OUT, -9, 0.5]
    assert wire.split_program(wire.join_program("é".encode(), b"{}")) == ("é".encode(), b"{}")


def _fields(record: wire.Job | wire.Exit) -> list[object]:
    return [getattr(record, name) for name in record.__slots__]
