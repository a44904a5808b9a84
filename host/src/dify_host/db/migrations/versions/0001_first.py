"""The first tables.

Revision 0001, after nothing.
"""

from __future__ import annotations

from alembic import op
from dify_host.db.migrations.first import apps, conversations, documents, identity, knowledge, pipelines, runs, settings

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_GROUPS = (identity, apps, conversations, runs, knowledge, documents, pipelines, settings)
_CREATE = [create for group in _GROUPS for create in group.TABLES]


def upgrade() -> None:
    """Create every table."""
    for create in _CREATE:
        create()


def downgrade() -> None:
    """Drop every table."""
    for create in reversed(_CREATE):
        op.drop_table(create.__name__)
