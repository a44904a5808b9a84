"""Python code that takes all it can get: memory, files, time, output. The run ends; the next one does not notice."""

from __future__ import annotations

import asyncio

import pytest
from dify_host.sandbox import SandboxPool

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("unharmed")]

MEMORY = {
    "one block": "bytearray(10**10)",
    "text": "'a' * 10**10",
    "mapping": "__import__('mmap').mmap(-1, 1 << 34)",
    "shared mapping": "[__import__('mmap').mmap(-1, 16 << 20) for _ in range(1000)]",
    "list": "[0] * 10**10",
    "growing list": "list(iter(lambda: bytes(1 << 20), None))",
    "set of numbers": "set(range(10**9))",
    "power": "1 << (1 << 34)",
    "compressed": "__import__('zlib').decompress(__import__('zlib').compress(bytes(200 << 20)), bufsize=1 << 20)",
    "width of a format": "f'{1:>{10**10}}'",
    "input file": "[__import__('os').pwrite(0, bytes(1 << 20), at << 20) for at in range(4096)]",
}


@pytest.mark.parametrize("expression", MEMORY.values(), ids=MEMORY)
async def test_memory(pool: SandboxPool, expression: str) -> None:
    result = await pool.run("python3", f"def main():\n    {expression}\n", b"{}", timeout=20, memory_mb=64)
    assert result.error_type in ("MemoryError", "OverflowError", "OSError")
    assert result.peak_memory < 128 << 20


DISK = {
    "one file": "open('/tmp/big', 'wb').write(bytes(64 << 20))",
    "file with a hole": "os.pwrite(os.open('/tmp/hole', os.O_RDWR | os.O_CREAT), b'x', 1 << 40)",
    "longer file": "os.ftruncate(os.open('/tmp/long', os.O_RDWR | os.O_CREAT), 1 << 40)",
    "many files": "[open(f'/tmp/{n}', 'wb').write(bytes(1 << 20)) for n in range(4096)]",
    "many names": "[os.close(os.open(f'/tmp/{n}', os.O_CREAT)) for n in range(10_000)]",
    "deep folders": "[(os.mkdir('x'), os.chdir('x')) for _ in range(10_000)]",
    "deleted but open": "[(os.write(os.open(n, os.O_CREAT | 2), bytes(1 << 20)), os.unlink(n)) for n in 'x' * 99]",
    "descriptors": "[os.open('/tmp', os.O_RDONLY) for _ in range(1000)]",
    "pipes": "[os.pipe() for _ in range(1000)]",
}


@pytest.mark.parametrize("expression", DISK.values(), ids=DISK)
async def test_disk_and_descriptors(pool: SandboxPool, expression: str) -> None:
    result = await pool.run("python3", f"import os\ndef main():\n    {expression}\n", b"{}", timeout=20)
    assert result.error_type == "OSError"


async def test_a_fork_bomb(pool: SandboxPool) -> None:
    code = """
import os, threading
def main():
    made = 0
    for _ in range(500):
        for start in (os.fork, threading.Thread(target=int).start):
            try:
                start()
                made += 1
            except (OSError, RuntimeError):
                pass
    return made
"""
    assert await pool.execute("python3", code, {}) == 0


TIME = {
    "loop": "while True: pass",
    "sleep": "time.sleep(999)",
    "select": "select.select([], [], [], 999)",
    "poll": "select.poll().poll()",
    "pause": "signal.pause()",
    "lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "empty pipe": "reader, writer = os.pipe(); os.read(reader, 1)",
    "full pipe": "reader, writer = os.pipe(); os.write(writer, bytes(1 << 20))",
    "regular expression": "re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "power": "9 ** 9 ** 9",
    "digits": "sys.set_int_max_str_digits(0); str(7 ** 10_000_000)",
    "one long call": "sum(range(10 ** 12))",
    "import lock": "import _imp; _imp.acquire_lock(); re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "exit that waits": "__import__('atexit').register(time.sleep, 999); time.sleep(999)",
    "destructor": "type('Slow', (), {'__del__': lambda self: time.sleep(999)})()",
    "result that waits": "return type('Slow', (dict,), {'items': lambda self: time.sleep(999)})(a=1)",
    "error that waits": "raise type('Slow', (Exception,), {'__str__': lambda self: time.sleep(999)})",
    "closed streams": "os.closerange(0, 64); time.sleep(999)",
    "answer first": "os.write(3, b'R1'); time.sleep(999)",
}
IGNORE_SIGNALS = """
import os, re, select, signal, sys, threading, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def main():
    {}
"""


@pytest.mark.parametrize("statement", TIME.values(), ids=TIME)
async def test_time(pool: SandboxPool, statement: str) -> None:
    result = await pool.run("python3", IGNORE_SIGNALS.format(statement), b"{}", timeout=0.4, memory_mb=512)
    assert result.error_type == "Timeout"
    assert result.result is None
    assert 0.4 <= result.elapsed < 5


CRASHES = {
    "null": "ctypes.string_at(0)",
    "abort": "os.abort()",
    "stack": "sys.setrecursionlimit(10**9); f = lambda g: g(g); f(f)",
    "nested text": "compile('(' * 10**6, 'x', 'eval')",
    "broken code": "exec((lambda: 0).__code__.replace(co_code=bytes([144, 255, 144, 255, 100, 255, 83, 0])))",
    "signal": "signal.signal(signal.SIGALRM, lambda *a: os._exit(0)); signal.alarm(1); time.sleep(9)",
    "counts": "ctypes.pythonapi.Py_DecRef(ctypes.py_object(None)); [ctypes.memset(id(None), 0, 64), print(None)]",
}


@pytest.mark.parametrize("statement", CRASHES.values(), ids=CRASHES)
async def test_crashes(pool: SandboxPool, statement: str) -> None:
    code = f"import ctypes, os, signal, sys, time\ndef main():\n    {statement}\n"
    result = await pool.run("python3", code, b"{}", timeout=20, memory_mb=64)
    assert result.error_type in ("NoResult", "RecursionError", "MemoryError", "SyntaxError", "SystemError")
    assert result.result is None


@pytest.mark.parametrize(
    "statement",
    [
        "print('x' * 10**7)",
        "raise ValueError('x' * 10**7)",
        "raise type('x' * 10**7, (Exception,), {})",
        "sys.exit('x' * 10**7)",
    ],
)
async def test_much_text(pool: SandboxPool, statement: str) -> None:
    result = await pool.run("python3", f"import sys\ndef main():\n    {statement}\n", b"{}", timeout=20)
    assert len(result.stdout) <= pool.settings.output_limit
    assert len(result.error or "") < 1 << 17
    assert len(result.error_type or "") <= 200


async def test_bombs_beside_other_runs(pool: SandboxPool) -> None:
    """Three bombs at once leave the fourth place as it is."""
    bombs = [
        pool.run("python3", f"import os\ndef main():\n    {expression}\n", b"{}", timeout=1.0, memory_mb=64)
        for expression in ("[bytearray(1 << 20) for _ in iter(int, 1)]", "while True: os.getpid()", DISK["many files"])
    ]
    running = asyncio.gather(*bombs)
    for number in range(5):
        assert await pool.execute("python3", "def main(n):\n    return n\n", {"n": number}) == number
    assert [result.result for result in await running] == [None, None, None]
