"""The command line: the commands, and the checks behind ``pgsession check``.

From outside, import `commands` only (``pgsession.__main__`` does). This room imports
`pgsession.settings`, `pgsession.postgres`, `pgsession.core` and `pgsession.errors`.
"""
