"""A real PostgreSQL 18 on a folder of yours; see `pgsession.postgres.embedded`."""

from pgsession.postgres.embedded import embedded_server

__all__ = ["embedded_server"]
