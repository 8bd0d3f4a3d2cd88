"""What a session is: values, periods, cookies, changes, and the decision what to do with them.

The code here is pure: it does no I/O, and uses no event loop, Starlette or psycopg. Any module of
pgsession can import it. It imports only `pgsession.errors`.
"""
