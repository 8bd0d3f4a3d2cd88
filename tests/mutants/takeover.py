"""Mutants of taking over the sessions from before a switch."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

TAKEOVER: Final = (
    Mutant(
        "parallel first requests do not agree on a key",
        (
            Edit(
                "core/predecessor.py",
                'Hidden(signer.sign(identity)[:40], "ascii")',
                "new_key()",
            ),
            Edit(
                "core/predecessor.py",
                "from pgsession.core.period",
                "from pgsession.core.keys import new_key\nfrom pgsession.core.period",
            ),
        ),
        (
            "tests/asgi/test_takeover.py::test_parallel[memory]",
            "tests/asgi/test_takeover.py::test_parallel[postgres]",
        ),
    ),
    Mutant(
        "a session that has ended is taken over again",
        (
            Edit(
                "postgres/statements/adopting.py",
                "    %s::pg_catalog.text,\n    %s::pg_catalog.text,\n    NULL",
                "    %s::pg_catalog.text OPERATOR(pg_catalog.||)"
                " pg_catalog.clock_timestamp()::pg_catalog.text,\n"
                "    %s::pg_catalog.text,\n    NULL",
            ),
            Edit(
                "memory/adoptions.py",
                "self._rows[adoption.marker] = Row(",
                "self._rows[adoption.marker + str(now)] = Row(",
            ),
        ),
        (
            "tests/contract/test_adopting.py::test_ended[memory]",
            "tests/contract/test_adopting.py::test_ended[postgres]",
            "tests/asgi/test_takeover.py::test_logout[postgres]",
            "tests/asgi/test_takeover.py::test_renewed[/renew]",
        ),
    ),
    Mutant(
        "the marker depends on the secret",
        (
            Edit(
                "asgi/takeover.py",
                "marker=marker_of(identity),",
                "marker=marker_of(identity + self._derivation.keys(identity)[0].encode()),",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_rotated_secret",),
    ),
    Mutant(
        "the identity is the text of the cookie",
        (
            Edit(
                "predecessors/starlette_cookie.py",
                'identity=b"starlette:%d:%s" % (int(signed_at.timestamp()), decoded),',
                "identity=value,",
            ),
        ),
        (
            "tests/predecessors/test_formats.py::test_respelled",
            "tests/asgi/test_takeover.py::test_respelled",
        ),
    ),
    Mutant(
        "browsers with the same old cookie share a session",
        (Edit("asgi/takeover.py", "if not old.is_unique and user_id is None:", "if False:"),),
        ("tests/asgi/test_takeover.py::test_same_second",),
    ),
    Mutant(
        "a limit of sessions ends the marker",
        (
            Edit(
                "postgres/statements/adopting.py",
                "    {later},\n    {later},\n    {later},\n",
                "    {later},\n    least({later}, pg_catalog.now()),\n"
                "    least({later}, pg_catalog.now()),\n",
            ),
        ),
        ("tests/postgres/test_adopting.py::test_swept",),
    ),
    Mutant(
        "a marker looks like a session",
        (
            Edit(
                "postgres/statements/adopting.py",
                "            MARKER,\n            *[",
                "            None,\n            *[",
            ),
        ),
        (
            "tests/postgres/test_adopting.py::test_rows",
            "tests/postgres/test_adopting.py::test_statements",
        ),
    ),
    Mutant(
        "who was taken over counts as signed in just now",
        (
            Edit(
                "postgres/statements/adopting.py",
                "THEN '1970-01-01 00:00:00+00'::timestamp with time zone",
                "THEN pg_catalog.now()",
            ),
        ),
        (
            "tests/contract/test_adopting.py::test_user[postgres]",
            "tests/asgi/test_takeover.py::test_user[postgres]",
        ),
    ),
    Mutant(
        "old sessions are taken over after the last day",
        (
            Edit(
                "asgi/takeover.py", "        if time.time() >= self._end:\n", "        if False:\n"
            ),
        ),
        ("tests/asgi/test_takeover.py::test_until",),
    ),
    Mutant(
        "an old store that is away has no sessions",
        (
            Edit(
                "asgi/takeover.py",
                "            failure = type(error).__name__\n",
                "            failure = type(error).__name__\n            return None\n",
            ),
        ),
        (
            "tests/asgi/test_takeover.py::test_away",
            "tests/asgi/test_takeover.py::test_hanging",
        ),
    ),
    Mutant(
        "a request of another site comes with its old session",
        (
            Edit(
                "asgi/takeover.py",
                "if not values or comes_without_cookie(scope, self._cookie.same_site):",
                "if not values:",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_cross_site",),
    ),
    Mutant(
        "a shared cache gets the cookie of who was taken over",
        (
            Edit(
                "asgi/exchange.py",
                "self._cookie_due = False  # the next request",
                "pass  # the next request",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_shared",),
    ),
    Mutant(
        "a page that uses no session does not set the cookie of who was taken over",
        (
            Edit(
                "asgi/exchange.py",
                "            or self._cookie_due  # a session was taken over\n",
                "",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_headers",),
    ),
    Mutant(
        "a logout leaves the old cookie",
        (
            Edit(
                "asgi/takeover.py",
                "if not (self._predecessor.delete or is_ended) or self._is_replaced:",
                "if not self._predecessor.delete or self._is_replaced:",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_logout[memory]",),
    ),
    Mutant(
        "the old cookie goes while old processes need it",
        (
            Edit(
                "asgi/takeover.py",
                "if not (self._predecessor.delete or is_ended) or self._is_replaced:",
                "if self._is_replaced:",
            ),
        ),
        (
            "tests/asgi/test_takeover.py::test_kept",
            "tests/asgi/test_takeover.py::test_rolling_deploy",
        ),
    ),
    Mutant(
        "the old cookie opens a session whose cookie was rotated",
        (
            Edit(
                "asgi/takeover.py",
                "None if found is None or found[1].number else found",
                "found",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_rotated",),
    ),
    Mutant(
        "an old session is loaded without the proof of its device",
        (
            Edit(
                "asgi/loading.py",
                "await self._accept(found, taken[1])",
                "taken[1]",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_proof",),
    ),
    Mutant(
        "an old session that another process takes over fails its batch",
        (
            Edit(
                "postgres/statements/adopting.py",
                "            if not is_alone:\n                raise\n",
                "",
            ),
        ),
        ("tests/postgres/test_adopting.py::test_batch",),
    ),
    Mutant(
        "a browser whose session was revoked is taken over again",
        (
            Edit(
                "asgi/loading.py",
                "                await self.enforce()\n        return True\n",
                "                await self.enforce()\n        return self._came_alive or "
                "await self._take_over()\n",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_dead_ours",),
    ),
    Mutant(
        "every form of an id is looked up",
        (
            Edit(
                "predecessors/flask_redis.py",
                "if session_id is None or _ID.fullmatch(session_id) is None:",
                "if session_id is None:",
            ),
        ),
        ("tests/predecessors/test_formats.py::test_no_query",),
    ),
)
