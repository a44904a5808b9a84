"""Writes the first database revision anew from the tables in the code; only until the first release.

`uv run --group lint python packaging/first_revision.py`, then `nox -s lint` and `pytest host/tests/db`, then commit the
tables and the revision together. After the first release a change of a table is a new file in `migrations/versions`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import dify_host.apps.tables as apps
import dify_host.datasources.tables as datasources
import dify_host.db.outbox as outbox
import dify_host.files.tables as files
import dify_host.human.tables as human
import dify_host.identity.tables as identity
import dify_host.knowledge.tables as knowledge
import dify_host.models.tables as models
import dify_host.pipelines.tables as pipelines
import dify_host.runs.tables as runs
import dify_host.tools.tables as tools
import sqlalchemy as sa
from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext
from alembic.migration import MigrationContext
from alembic.operations import ops
from dify_host.db import migrate
from dify_host.db.catalog import metadata

__all__ = ["main"]

_FOLDER = Path(migrate.__file__).parent / "migrations" / "first"
_OF_DOCUMENTS = ("child_chunks", "document", "embeddings", "segment_")
_OPTIONS = {"render_as_batch": False, "sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op."}
_HEAD = '''"""The first tables of {what}, as the first revision makes them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from dify_host.db import types
from dify_host.db.migrations.creation import create_table

'''


def main() -> int:
    """Write every file of the first revision and format them; 1 when a table belongs to none of them."""
    groups = _groups()
    missing = set(metadata.tables) - {table.name for _, tables in groups.values() for table in tables}
    if missing:
        print(f"No file holds {', '.join(sorted(missing))}: add the module to this script.")  # noqa: T201
        return 1
    with sa.create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(connection, opts={**migrate._options(), **_OPTIONS})
        for name, (what, tables) in groups.items():
            text = _HEAD.format(what=what) + _source(AutogenContext(context), tables)
            (_FOLDER / f"{name}.py").write_text(text, "utf-8")
    for command in (["format", "-q"], ["check", "--fix", "-q"], ["format", "-q"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, str(_FOLDER)], check=True)  # noqa: S603 - fixed words
    return 0


def _groups() -> dict[str, tuple[str, list[sa.Table]]]:
    """File -> what it holds, in words and in tables; tables in the order of their modules."""
    of_runs = [table for table in _tables(runs) if table.name.startswith("workflow_")]
    others = [table for table in _tables(runs) if table not in of_runs]
    pieces = [table for table in _tables(knowledge) if table.name.startswith(_OF_DOCUMENTS)]
    in_order = sorted([*of_runs, *_tables(human)], key=lambda table: table.name)
    return {
        "identity": ("accounts, workspaces, members, end users and keys", _tables(identity)),
        "apps": ("apps, workflows, sites and tags", _tables(apps)),
        "conversations": ("conversations and messages", others),
        "runs": ("workflow runs, their log, their forms, and the outbox", [*in_order, outbox.outbox]),
        "knowledge": ("knowledge bases", [table for table in _tables(knowledge) if table not in pieces]),
        "documents": ("documents and what they are cut into", pieces),
        "pipelines": ("knowledge pipelines", _tables(pipelines)),
        "settings": (
            "files, models, tools and data sources",
            [*_tables(files), *_tables(models), *_tables(tools), *_tables(datasources)],
        ),
    }


def _tables(module: ModuleType) -> list[sa.Table]:
    return [item for name in module.__all__ if isinstance(item := getattr(module, name), sa.Table)]


def _source(context: AutogenContext, tables: Iterable[sa.Table]) -> str:
    """A function a table, and the tuple that names them all."""
    written = []
    for table in tables:
        steps = [render_op_text(context, _creation(table)).replace("op.create_table(", "create_table(")]
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        steps += [render_op_text(context, ops.CreateIndexOp.from_index(index)) for index in indexes]
        body = "\n".join(f"    {line}" for step in steps for line in step.splitlines())
        written.append((table.name, f'\n\ndef {table.name}() -> None:\n    """Create `{table.name}`."""\n{body}\n'))
    names = "".join(f"    {name},\n" for name, _ in written)
    return "".join(source for _, source in written) + f"\n\nTABLES = (\n{names})\n"


def _creation(table: sa.Table) -> ops.CreateTableOp:
    """The table without the options of the engines, which `create_table` adds."""
    operation = ops.CreateTableOp.from_table(table)
    operation.kw, operation.info = {}, {}
    return operation


if __name__ == "__main__":
    sys.exit(main())
