"""Removing what has expired: one sweep, and the task that sweeps at intervals.

From outside, import `sweep`, `sweeper` and `Expired` of `statements`. This room imports
`postgres.connections`, `postgres.table_name` and `pgsession.errors`.
"""
