"""The store in PostgreSQL: statements, batches, the schema, and the embedded server.

From outside, import `store`, `schema` and `embedded`; the command line also imports from
`connections` and `sweeping`. This room imports `pgsession.core` and `pgsession.errors`, never
Starlette.
"""
