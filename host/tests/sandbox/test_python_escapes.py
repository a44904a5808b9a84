"""Known ways out of a Python sandbox: each is contained, and the run after it finds its world as new."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import dify_host
import msgspec
import pytest
from dify_host.sandbox import SandboxPool
from dify_host.sandbox.jail import seccomp
from dify_kernel.errors import CodeExecutionError

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("unharmed")]


async def failure(pool: SandboxPool, code: str, inputs: dict[str, Any]) -> str:
    """The type of the error that the code ends with."""
    with pytest.raises(CodeExecutionError) as caught:
        await pool.execute("python3", code, inputs)
    return str(caught.value.where.get("error_type"))


WALKS = {
    "subclasses to os.system": """
def main():
    found = [c for c in ().__class__.__base__.__subclasses__() if c.__name__ == "_wrap_close"][0]
    names = found.__init__.__globals__
    return [names["system"]("echo x > /tmp/mark"), names["listdir"]("/tmp")]
""",
    "format string to the module": """
def main():
    class Seen(str):
        pass
    names = Seen.__init_subclass__.__self__
    os = __import__("warnings").catch_warnings.__init__.__globals__["sys"].modules["os"]
    return [os.system("echo x > /tmp/mark"), os.listdir("/tmp")]
""",
    "traceback to the frames above": """
import os
def main():
    try:
        raise ValueError
    except ValueError as exc:
        frame = exc.__traceback__.tb_frame
    while frame.f_back is not None:
        frame = frame.f_back
    return [frame.f_globals["sys"].modules["os"].system("echo x > /tmp/mark"), os.listdir("/tmp")]
""",
    "generator to the frames above": """
import os
def main():
    def walk():
        frame = running.gi_frame
        while frame.f_back is not None:
            frame = frame.f_back
        yield frame.f_builtins["__import__"]("os").system("echo x > /tmp/mark")
    running = walk()
    return [next(running), os.listdir("/tmp")]
""",
    "coroutine to its names": """
import os
def main():
    async def nothing():
        pass
    task = nothing()
    names = task.cr_frame.f_builtins
    task.close()
    return [names["__import__"]("os").system("echo x > /tmp/mark"), os.listdir("/tmp")]
""",
    "ctypes to the C library": """
import ctypes, os
def main():
    return [ctypes.CDLL(None).system(b"echo x > /tmp/mark"), os.listdir("/tmp")]
""",
}


@pytest.mark.parametrize("code", WALKS.values(), ids=WALKS)
async def test_what_an_object_walk_finds_starts_no_program(pool: SandboxPool, code: str) -> None:
    """The jail hides no name from the code: it counts on what the names can do."""
    status, scratch = await pool.execute("python3", code, {})
    assert status in (-1, 127 << 8)
    assert scratch == []


PROGRAMS = {
    "popen": "import os\ndef main():\n    return os.popen('echo x').read()\n",
    "spawn": "import os\ndef main():\n    return os.posix_spawn('/bin/true', ['true'], {})\n",
    "fork_exec": "import subprocess\ndef main():\n    return subprocess.check_output(['/bin/sh', '-c', 'id'])\n",
    "forkpty": "import os\ndef main():\n    return os.forkpty()\n",
    "exec of what it wrote": """
import os
def main():
    with open("/tmp/program", "w") as file:
        file.write("#!/bin/sh")
    os.execv("/tmp/program", ["program"])
""",
    "exec by descriptor": "import os\ndef main():\n    os.execve(os.open(os.__file__, os.O_RDONLY), ['x'], {})\n",
    "process pool": "import multiprocessing\ndef main():\n    multiprocessing.Process(target=int).start()\n",
    "a daemon": "import os\ndef main():\n    if os.fork() == 0:\n        os.setsid()\n        os.fork()\n",
}


@pytest.mark.parametrize("code", PROGRAMS.values(), ids=PROGRAMS)
async def test_no_second_process(pool: SandboxPool, code: str) -> None:
    assert await failure(pool, code, {}) in ("PermissionError", "FileNotFoundError")


# uretprobe and uprobe of x86_64: Linux lets no filter refuse them, and ends the process that has no probe to come from.
_PROBES = {335, 336} if os.uname().machine == "x86_64" else set()


async def test_every_call_that_is_not_on_the_list_is_refused(pool: SandboxPool) -> None:
    """io_uring, userfaultfd, bpf, keyctl, mount, unshare, setns, ptrace and the rest, those of tomorrow among them."""
    code = """
