"""Requests in, responses out: the only room that knows ASGI messages and Starlette's types.

From outside, import `middleware` only. This room imports `pgsession.settings`, `pgsession.core`
and `pgsession.errors`, and knows stores by the Protocol in `core.store` alone.
"""
