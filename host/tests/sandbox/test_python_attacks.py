"""Twelve attacks and some more by Python code: shown to work in a plain interpreter, then to fail inside."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dify_host
import dify_kernel
import msgspec
import psutil
import pytest
from dify_host.sandbox import SandboxPool
from dify_kernel.errors import CodeExecutionError

pytestmark = pytest.mark.asyncio(loop_scope="module")

Outside = Callable[..., Any]

READ = "def main(path):\n    return open(path).read()\n"
CONNECT = """
import socket
def main(port):
    with socket.create_connection(("127.0.0.1", port), timeout=2) as peer:
        return peer.getpeername()[1]
"""
FORK = """
import os
def main(count):
    made = 0
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        made += 1
    return made
"""
THREAD = """
import threading
def main():
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return "joined"
"""
ALLOCATE = "def main(size):\n    return len(bytearray(size))\n"
LOOP = "def main():\n    while True:\n        pass\n"
SIGNAL = "import os\ndef main(pid):\n    os.kill(pid or os.getppid(), 0)\n    return 'sent'\n"
TRACE = """
import ctypes
def main(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    seize = 0x4206
    if libc.ptrace(seize, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "attached"
"""
WRITE = """
def main(path):
    with open(path, "w") as file:
        return file.write("was here")
"""
ENVIRONMENT = "import os\ndef main(name):\n    return os.environ[name]\n"
EXECUTE = """
import subprocess
def main(program):
    return subprocess.run([program], capture_output=True).returncode
"""


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this user with a secret in its environment."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={"TOKEN": "s3cret"})
    yield process
    process.communicate(b"\n")


async def test_read_a_secret_file(pool: SandboxPool, outside: Outside, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret")
    assert outside(READ, path=str(secret)) == "s3cret"
    with pytest.raises(CodeExecutionError, match="FileNotFoundError"):
        await pool.execute("python3", READ, {"path": str(secret)})


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/passwd"])
async def test_read_the_accounts(pool: SandboxPool, outside: Outside, path: str) -> None:
    if os.access(path, os.R_OK):
        assert "root" in outside(READ, path=path)
    with pytest.raises(CodeExecutionError, match="FileNotFoundError"):
        await pool.execute("python3", READ, {"path": path})


async def test_connect_to_loopback(pool: SandboxPool, outside: Outside) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert outside(CONNECT, port=port) == port
        with pytest.raises(CodeExecutionError, match="PermissionError"):
            await pool.execute("python3", CONNECT, {"port": port})


async def test_fork(pool: SandboxPool, outside: Outside) -> None:
    assert outside(FORK, count=3) == 3
    with pytest.raises(CodeExecutionError, match="PermissionError"):
        await pool.execute("python3", FORK, {"count": 3})


async def test_thread(pool: SandboxPool, outside: Outside) -> None:
    assert outside(THREAD) == "joined"
    with pytest.raises(CodeExecutionError, match="can't start new thread"):
        await pool.execute("python3", THREAD, {})


async def test_allocate_600_megabytes(pool: SandboxPool, outside: Outside) -> None:
    size = 600 << 20
    assert outside(ALLOCATE, size=size) == size
    with pytest.raises(CodeExecutionError) as caught:
        await pool.execute("python3", ALLOCATE, {"size": size})
    assert caught.value.where["error_type"] == "MemoryError"


async def test_fill_the_memory_bit_by_bit(pool: SandboxPool) -> None:
    code = "def main():\n    kept = None\n    while True:\n        kept = (kept, 1.5)\n"
    result = await pool.run("python3", code, b"{}", timeout=20, memory_mb=48)
    assert result.error_type == "MemoryError"
    assert result.peak_memory < 96 << 20


async def test_endless_loop(pool: SandboxPool, outside: Outside) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        outside(LOOP, seconds=0.5)
    result = await pool.run("python3", LOOP, b"{}", timeout=0.4)
    assert result.error_type == "Timeout"
    assert 0.4 <= result.elapsed < 5


async def test_a_loop_that_catches_everything(pool: SandboxPool) -> None:
    code = """
import signal
def main():
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""
    assert (await pool.run("python3", code, b"{}", timeout=0.4)).error_type == "Timeout"


async def test_signal_the_parent(pool: SandboxPool, outside: Outside, victim: subprocess.Popen[bytes]) -> None:
    assert outside(SIGNAL, pid=0) == "sent"
    assert outside(SIGNAL, pid=victim.pid) == "sent"
    for pid in (0, victim.pid, -1, pool.helper_pid):
        with pytest.raises(CodeExecutionError, match="PermissionError"):
            await pool.execute("python3", SIGNAL, {"pid": pid})


async def test_trace_a_process(pool: SandboxPool, outside: Outside, victim: subprocess.Popen[bytes]) -> None:
    if os.geteuid() == 0:
        assert outside(TRACE, pid=victim.pid) == "attached"
    for pid in (victim.pid, pool.helper_pid, 1):
        with pytest.raises(CodeExecutionError, match="PermissionError"):
            await pool.execute("python3", TRACE, {"pid": pid})


async def test_write_outside_the_scratch_folder(pool: SandboxPool, outside: Outside, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    target = tmp_path / "mark"
    assert outside(WRITE, path=str(target)) == 8
    target.unlink()
    for path in (str(target), "/mark", sys.prefix + "/mark", os.__file__, "/tmp/../mark"):
        with pytest.raises(CodeExecutionError, match=r"FileNotFoundError|PermissionError|Read-only"):
            await pool.execute("python3", WRITE, {"path": path})
    assert not target.exists()


async def test_scratch_folder_is_private_small_and_gone_afterwards(pool: SandboxPool) -> None:
    code = """
import os
def main(name):
    before = os.listdir("/tmp")
    with open("/tmp/" + name, "w") as file:
        file.write("x")
    return before
"""
    name = "sandbox-scratch-test"
    assert await pool.execute("python3", code, {"name": name}) == []
    assert await pool.execute("python3", code, {"name": name}) == []
    assert not (Path(tempfile.gettempdir()) / name).exists()
    filling = "def main():\n    with open('/tmp/big', 'wb') as file:\n        file.write(bytes(64 << 20))\n"
    with pytest.raises(CodeExecutionError, match="OSError"):
        await pool.execute("python3", filling, {})


async def test_own_environment(pool: SandboxPool, outside: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_TEST_TOKEN", "s3cret")
    assert outside(ENVIRONMENT, name="SANDBOX_TEST_TOKEN") == "s3cret"
    await pool.close()
    await pool.start()  # the helper of this test starts with the variable set
    with pytest.raises(CodeExecutionError, match="KeyError"):
        await pool.execute("python3", ENVIRONMENT, {"name": "SANDBOX_TEST_TOKEN"})
    everything = "import os\ndef main():\n    return dict(os.environ)\n"
    assert await pool.execute("python3", everything, {}) == {}


async def test_environment_of_others(pool: SandboxPool, outside: Outside, victim: subprocess.Popen[bytes]) -> None:
    path = f"/proc/{victim.pid}/environ"
    assert "TOKEN=s3cret" in outside(READ, path=path)
    for inside in (path, f"/proc/{pool.helper_pid}/environ", "/proc/1/environ", "/proc/self/environ"):
        with pytest.raises(CodeExecutionError, match="FileNotFoundError"):
            await pool.execute("python3", READ, {"path": inside})


async def test_execute_a_program(pool: SandboxPool, outside: Outside) -> None:
    assert outside(EXECUTE, program="/bin/true") == 0
    with pytest.raises(CodeExecutionError, match="PermissionError"):
        await pool.execute("python3", EXECUTE, {"program": "/bin/true"})
    with pytest.raises(CodeExecutionError, match="PermissionError"):
        await pool.execute("python3", "import os\ndef main():\n    os.execv('/lib/ld.so', ['x'])\n", {})


async def test_kernel_doors_are_closed(pool: SandboxPool) -> None:
    """Calls by number, as C code would make them: all refused, whatever the arguments."""
    code = """
import ctypes
def main(numbers):
    libc = ctypes.CDLL(None, use_errno=True)
    answer = {}
    for name, number in numbers.items():
        ctypes.set_errno(0)
        result = libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0)
        answer[name] = [result, ctypes.get_errno()]
    return answer
"""
    numbers = {
        "x86_64": {
            "socket": 41, "socketpair": 53, "clone": 56, "vfork": 58, "execve": 59, "kill": 62, "ptrace": 101,
            "mount": 165, "chroot": 161, "tgkill": 234, "unshare": 272, "prlimit64": 302, "setns": 308,
            "process_vm_readv": 310, "seccomp": 317, "memfd_create": 319, "bpf": 321, "execveat": 322,
            "userfaultfd": 323, "pidfd_getfd": 438, "io_uring_setup": 425, "open_tree": 428, "prctl": 157,
            "keyctl": 250, "shmget": 29, "x32_write": 0x40000001,
        },
        "aarch64": {
            "socket": 198, "clone": 220, "execve": 221, "kill": 129, "ptrace": 117, "mount": 40, "unshare": 97,
            "bpf": 280, "io_uring_setup": 425, "prctl": 167,
        },
    }[os.uname().machine]  # fmt: skip
    answer = await pool.execute("python3", code, {"numbers": numbers})
    assert answer == {name: [-1, 1] for name in numbers}


async def test_only_the_own_descriptors_are_open(pool: SandboxPool) -> None:
    code = """
import os
def main():
    found = []
    for number in range(64):
        try:
            os.fstat(number)
            found.append(number)
        except OSError:
            pass
    return found
"""
    assert await pool.execute("python3", code, {}) == [0, 1, 2, 3]


async def test_installed_packages_are_not_visible(pool: SandboxPool, outside: Outside) -> None:
    code = "import sys\ndef main(folder, name):\n    sys.path.append(folder)\n    return __import__(name).__name__\n"
    for module in (msgspec, dify_host, dify_kernel):
        place = {"folder": str(Path(module.__path__[0]).parent), "name": module.__name__}
        assert outside(code, **place) == module.__name__
        with pytest.raises(CodeExecutionError, match="ModuleNotFoundError"):
            await pool.execute("python3", code, place)


async def test_the_root_holds_the_interpreter_and_nothing_else(pool: SandboxPool) -> None:
    """Every folder in the jail is the standard library's, a system library's, or on the way to one."""
    code = """
import os
def main(known):
    found = []
    for folder, names, files in os.walk("/"):
        names[:] = [name for name in names if os.path.join(folder, name) not in known]
        found += [os.path.join(folder, name) for name in files if not os.path.islink(os.path.join(folder, name))]
    return found
"""
    libraries = {str(Path(area.path).parent) for area in psutil.Process().memory_maps() if "/libc." in area.path}
    known = [os.path.dirname(os.__file__), "/usr/share/zoneinfo", *libraries]
    found = await pool.execute("python3", code, {"known": known})
    assert [path for path in found if not path.startswith("/etc/ld")] == []


async def test_the_processes_belong_to_nobody(pool: SandboxPool) -> None:
    code = "import os\ndef main():\n    return [os.getuid(), os.geteuid(), os.getgid(), os.getpid(), os.getppid()]\n"
    assert await pool.execute("python3", code, {}) == [65534, 65534, 65534, 1, 0]


async def test_the_helper_holds_no_data_of_runs(pool: SandboxPool) -> None:
    """Later runs are copies of the helper's memory, so what one tenant sends must never be in it."""
    if os.geteuid() != 0:
        pytest.skip("only root may read another process's memory")
    # Joined at run time, so that only what the run sends holds the whole mark.
    mark = "-".join(["tenant", "one", "secret"])
    code = f"# {mark}\ndef main(text):\n    print(text)\n    return text\n"
    assert await pool.execute("python3", code, {"text": mark}) == mark
    assert mark.encode() not in _memory_of(pool.helper_pid or 0)
    assert b"FileNotFoundError" in _memory_of(pool.helper_pid or 0)


def _memory_of(pid: int) -> bytes:
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for area in psutil.Process(pid).memory_maps(grouped=False):
            start, end = (int(part, 16) for part in area.addr.split("-"))
            if "r" in area.perms and not area.path.startswith("[v"):
                memory.seek(start)
                found.append(memory.read(end - start))
    return b"".join(found)
