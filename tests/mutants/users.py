"""Mutants of signing in and out, and of ending a user's sessions."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

USERS: Final = (
    Mutant(
        "a login keeps the lifetime of the visitor",
        (
            Edit(
                "postgres/statements/editing.py",
                "created_on = CASE WHEN o.proves THEN o.seen_on ELSE s.created_on END",
                "created_on = s.created_on",
            ),
        ),
        (
            "tests/contract/test_login.py::test_begins_anew",
            "tests/asgi/test_login.py::test_lifetime",
        ),
    ),
    Mutant(
        "what belongs to one user stays for another",
        (
            Edit(
                "core/signing.py",
                "(before.user_id, before.actor_id) != (user_id, actor_id)",
                "False",
            ),
        ),
        (
            "tests/core/test_signing.py::test_content",
            "tests/asgi/test_login.py::test_other_user",
            "tests/asgi/test_login.py::test_other_user_and_writes",
        ),
    ),
    Mutant(
        "a logout ends only the key that it came with",
        (
            Edit(
                "core/decision.py",
                "if outcome.logged_out and (outcome.live or outcome.lost):",
                "if False:",
            ),
        ),
        (
            "tests/asgi/test_logout.py::test_lost",
            "tests/core/test_decision.py::test_every_row",
        ),
    ),
    Mutant(
        "a logout ends what somebody has signed in to since",
        (
            Edit(
                "postgres/statements/signing.py",
                "  AND s.login_number OPERATOR(pg_catalog.=) %(login_number)s::pg_catalog.int4\n",
                "",
            ),
        ),
        (
            "tests/contract/test_login.py::test_logout_beside_a_login",
            "tests/asgi/test_logout.py::test_login_meanwhile",
        ),
    ),
    Mutant(
        "a key from before a login makes a session",
        (
            Edit(
                "asgi/signing.py",
                "if found is None or self._came_alive or not keeps_users(store):",
                "if True:",
            ),
        ),
        ("tests/asgi/test_beside_login.py::test_sent_before",),
    ),
    Mutant(
        "a login in a session that has ended signs nobody in",
        (
            Edit(
                "asgi/signing.py",
                "            except SessionNotFoundError:\n                key = None\n",
                "            except SessionNotFoundError:\n                raise\n",
            ),
        ),
        (
            "tests/asgi/test_beside_login.py::test_login_in_an_ended_session",
            "tests/asgi/test_beside_login.py::test_two_logins_at_once",
        ),
    ),
    Mutant(
        "a login in a lost session is undone when the request ends",
        (
            Edit(
                "asgi/row.py",
                "UNCHANGED if self._lost and signing is NO_SIGNING else state.changes(session)",
                "UNCHANGED if self._lost else state.changes(session)",
            ),
        ),
        (
            "tests/asgi/test_beside_login.py::test_login_in_a_lost_session",
            "tests/asgi/test_logout.py::test_message_of_a_lost_session",
        ),
    ),
    Mutant(
        "a request waits for the transaction in which it has ended its session",
        (Edit("asgi/signing.py", "if digest(key) in self.ended_within:", "if False:"),),
        ("tests/asgi/test_beside_login.py::test_own_session",),
    ),
    Mutant(
        "what a request has ended in a transaction counts for the limit",
        (
            Edit(
                "postgres/user_sessions.py",
                "most=checked_most(most), apart=ended_within()",
                "most=checked_most(most)",
            ),
        ),
        ("tests/asgi/test_beside_login.py::test_limit_in_a_transaction",),
    ),
    Mutant(
        "a handle ends a session of anybody",
        (
            Edit(
                "postgres/statements/text.py",
                'OF_USER: Final = "s.user_id OPERATOR(pg_catalog.=) %(user_id)s::pg_catalog.text"',
                'OF_USER: Final = "%(user_id)s::pg_catalog.text IS NOT NULL"',
            ),
        ),
        (
            "tests/contract/test_devices.py::test_foreign_handle",
            "tests/contract/test_devices.py::test_revoke_all",
        ),
    ),
    Mutant(
        "an administrator's session counts for the limit",
        (Edit("postgres/statements/revoking.py", "      AND s.login_actor IS NULL\n", ""),),
        (
            "tests/contract/test_devices.py::test_surplus_and_actors",
            "tests/asgi/test_client.py::test_limit_of_others",
        ),
    ),
    Mutant(
        "a confirmation beside the limit makes a session stay",
        (
            Edit(
                "postgres/statements/revoking.py",
                "p.login_number OPERATOR(pg_catalog.=) s.login_number",
                "coalesce(p.login_on, s.created_on) = coalesce(s.login_on, s.created_on)",
            ),
            Edit(
                "postgres/statements/revoking.py",
                "SELECT s.session_key, s.login_number\n    FROM",
                "SELECT s.session_key, s.login_on\n    FROM",
            ),
        ),
        ("tests/concurrency/test_revocation.py::test_held_open",),
    ),
    Mutant(
        "the limit is not applied before the response of the login",
        (
            Edit(
                "asgi/binding.py",
                "        if self._surplus_of is not None:\n",
                "        if self._surplus_of is None:\n            pass\n        elif False:\n",
            ),
        ),
        (
            "tests/asgi/test_client.py::test_limit_before_the_response",
            "tests/asgi/test_client.py::test_limit",
        ),
    ),
    Mutant(
        "a user without members is signed out",
        (
            Edit(
                "core/decision.py",
                "Change.DRAIN if outcome.empty and not outcome.has_user else Change.MERGE",
                "Change.DRAIN if outcome.empty else Change.MERGE",
            ),
            Edit(
                "postgres/statements/removing.py",
                "            AND s.user_id IS NULL AS is_empty",
                "            AS is_empty",
            ),
        ),
        (
            "tests/core/test_decision.py::test_every_row",
            "tests/asgi/test_login.py::test_no_members",
            "tests/contract/test_login.py::test_if_empty",
        ),
    ),
    Mutant(
        "a login that is not committed shows its user",
        (
            Edit(
                "asgi/operations.py",
                "                state.note_signed_in(user, user_as_of)\n",
                "",
            ),
        ),
        ("tests/asgi/test_login.py::test_in_a_block_that_is_not_committed",),
    ),
    Mutant(
        "a sign-in whose cookie was not sent is told of",
        (
            Edit(
                "asgi/exchange.py",
                "if cookie is not None and self._new_device is not None:",
                "if self._new_device is not None:",
            ),
            Edit("asgi/exchange.py", " and device.handle == self.handle:", ":"),
        ),
        ("tests/asgi/test_new_device.py::test_taken_back",),
    ),
    Mutant(
        "whose sessions have ended counts as signed in",
        (
            Edit(
                "postgres/statements/overview.py",
                "WHERE {of_users}\n  AND {living}\n",
                "WHERE {of_users}\n",
            ),
        ),
        (
            "tests/contract/test_signed_in.py::test_expired[postgres]",
            "tests/contract/test_signed_in.py::test_limits",
        ),
    ),
    Mutant(
        "counting the sessions of all users takes all connections",
        (
            Edit(
                "postgres/batching.py",
                "table.overview.signed_in, size=1, lanes=1",
                "table.overview.signed_in, size=1",
            ),
        ),
        ("tests/postgres/test_overview.py::test_one_at_a_time",),
    ),
)
