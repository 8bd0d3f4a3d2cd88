"""Mutants of taking over the sessions from before a switch."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

TAKEOVER: Final = (
    Mutant(
        "parallel first requests do not agree on a key",
        (
            Edit(
                "core/predecessor.py",
                'Hidden(signer.sign(seed)[:40], "ascii")',
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
                "marker=marker_of(fingerprint(old.identity)),",
                "marker=marker_of(self._derivation.keys(seed)[0].encode()),",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_rotated_secret",),
    ),
    Mutant(
        "the identity is the text of the cookie",
        (
            Edit(
                "predecessors/starlette_cookie.py",
                'identity=b"starlette:" + signer.get_signature(value.rpartition(".")[0]),',
                "identity=value,",
            ),
        ),
        (
            "tests/predecessors/test_formats.py::test_respelled",
            "tests/asgi/test_takeover.py::test_respelled",
        ),
    ),
    Mutant(
        "the identity can be guessed from the table",
        (
            Edit(
                "predecessors/starlette_cookie.py",
                'signer.get_signature(value.rpartition(".")[0])',
                'value.rpartition(".")[0].encode()',
            ),
        ),
        (
            "tests/predecessors/test_formats.py::test_other_old_secret",
            "tests/asgi/test_takeover_secrecy.py::test_leaked_secret[guessed]",
            "tests/asgi/test_takeover_secrecy.py::test_leaked_secret[ours]",
        ),
    ),
    Mutant(
        "an old id and our secret make the new key",
        (
            Edit(
                "core/predecessor.py",
                "fingerprint(old.identity) + fingerprint(old.secret)",
                "fingerprint(old.identity)",
            ),
        ),
        ("tests/asgi/test_takeover_secrecy.py::test_known_id[guessed-seen0]",),
    ),
    Mutant(
        "an id in Django's table and our secret make the new key",
        (
            Edit(
                "predecessors/django_table.py",
                "secret=_hmac(value, secret, salt=_OUR_SALT),",
                'secret=b"",',
            ),
        ),
        ("tests/predecessors/test_formats.py::test_django_secret",),
    ),
    Mutant(
        "the marker depends on the secret of the old application",
        (
            Edit(
                "asgi/takeover.py",
                "marker=marker_of(fingerprint(old.identity)),",
                "marker=marker_of(seed_of(old)),",
            ),
        ),
        ("tests/asgi/test_takeover_secrecy.py::test_other_secret_later",),
    ),
    Mutant(
        "one secret may serve the old application and ours",
        (Edit("asgi/takeover.py", "check_other_secret(predecessor, cookie.secret_keys)", "pass"),),
        (
            "tests/asgi/test_takeover_secrecy.py::test_one_secret[text]",
            "tests/asgi/test_takeover_secrecy.py::test_one_secret[fallback]",
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
                "asgi/takeover.py",
                "        if time.time() >= self._end:\n            return None\n",
                "",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_until",),
    ),
    Mutant(
        "an old store that is away has no sessions",
        (
            Edit(
                "asgi/old_cookies.py",
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
                "if comes_without_cookie(scope, self._same_site):",
                "if False:",
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
                "            and not self._cookie_due\n",
                "",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_headers",),
    ),
    Mutant(
        "a logout leaves the old cookie",
        (
            Edit(
                "asgi/old_cookies.py",
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
                "asgi/old_cookies.py",
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
                "if found is None or found.entry.number or",
                "if found is None or",
            ),
        ),
        ("tests/asgi/test_takeover.py::test_rotated",),
    ),
    Mutant(
        "an old session is loaded without the proof of its device",
        (
            Edit(
                "asgi/loading.py",
                "entry = taken.entry\n                if entry is not None:",
                "entry = taken.entry\n                if False:",
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
    Mutant(
        "a late request with the old cookie overwrites the cookie of a login",
        (
            Edit(
                "asgi/loading.py",
                "            if taken is not None:\n                key",
                "            if taken is not None and taken.entry:\n                key",
            ),
        ),
        (
            "tests/asgi/test_takeover_races.py::test_login[memory-/add]",
            "tests/asgi/test_takeover_races.py::test_login[postgres-/add]",
            "tests/asgi/test_takeover_races.py::test_login_refused",
            "tests/asgi/test_takeover_deletion.py::test_logout_again",
        ),
    ),
    Mutant(
        "a late request asks only for the newest key",
        (
            Edit(
                "asgi/signing.py",
                "(found.key, *self._twins, *self._old_keys)",
                "(found.key, *self._twins)",
            ),
        ),
        ("tests/asgi/test_takeover_races.py::test_login_rotated",),
    ),
    Mutant(
        "accept is not asked again",
        (
            Edit(
                "asgi/takeover.py",
                " or not await self._counts_still(old, found)",
                "",
            ),
        ),
        (
            "tests/asgi/test_takeover_races.py::test_transaction",
            "tests/asgi/test_takeover_races.py::test_password_changed",
            "tests/asgi/test_takeover_races.py::test_late_error[memory]",
            "tests/asgi/test_takeover_races.py::test_others_session[postgres]",
        ),
    ),
    Mutant(
        "a request ends the session that another one has taken over",
        (
            Edit(
                "asgi/takeover.py",
                "if not is_good and found.is_new:",
                "if not is_good:",
            ),
        ),
        (
            "tests/asgi/test_takeover_races.py::test_others_session[memory]",
            "tests/asgi/test_takeover_races.py::test_others_session[postgres]",
        ),
    ),
    Mutant(
        "a link of another site opens the old session where our cookie is strict",
        (
            Edit(
                "asgi/takeover.py",
                'if self._same_site == "strict" and is_cross_site(scope):',
                "if False:",
            ),
        ),
        ("tests/asgi/test_takeover_places.py::test_link[strict-seen0]",),
    ),
    Mutant(
        "a WebSocket of another origin opens the old session",
        (
            Edit(
                "asgi/takeover.py",
                'scope["type"] == "websocket"',
                'scope["type"] == "none"',
            ),
        ),
        ("tests/asgi/test_takeover_places.py::test_websocket[another]",),
    ),
    Mutant(
        "the key of one host opens the session of another",
        (
            Edit(
                "core/predecessor.py",
                'salt=f"pgsession.predecessor.{name}"',
                'salt="pgsession.predecessor"',
            ),
        ),
        ("tests/asgi/test_takeover_places.py::test_hosts",),
    ),
    Mutant(
        "the cookie of another middleware is deleted",
        (
            Edit(
                "asgi/old_cookies.py",
                "(is_known or await self._asked(self._is_any_old(values)))",
                "True",
            ),
        ),
        (
            "tests/asgi/test_takeover_deletion.py::test_neighbour[False]",
            "tests/asgi/test_takeover_deletion.py::test_neighbour[True]",
        ),
    ),
    Mutant(
        "an old cookie that was not looked at outlives a logout",
        (
            Edit(
                "asgi/old_cookies.py",
                "(is_known or await self._asked(self._is_any_old(values)))",
                "is_known",
            ),
        ),
        (
            "tests/asgi/test_takeover_deletion.py::test_logout_of_ours",
            "tests/asgi/test_takeover.py::test_dead_ours[memory]",
        ),
    ),
    Mutant(
        "a logout that begins a new session leaves the old cookie",
        (
            Edit(
                "asgi/exchange.py",
                "is_ended = self._has_ended or self._key is None",
                "is_ended = self._key is None",
            ),
        ),
        ("tests/asgi/test_takeover_deletion.py::test_logout_with_flash",),
    ),
    Mutant(
        "a failure of the database is taken for a duplicate",
        (
            Edit(
                "postgres/statements/adopting.py",
                "return bool(count)",
                "return count >= 0",
            ),
        ),
        ("tests/postgres/test_adopting.py::test_internal_error",),
    ),
    Mutant(
        "an old session without content makes a row",
        (
            Edit(
                "asgi/takeover.py",
                "(old.content or adoption.user_id is not None)",
                "True",
            ),
        ),
        ("tests/asgi/test_takeover_places.py::test_empty",),
    ),
)