import ctypes
def main(numbers):
    libc = ctypes.CDLL(None, use_errno=True)
    answers = set()
    for number in numbers:
        ctypes.set_errno(0)
        answers.add((libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0), ctypes.get_errno()))
    return sorted(answers)
"""
    column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    answered = {numbers[column] for numbers in seccomp.ALLOWED.values()}
    answered |= {numbers[column] for numbers, _ in seccomp.REFUSED_WITH.values()}
    refused = [number for number in range(1024) if number not in answered | _PROBES]
    assert await pool.execute("python3", code, {"numbers": refused}) == [[-1, errno.EPERM]]
    for number in _PROBES:
        inputs = msgspec.json.encode({"numbers": [number]})
        result = await pool.run("python3", code, inputs, timeout=10)
        assert result.result in (None, b"[[-1,1]]", b"[[-1,6]]")
    if column == 0:  # the calls of the x32 family, under other numbers
        x32 = [0x40000000 + number for number in range(1024)]
        assert await pool.execute("python3", code, {"numbers": x32}) == [[-1, errno.EPERM]]


async def test_new_namespaces_by_clone3(pool: SandboxPool) -> None:
    code = """
import ctypes
def main():
    libc = ctypes.CDLL(None, use_errno=True)
    record = (ctypes.c_uint64 * 11)(0x10000000 | 0x40000000 | 0x20000)
    return [libc.syscall(ctypes.c_long(435), ctypes.byref(record), ctypes.c_long(88)), ctypes.get_errno()]
"""
    assert await pool.execute("python3", code, {}) == [-1, errno.ENOSYS]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the machine code below is for x86_64")
async def test_machine_code(pool: SandboxPool) -> None:
    """Own instructions go around every library; the calls of the 32-bit table have other numbers."""
    code = """
import ctypes, mmap
def main(instructions):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex(instructions))
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
    socket_call = "b829000000bf02000000be0100000031d20f05c3"
    assert await pool.execute("python3", code, {"instructions": socket_call}) == -errno.EPERM
    get_pid_as_32_bit_call = "b814000000cd80c3"
    assert await failure(pool, code, {"instructions": get_pid_as_32_bit_call}) == "NoResult"


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/mem", "/proc/1/mem", "/proc/self/fd/0", "/proc/1/root/etc/passwd", "/proc/self/cwd", "/dev/fd/0",
        "/proc/sys/kernel/core_pattern", "/sys/kernel", "/dev/mem", "/dev/shm", "/dev/kvm", "/dev/null", "/run",
        "/var/run/docker.sock", "/srv", "/mnt", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/boot",
        "../../../../../../etc/passwd", "/tmp/../proc/self", "//proc", "/lib/../etc/shadow", "/..//proc/1",
    ],
)  # fmt: skip
async def test_paths_of_the_host(pool: SandboxPool, path: str) -> None:
    code = "import os\ndef main(path):\n    return os.listdir(path) if os.path.isdir(path) else open(path).read(99)\n"
    assert await failure(pool, code, {"path": path}) == "FileNotFoundError"


