"""Every statement on the session table, for many callers at once.

Other modules import only `table` and `text` from here. This package imports
`pgsession.postgres.rows`, `pgsession.postgres.connections`, `pgsession.core` and
`pgsession.errors`.
"""
