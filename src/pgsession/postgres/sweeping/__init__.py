"""Removing what has expired: one sweep, and the task that sweeps at intervals.

From outside, import `sweep` and `sweeper`. This room imports `postgres.connections`,
`postgres.schema` and `pgsession.errors`.
"""
