"""The table on a Citus cluster, and what can be seen there."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, LiteralString

import psycopg
from psycopg import sql

from pgsession.postgres.schema import migrate
from tests.concurrency.witness import Witness

DISTRIBUTE = "SELECT create_distributed_table('session', 'session_key')"

# A row is locked on its worker, so the coordinator's pg_stat_activity does not tell.
WAITING = """
SELECT count(DISTINCT waits.waiting_gpid)
FROM citus_lock_waits AS waits
JOIN pg_stat_activity AS client ON client.pid = citus_pid_for_gpid(waits.waiting_gpid)
WHERE client.application_name = %s
"""

DELETING = """
SELECT
FROM pg_stat_activity AS client
WHERE client.application_name = %s
  AND client.query ~ 'DELETE'
  AND (
      client.state = 'idle' AND client.query ~ 'SKIP LOCKED'
      OR client.pid IN (
          SELECT citus_pid_for_gpid(waits.waiting_gpid) FROM citus_lock_waits AS waits
      )
  )
"""


class DistributedWitness(Witness):
    """A witness who sees locks on all nodes."""

    waits: ClassVar[LiteralString] = WAITING
    deletes: ClassVar[LiteralString] = DELETING


def distribute(url: str, schema: str) -> None:
    """Spread the table in `schema` over the workers."""
    with psycopg.connect(url, options=f"-csearch_path={schema}", autocommit=True) as connection:
        connection.execute(DISTRIBUTE)


@contextmanager
def distributed_schema(url: str) -> Iterator[str]:
    """A new schema with the table, migrated and distributed; yield its name."""
    name = f"pgsession_test_{secrets.token_hex(8)}"
    migrate(url, schema=name)
    distribute(url, name)
    yield name
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))
