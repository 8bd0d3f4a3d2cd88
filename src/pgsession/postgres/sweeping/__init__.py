"""Removing what has expired: one sweep, and the task that sweeps now and then.

From outside, import `sweep` and `sweeper`. This room imports `postgres.connections`,
`postgres.schema`, `pgsession.core` and `pgsession.errors`.
"""
