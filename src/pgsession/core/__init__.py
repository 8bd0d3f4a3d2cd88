"""What a session is: values, periods, cookies, changes, and the decision what to do with them.

Pure: no I/O, no event loop, neither Starlette nor psycopg. Every module here may be imported from
anywhere in pgsession. This room imports only `pgsession.errors`.
"""
