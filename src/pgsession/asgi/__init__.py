"""The ASGI middleware. Only this package knows ASGI messages and Starlette's request types.

Other packages import only `middleware` from here. This package imports `pgsession.settings`,
`pgsession.core` and `pgsession.errors`. It uses a store only through the Protocol in `core.store`.
"""
