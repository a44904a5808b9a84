"""What alembic runs for each command: configures the connection that `dify_host.db.migrate` hands over."""

from __future__ import annotations

from alembic import context

from dify_host.db.migrate import configure

configure(context)
with context.begin_transaction():
    context.run_migrations()
