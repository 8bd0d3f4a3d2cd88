"""Connections to PostgreSQL: opening, acquiring, locking, time limits, and the driver's errors.

From outside, import `runner`, `dedicated`, `locks`, `pool`, `pooler`, `conninfo` and the types
in `connection` and `own_pool`. This room imports only `pgsession.errors`.
"""
