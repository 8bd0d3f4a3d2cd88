"""`SessionTables` in typed code of Alembic. mypy and pyright, both strict, check this file too."""

from collections.abc import Callable
from typing import assert_type

from alembic import context, op
from sqlalchemy.engine import Connection

from pgsession.alembic import SessionTables

TABLES = SessionTables("web")


def configure(connection: Connection) -> None:
    context.configure(
        connection=connection,
        include_object=TABLES.include_object,
        include_name=TABLES.include_name,
    )


def upgrade() -> None:
    assert_type(TABLES.upgrade(op.get_bind()), list[str])


def test_typed() -> None:
    """The filters and `upgrade` are what Alembic and its revisions take."""
    filters: list[Callable[..., bool]] = [TABLES.include_object, TABLES.include_name]
    assert all(map(callable, [*filters, configure, upgrade]))
