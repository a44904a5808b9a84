"""`dify db`: the schema of the database that the environment names."""

from __future__ import annotations

import click
from dify_kernel.errors import DifyError

from dify_host.cli.call import Call, takes_call

__all__ = ["db"]


class SchemaDiffers(DifyError):
    """The database is not at the schema of this version."""

    code = "schema_differs"


@click.group()
def db() -> None:
    """Upgrade the database, or tell how it differs."""


@db.command()
@takes_call
def upgrade(call: Call) -> None:
    """Bring the database to the schema of this version; repeating it changes nothing."""
    from dify_host.db import migrate

    url = _url(call)
    before = call.run(migrate.current(url))
    call.run(migrate.upgrade(url))
    revision = migrate.head()
    call.out.done(f"The database is at {revision}" + (f" (was {before})." if before != revision else " already."))
    call.out.result({"revision": revision, "before": before})


@db.command()
@takes_call
def check(call: Call) -> None:
    """Tell how the database differs from this version; exit with 1 when it does."""
    from dify_host.db import migrate

    differences = call.run(migrate.check(_url(call)))
    if differences:
        raise SchemaDiffers(f"{'; '.join(differences)}.", hint="Run `dify db upgrade`.")
    call.out.done("The database has the schema of this version.")
    call.out.result({"differences": []})


def _url(call: Call) -> str:
    """Return the database's URL; SQLite's folder is made, as SQLite makes no folders."""
    from dify_host.settings import HostSettings

    settings = HostSettings.read(call.env)
    settings.make_data()
    return settings.database
