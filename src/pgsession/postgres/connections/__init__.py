"""Connections to PostgreSQL: opening, lending, locking, deadlines, and the driver's errors.

From outside, import `runner`, `dedicated`, `conninfo` and the type in `connection`. This room
imports `pgsession.core` and `pgsession.errors`, and nothing else of `pgsession.postgres`.
"""
