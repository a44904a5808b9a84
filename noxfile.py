"""Every command of the workspace. Sessions over packages are built from the folder list, never a hand-kept matrix.

`nox -s lint types tests` is what a change must pass; `live` runs real servers and models, `bench` prints ratios,
`wheels` installs the smallest bundle from built wheels into an empty environment, runs an app there, and adds stores.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import nox

ROOT = Path(__file__).parent
PLUGINS = sorted(path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml"))
TYPED = ["kernel/src", "host/src", *(f"plugins/{name}/src" for name in PLUGINS)]

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]


def uv(session: nox.Session, *args: str, groups: tuple[str, ...] = ("test",), **env: str) -> None:
    """Run a command in the workspace's environment with every package and these dependency groups."""
    chosen = [part for group in groups for part in ("--group", group)]
    session.run("uv", "run", "--all-packages", *chosen, *args, external=True, env={**os.environ, **env})


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, and who may import whom."""
    uv(session, "ruff", "check", ".", groups=("lint",))
    uv(session, "ruff", "format", "--check", ".", groups=("lint",))
    uv(session, "lint-imports", groups=("lint",))


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over every package's source."""
    uv(session, "mypy", *TYPED, groups=("lint", "test"))


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that runs without a model: unit, contract and end-to-end tests, two processes side by side."""
    left_out = "not live and not bench and not faults and not large"
    args = session.posargs or ["-n", "2", "--dist", "loadgroup", "-m", left_out, "-q"]
    uv(session, "pytest", *args)


@nox.session
def live(session: nox.Session) -> None:
    """Tests against real models and servers, which they start and stop; stores write down what proved them."""
    marked = ("-m", "live or proof", "--write-proof", "-p", "no:xdist", "-q")
    uv(session, "pytest", *marked, *session.posargs, groups=("test", "live"))


@nox.session
def bench(session: nox.Session) -> None:
    """Print the figures of tests/benchmarks beside a floor measured in the same run."""
    command = ("pytest", "tests/benchmarks", "-m", "bench", "-q", "-s", "-p", "no:xdist")
    uv(session, *command, *session.posargs, groups=("test", "bench"))


@nox.session
def faults(session: nox.Session) -> None:
    """Kill processes, databases and queues under load, and hold every run to what is promised; prints a table."""
    uv(session, "pytest", "tests/faults", "-q", "-p", "no:xdist", *session.posargs)


@nox.session
@nox.parametrize("plugin", PLUGINS)
def contract(session: nox.Session, plugin: str) -> None:
    """The tests of one plugin: its contract suite and its own."""
    uv(session, "pytest", f"plugins/{plugin}", "-q", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Build every wheel; import each plugin with what it declares; run an app on the smallest bundle; try stores."""
    work = Path(tempfile.mkdtemp(prefix="dify-wheels-"))
    try:
        session.run("uv", "build", "--all-packages", "--wheel", "-q", "-o", str(work / "dist"), external=True)
        # The wheels just built, by address: no index may answer for their names.
        built = [f"{path.name.split('-')[0]} @ {path.as_uri()}" for path in sorted((work / "dist").glob("*.whl"))]
        (work / "built.txt").write_text("\n".join(built))
        for name in PLUGINS:
            python = empty_environment(session, work, f"dify-{name.replace('_', '-')}")
            session.run(python, str(ROOT / "tests" / "wheels" / "imports.py"), f"dify_{name}", external=True)
        session.run(
            empty_environment(session, work, "dify"),
            str(ROOT / "tests" / "wheels" / "smoke.py"),
            str(ROOT / "examples"),
            external=True,
            env={**os.environ, "DIFY_DATA": str(work / "data")},
        )
        stores = ("pytest", "tests/wheels/stores.py", "-q", "-p", "no:xdist", "-p", "no:cacheprovider")
        uv(session, *stores, groups=("test", "live"), DIFY_BUILT=str(work / "built.txt"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def empty_environment(session: nox.Session, work: Path, distribution: str) -> str:
    """Make an environment that holds one built distribution and what it declares; return its python."""
    folder = work / "environments" / distribution
    session.run("uv", "venv", "-q", str(folder), external=True)
    python = str(folder / "bin" / "python")
    limits = ["--constraints", str(work / "built.txt")]
    session.run("uv", "pip", "install", "-q", "--python", python, *limits, distribution, external=True)
    return python
