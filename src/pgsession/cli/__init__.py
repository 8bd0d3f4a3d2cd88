"""The command line: the commands, and the checks of ``pgsession check``.

Other modules import only `commands` from here (``pgsession.__main__`` does). This package imports
`pgsession.settings`, `pgsession.postgres` and `pgsession.errors`.
"""
