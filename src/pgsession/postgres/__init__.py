"""The store in PostgreSQL: statements, batches, the schema, and the embedded server.

From outside, import `store`, `schema`, `table_name` and `embedded`. The settings and the command
line also import from `connections`, `sweeping` and `validation`. This room imports
`pgsession.core` and `pgsession.errors`, never Starlette.
"""
