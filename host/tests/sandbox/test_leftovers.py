"""What one run leaves for another, and what it tells the pool about itself: nothing, and nothing but its own result."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest
from dify_host.sandbox import SandboxPool
from dify_kernel.errors import CodeExecutionError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("unharmed")]


class Told:
    """A value that pickle would turn into a call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


POISON = {
    "built-ins": "builtins.mark = builtins.open = builtins.print = builtins.sum = builtins.len = None",
    "every built-in": "builtins.__dict__.clear()",
    "modules": "json.dumps = json.loads = json.mark = None; sys.modules.clear()",
    "import": "sys.meta_path.clear(); sys.path.clear(); sys.path_hooks.clear()",
    "runner": "[vars(m).clear() for n, m in list(sys.modules.items()) if n.startswith('jail')]",
    "limits": "sys.setrecursionlimit(50); sys.set_int_max_str_digits(0); gc.disable()",
    "hooks": "sys.addaudithook(lambda *a: os._exit(3)); sys.settrace(lambda *a: 1 / 0)",
    "environment": "os.environ['LD_PRELOAD'] = '/tmp/mark'; ctypes.CDLL(None).setenv(b'MARK', b'1', 1)",
    "folder": "os.mkdir('/tmp/mark'); os.chdir('/tmp/mark'); open('x', 'w').write('mark')",
    "signals": "signal.signal(signal.SIGALRM, print); signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)",
    "mask": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "small numbers": "ctypes.memset(id(1) + 24, 7, 1)",
    "types": "ctypes.pythonapi.PyType_Modified(ctypes.py_object(int)); dict.__subclasses__().clear()",
    "streams": "sys.stdout = sys.stderr = sys.__stdout__ = None",
    "dumps": "os.write(3, b'')",
}


@pytest.mark.parametrize("statement", POISON.values(), ids=POISON)
async def test_poison_is_gone_with_its_run(pool: SandboxPool, statement: str) -> None:
    """The run that poisons may come to harm; what the next one sees is in the fixture."""
    code = f"import builtins, ctypes, gc, json, os, signal, sys\ndef main():\n    {statement}\n    return 'done'\n"
    result = await pool.run("python3", code, b"{}", timeout=10)
    assert result.result in (None, b'"done"')


async def test_a_timer_of_one_run_does_not_go_off_in_the_next(pool: SandboxPool) -> None:
    setting = "import signal\ndef main():\n    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.01)\n    return 1\n"
    waiting = """
import signal, time
def main():
    seen = []
    signal.signal(signal.SIGALRM, lambda *a: seen.append(1))
    time.sleep(0.2)
    return seen
"""
    assert await pool.execute("python3", setting, {}) == 1
    assert await pool.execute("python3", waiting, {}) == []


async def test_a_run_finds_nothing_of_the_one_before_in_its_memory(pool: SandboxPool) -> None:
    """It reads all that is mapped around its objects, by asking the kernel to write it: bad addresses are an error."""
    secret = "-".join(["tenant", "one", "key", "7f3a"])
    echo = "def main(text):\n    print(text)\n    return {'kept': text, 'list': [text * 3]}\n"
    code = """
import ctypes, os
def main(halves):
    needle = "".join(halves).encode()
    reader, writer = os.pipe()
    libc = ctypes.CDLL(None)
    found = pages = 0
    for place in (id(object()), id(main), id([]), id(needle), id(bytearray(1 << 20))):
        for address in range((place >> 24 << 24) - (8 << 20), (place >> 24 << 24) + (24 << 20), 4096):
            if libc.write(writer, ctypes.c_void_p(address), 4096) == 4096:
                pages += 1
                found += os.read(reader, 4096).count(needle)
    return [found, pages]
"""
    assert (await pool.execute("python3", echo, {"text": secret}))["kept"] == secret
    halves = [secret[:9], secret[9:]]
    found, pages = await pool.execute("python3", code, {"halves": halves})
    alone, _ = await pool.execute("python3", code, {"halves": ["never sent by", "any other run"]})
    assert pages > 500
    # The joined needle itself is all there is, as often as for a text that no run ever had.
    assert found == alone > 0


async def test_runs_at_the_same_time_do_not_meet(pool: SandboxPool) -> None:
    writing = """
import os, time
def main(name):
    with open("/tmp/" + name, "w") as file:
        file.write(name)
    time.sleep(0.3)
    return sorted(os.listdir("/tmp"))
"""
    looking = """
import os, time
def main(seconds):
    seen, end = set(), time.monotonic() + seconds
    while time.monotonic() < end:
        seen.update(os.listdir("/tmp"))
        for pid in range(2, 20):
            try:
                os.kill(pid, 0)
                seen.add(pid)
            except PermissionError:
                pass
    return [sorted(seen), os.getpid()]
"""
    runs = [pool.execute("python3", writing, {"name": name}) for name in ("a", "b")]
    runs.append(pool.execute("python3", looking, {"seconds": 0.25}))
    assert await asyncio.gather(*runs) == [["a"], ["b"], [[], 1]]