async def test_the_data_folder(pool: SandboxPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dify.db").write_text("rows")
    monkeypatch.chdir(tmp_path)
    code = "import os\ndef main(path):\n    return os.stat(path).st_size\n"
    for path in (tmp_path / "dify.db", "dify.db", tmp_path, Path(dify_host.__file__)):
        assert await failure(pool, code, {"path": str(path)}) == "FileNotFoundError"


DOORS = {
    "symlink": "os.symlink('/etc/passwd', '/tmp/link')",
    "link": "os.link(os.__file__, '/tmp/link')",
    "device": "os.mknod('/tmp/device', 0o600 | 0o20000, os.makedev(1, 1))",
    "fifo": "os.mkfifo('/tmp/fifo')",
    "chroot": "os.chroot('/tmp')",
    "folder by descriptor": "os.fchdir(os.open('/', os.O_RDONLY))",
    "owner": "os.chown('/tmp', 0, 0)",
    "mode": "os.chmod(os.__file__, 0o777)",
    "move": "os.rename(os.__file__, '/tmp/os.py')",
    "delete": "os.unlink(os.__file__)",
    "truncate": "os.truncate(os.__file__, 0)",
    "user": "os.setuid(0)",
    "group": "os.setgroups([0])",
    "priority": "os.nice(-5)",
    "scheduler": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
    "limits": "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))",
    "limits of others": "resource.prlimit(1, resource.RLIMIT_AS, (1, 1))",
    "session": "os.setsid()",
    "everybody": "os.kill(-1, signal.SIGKILL)",
    "group of processes": "os.killpg(0, signal.SIGKILL)",
    "stop": "os.kill(os.getpid(), signal.SIGSTOP)",
    "stop by thread": "signal.raise_signal(signal.SIGSTOP)",
    "process descriptor": "os.pidfd_open(1)",
    "anonymous file": "os.memfd_create('x')",
    "event descriptor": "os.eventfd(0)",
    "host name": "socket.sethostname('mine')",
    "attributes": "os.setxattr('/tmp', 'user.x', b'1')",
    "copy by the kernel": "os.sendfile(1, os.open(os.__file__, os.O_RDONLY), 0, 9)",
    "splice": "os.splice(os.open(os.__file__, os.O_RDONLY), 3, 9)",
}


@pytest.mark.parametrize("action", DOORS.values(), ids=DOORS)
async def test_doors_of_the_standard_library(pool: SandboxPool, action: str) -> None:
    code = f"import os, resource, signal, socket\ndef main():\n    {action}\n    return 'done'\n"
    assert await failure(pool, code, {}) in ("PermissionError", "OSError", "ValueError")


@pytest.mark.parametrize(
    "family",
    ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_VSOCK", "AF_ALG", "AF_CAN", "AF_TIPC"],
)
async def test_no_socket_of_any_family(pool: SandboxPool, family: str) -> None:
    code = "import socket\ndef main(family, kind):\n    socket.socket(getattr(socket, family), kind)\n"
    for kind in (1, 2, 3, 5):
        assert await failure(pool, code, {"family": family, "kind": kind}) == "PermissionError"


async def test_no_pair_of_sockets_no_names_and_no_foreign_socket(pool: SandboxPool) -> None:
    pair = "import socket\ndef main():\n    socket.socketpair()\n"
    assert await failure(pool, pair, {}) == "PermissionError"
    name = "import socket\ndef main():\n    return socket.getaddrinfo('example.com', 80)\n"
    assert await failure(pool, name, {}) == "gaierror"
    foreign = "import socket\ndef main():\n    for fd in range(64):\n        socket.socket(fileno=fd)\n"
    assert await failure(pool, foreign, {}) in ("PermissionError", "OSError")


async def test_a_signal_by_way_of_a_descriptor(pool: SandboxPool) -> None:
    """The owner of a descriptor gets signals; only a process of the same namespace can be one, and there is none."""
    code = """
import fcntl, os
def main(pid):
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, pid)
    return fcntl.fcntl(reader, fcntl.F_GETOWN)
"""
    for pid in (pool.helper_pid, os.getpid(), 2):
        assert await failure(pool, code, {"pid": pid}) == "ProcessLookupError"


async def test_the_machine_has_another_name(pool: SandboxPool) -> None:
    names = await pool.execute("python3", "import os\ndef main():\n    return os.uname().nodename\n", {})
    assert names == "sandbox"


async def test_no_variable_reaches_the_c_library(pool: SandboxPool) -> None:
    code = """
import ctypes
def main():
    return ctypes.POINTER(ctypes.c_char_p).in_dll(ctypes.CDLL(None), "environ")[0]
"""
    assert await pool.execute("python3", code, {}) is None


async def test_the_hosts_processes_are_not_counted(pool: SandboxPool) -> None:
    code = """
import os
def main(pids):
    seen = []
    for pid in pids:
        for ask in (os.getpgid, os.getsid, lambda pid: os.sched_getaffinity(pid)):
            try:
                ask(pid)
                seen.append(pid)
            except OSError:
                pass
    return seen
"""
    assert await pool.execute("python3", code, {"pids": [pool.helper_pid, os.getpid(), os.getppid(), 2]}) == []
