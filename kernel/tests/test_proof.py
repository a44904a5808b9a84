"""Proofs are written from what ran and read without an import; servers of tests start, restart, and leave nothing."""

import socket
import sys
import urllib.request

import msgspec
import psutil
import pytest
from dify_kernel.proof import Proof, Proven, proofs_of, read_proofs, summary
from dify_kernel.testing.proof import ProofRecorder, module_folder
from dify_kernel.testing.server import Server, free_ports, program

pytest_plugins = ["pytester"]

LIVE = Proven(kind="live", engine="Acme 8.0", suite="TestServer", passed=80, skipped=2)
OTHER = Proven(kind="compatible", engine="Acne 9.1", suite="TestAnother", passed=80, gaps=2)

SUITE = """
import pytest
from dify_kernel.proof import Proof
from dify_kernel.testing.memory_storage import MemoryStorage
from dify_kernel.testing.storage import StorageSuite

class TestContract(StorageSuite):
    @pytest.fixture
    async def storage(self):
        storage = MemoryStorage()
        await storage.open()
        yield storage

    @pytest.fixture
    def proof(self):
        return Proof("{kind}", "memory 1.0")
"""


@pytest.fixture
def package(pytester, monkeypatch):
    """A plugin's package with a suite over the reference."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    folder = pytester.path / "plugins" / "storage_acme"
    module = folder / "src" / "dify_storage_acme"
    (folder / "tests").mkdir(parents=True)
    module.mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname = 'dify-storage-acme'\n")
    (module / "plugin.py").write_text("")
    (folder / "tests" / "test_contract.py").write_text(SUITE.format(kind="live"))
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    return folder


def run(pytester, *arguments):
    return pytester.runpytest_inprocess("-q", "-p", "no:xdist", "-p", "no:cacheprovider", *arguments)


def test_a_whole_run_writes_what_ran(pytester, package):
    module = package / "src" / "dify_storage_acme"
    assert module_folder(package / "tests" / "test_contract.py") == module
    assert read_proofs(module) == []
    done = run(pytester, "-m", "proof", "--write-proof")
    (proven,) = read_proofs(module)
    assert (proven.kind, proven.engine, proven.suite, proven.failed) == ("live", "memory 1.0", "TestContract", 0)
    outcomes = done.parseoutcomes()
    assert (proven.passed + 1, proven.skipped) == (
        outcomes["passed"],
        outcomes["skipped"],
    )  # one test is the proof's own


def test_a_part_of_a_suite_proves_nothing(pytester, package):
    done = run(pytester, "-k", "test_deletes or test_saves", "--write-proof")
    assert read_proofs(package / "src" / "dify_storage_acme") == []
    done.stdout.fnmatch_lines(["*no proof is written of a part*"])


def test_a_failing_run_is_no_proof(pytester, package):
    test = package / "tests" / "test_contract.py"
    test.write_text(
        test.read_text()
        .replace("import MemoryStorage", "import MemoryStorage as Good")
        .replace(
            "class TestContract",
            "class MemoryStorage(Good):\n    async def delete(self, key): pass\n\nclass TestContract",
        )
    )
    run(pytester, "--write-proof")
    (proven,) = read_proofs(package / "src" / "dify_storage_acme")
    assert proven.failed > 0
    assert summary([proven]) == "failing: memory 1.0"


def test_a_class_above_what_ran_is_refused(pytester, package):
    module = package / "src" / "dify_storage_acme"
    (package / "tests" / "test_contract.py").write_text(SUITE.format(kind="simulated"))
    claimed = Proven(kind="live", engine="Acme 8.0", suite="TestContract", passed=80)
    (module / "proof.json").write_bytes(msgspec.json.encode([claimed]))
    run(pytester, "-k", "test_the_written_proof_agrees").assert_outcomes(failed=1, deselected=len_of_suite() - 1)
    (module / "proof.json").write_bytes(msgspec.json.encode([msgspec.structs.replace(claimed, kind="simulated")]))
    run(pytester, "-k", "test_the_written_proof_agrees").assert_outcomes(passed=1, deselected=len_of_suite() - 1)


def len_of_suite():
    from dify_kernel.testing.honesty import contract_tests
    from dify_kernel.testing.storage import StorageSuite

    return len(contract_tests(StorageSuite)) + 1


def test_a_suite_that_did_not_run_keeps_its_proof(tmp_path):
    (tmp_path / "proof.json").write_bytes(msgspec.json.encode([LIVE]))
    recorder = ProofRecorder(tmp_path)
    assert recorder.write() == []
    assert read_proofs(tmp_path) == [LIVE]


def test_proofs_in_a_line_the_strongest_first(tmp_path):
    (tmp_path / "proof.json").write_bytes(msgspec.json.encode([OTHER, LIVE]))
    assert summary(read_proofs(tmp_path)) == "live: Acme 8.0; compatible: Acne 9.1 (2 gaps)"
    assert summary([]) == ""


def test_proofs_are_read_without_importing_the_plugin(tmp_path, monkeypatch):
    package = tmp_path / "dify_vdb_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "proof.json").write_bytes(msgspec.json.encode([LIVE]))
    monkeypatch.syspath_prepend(str(tmp_path))
    assert proofs_of("dify_vdb_of_a_test.plugin") == [LIVE]
    assert proofs_of("dify_vdb_nobody.plugin") == []


def test_a_kind_of_proof_that_nobody_knows_is_refused():
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kind": "certified", "engine": "x"}, Proof)


# -- servers of tests -------------------------------------------------------------------------------------------------


def http_server(it):
    return [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(it.port)]


async def test_a_server_starts_restarts_and_ends(tmp_path):
    (tmp_path / "page").write_text("kept")
    with Server(http_server, folder=tmp_path) as server:
        address = f"http://127.0.0.1:{server.port}/page"
        assert urllib.request.urlopen(address).read() == b"kept"
        first = server._process.pid
        await server.restart()
        assert urllib.request.urlopen(address).read() == b"kept"
        second = server._process.pid
    assert first != second
    assert not psutil.pid_exists(first)
    assert not psutil.pid_exists(second)
    server.stop()
    with pytest.raises(OSError, match="refused"):
        server.connect()


def test_a_server_takes_its_children_along(tmp_path):
    command = f"{sys.executable} -m http.server --bind 127.0.0.1 $0 & echo $! > child; wait"
    with Server(lambda it: ["/bin/sh", "-c", command, str(it.port)], folder=tmp_path):
        child = psutil.Process(int((tmp_path / "child").read_text()))
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_a_server_that_ends_tells_what_it_printed(tmp_path):
    with pytest.raises(AssertionError, match="no such option --nonsense"):
        Server(
            lambda it: [sys.executable, "-c", "raise SystemExit('no such option --nonsense')"], folder=tmp_path
        ).start()


def test_ports_are_free_also_above_them():
    ports = free_ports(3, twin=10_000)
    assert len(set(ports)) == 3
    for port in ports:
        for number in (port, port + 10_000):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", number))


def test_a_missing_program_skips():
    with pytest.raises(pytest.skip.Exception, match="is not installed"):
        program("no-such-program-anywhere")
    assert program("python3")