FORGED = {
    "a frame before the answer": ("os.write(3, b'R{\"x\":1}'); return 5", "NotJSON"),
    "a frame that the pool sends": ("os.write(3, bytes([1]) + bytes(40)); os._exit(0)", "NoResult"),
    "pickle": (f"os.write(3, b'R' + {pickle.dumps(Told())!r}); os._exit(0)", "NotJSON"),
    "deep": ("os.write(3, b'R' + b'[' * 10**5); os._exit(0)", "NotJSON"),
    "not text": ("os.write(3, b'R\"\\xff\"'); os._exit(0)", "NotJSON"),
    "lone surrogate": ("os.write(3, b'R\"\\\\ud800\"'); os._exit(0)", "NotJSON"),
    "number out of range": ("os.write(3, b'R1e999'); os._exit(0)", "NotJSON"),
    "digits": ("os.write(3, b'R' + b'9' * 10**5); os._exit(0)", "NotJSON"),
    "empty": ("os.write(3, b'R'); os._exit(0)", "NotJSON"),
    "nothing": ("os._exit(0)", "NoResult"),
    "unknown letter": ("os.write(3, b'X{}'); os._exit(0)", "NoResult"),
    "right answer, wrong end": ("os.write(3, b'R1'); os._exit(7)", "NoResult"),
    "closed": ("os.close(3); return 1", "NoResult"),
    "output in its place": ("os.dup2(1, 3); return 1", "NoResult"),
    "not waiting": ("fcntl.fcntl(3, fcntl.F_SETFL, os.O_NONBLOCK); return 'x' * (4 << 20)", "NoResult"),
    "flood": ("[os.write(3, bytes(1 << 16)) for _ in iter(int, 1)]", "Killed"),
    "object": ("return type('Told', (), {'__reduce__': lambda self: (print, ('unpickled',))})()", "NotJSON"),
    "bytes": ("return __import__('pickle').dumps([1])", "NotJSON"),
}


@pytest.mark.parametrize(("statement", "kind"), FORGED.values(), ids=FORGED)
async def test_forged_answers(pool: SandboxPool, statement: str, kind: str) -> None:
    with pytest.raises(CodeExecutionError) as caught:
        await pool.execute("python3", f"import fcntl, os\ndef main():\n    {statement}\n", {})
    assert caught.value.where["error_type"] == kind


async def test_a_forged_error_is_cut(pool: SandboxPool) -> None:
    code = """
import os
def main(head):
    data = memoryview(b"E" + head.encode() + b"x" * (4 << 20))
    while data:
        data = data[os.write(3, data):]
    os._exit(0)
"""
    for head in (b"Kind\\n", b""):
        inputs = b'{"head": "' + head + b'"}'
        result = await pool.run("python3", code, inputs, timeout=10)
        assert len(result.error_type or "") <= 200
        assert len(result.error or "") <= 1 << 17


async def test_an_answer_on_the_output_is_output(pool: SandboxPool) -> None:
    code = "def main():\n    print('R{\"x\": 1}', flush=True)\n    return 5\n"
    result = await pool.run("python3", code, b"{}", timeout=10)
    assert (result.result, result.stdout) == (b"5", 'R{"x": 1}\n')


async def test_values_that_pretend_to_be_others_become_plain(pool: SandboxPool) -> None:
    code = """
class Text(str):
    def __str__(self): return "odd"
    def __repr__(self): raise SystemExit
    def __reduce__(self): return (print, ("unpickled",))
class Table(dict):
    def __getitem__(self, key): raise SystemExit
    def __len__(self): return 10**9
class Number(int):
    def __repr__(self): return "[1]"
def main():
    return {"text": Text("a"), "table": Table(a=1), "number": Number(3)}
"""
    assert await pool.execute("python3", code, {}) == {"text": "a", "table": {"a": 1}, "number": 3}


async def test_replacing_the_runner_changes_its_own_result_only(pool: SandboxPool) -> None:
    code = """
import sys
def main():
    for name, module in list(sys.modules.items()):
        if name.endswith("python_code"):
            module._encode = lambda value: b'"forged"'
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        frame.f_locals.clear()
    return "honest"
"""
    assert await pool.execute("python3", code, {}) in ("forged", "honest")
    assert await pool.execute("python3", "def main():\n    return 'honest'\n", {}) == "honest"
