"""Mutants of the middleware's options: several hosts, own responses, excluded paths, the order."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

OPTIONS: Final = (
    Mutant(
        "every application imports the store in memory",
        (
            Edit(
                "__init__.py",
                "from pgsession.postgres.store import PostgresStore\n",
                "from pgsession.memory import MemoryStore\n"
                "from pgsession.postgres.store import PostgresStore\n",
            ),
        ),
        ("tests/test_imports.py::test_not_imported",),
    ),
    Mutant(
        "every application imports typed content",
        (
            Edit(
                "core/content.py",
                "if TYPE_CHECKING:  # see `ContentSession.typed`\n",
                "if True:\n",
            ),
        ),
        ("tests/test_imports.py::test_not_imported",),
    ),
    Mutant(
        "a process that serves imports some parts when it first uses them",
        (Edit("rare.py", "    for place in _REST:\n", "    for place in ():\n"),),
        ("tests/postgres/test_rare.py::test_gone[off]",),
    ),
    Mutant(
        "what a request may be the first to use is not imported before",
        (Edit("rare.py", '    "asgi.replacement",\n', ""),),
        ("tests/postgres/test_rare.py::test_gone[off]", "tests/test_imports.py::test_rest"),
    ),
    Mutant(
        "a block imports statements while it holds its transaction",
        (
            Edit(
                "postgres/statements/table.py",
                "        _ = self.numbering, self.listing, self.overview\n",
                "        _ = self.numbering, self.listing\n",
            ),
        ),
        ("tests/postgres/test_rare.py::test_complete",),
    ),
    Mutant(
        "rare statements that are written late are prepared behind a pooler",
        (
            Edit(
                "postgres/statements/table.py",
                "        written.prepared = self._prepared\n",
                "",
            ),
        ),
        ("tests/postgres/test_rare.py::test_settled_later",),
    ),
    Mutant(
        "a rare call opens a closed store",
        (
            Edit(
                "postgres/batching.py",
                "            coalescer.reject()\n",
                "            pass\n",
            ),
        ),
        ("tests/postgres/test_rare.py::test_closed",),
    ),
    Mutant(
        "every application imports what only streams need",
        (
            Edit(
                "asgi/streams.py",
                "from pgsession import rare\n",
                "from pgsession import rare\n"
                "from pgsession.asgi.interruption import Interruption\n",
            ),
        ),
        ("tests/test_imports.py::test_not_imported",),
    ),
    Mutant(
        "a database URL may have an @ where a part of a password may be",
        (
            Edit(
                "postgres/connections/conninfo.py",
                "        if _has_stray_at(conninfo):\n",
                "        if False:\n",
            ),
        ),
        ("tests/postgres/connections/test_connections.py::test_wrong_conninfo",),
    ),
    Mutant(
        "the address of a pool is told though its password may be torn",
        (
            Edit(
                "postgres/connections/conninfo.py",
                "        _reject_torn_password(given)\n",
                "",
            ),
        ),
        ("tests/postgres/connections/test_connections.py::test_wrong_conninfo",),
    ),
    Mutant(
        "a name that is none of a cookie counts as the first",
        (
            Edit(
                "asgi/choice.py",
                "if isinstance(name, str) else None\n",
                "if isinstance(name, str) else None\n"
                "        policy = policy or next(iter(self._policies.values()))\n",
            ),
        ),
        ("tests/asgi/test_several_hosts.py::test_unknown_name",),
    ),
    Mutant(
        "all hosts have the first cookie",
        (
            Edit(
                "asgi/middleware.py",
                "policy = self._policy if self._choice is None else self._choice.policy_of(scope)\n"
                "        cookies",
                "policy = self._policy\n        cookies",
            ),
        ),
        (
            "tests/asgi/test_several_hosts.py::test_own_cookies",
            "tests/asgi/test_several_hosts.py::test_foreign_host",
            "tests/asgi/test_several_hosts.py::test_websocket",
            "tests/asgi/test_several_hosts.py::test_unknown_name",
        ),
    ),
    Mutant(
        "two cookies may have one name",
        (Edit("cookie_settings.py", "            if used in taken:\n", "            if False:\n"),),
        ("tests/asgi/test_several_hosts.py::test_wrong_settings",),
    ),
    Mutant(
        "a cookie of one host is good at another",
        (
            Edit(
                "core/secret_keys.py",
                'salt=f"pgsession.cookie.{name}"',
                'salt=f"pgsession.cookie{name[:0]}"',
            ),
        ),
        ("tests/asgi/test_several_hosts.py::test_cookie_of_another_host",),
    ),
    Mutant(
        "an excluded request needs a known host",
        (
            Edit(
                "asgi/middleware.py",
                "            if not self._choice.may_serve_binding(scope):\n",
                "            if False:\n",
            ),
        ),
        ("tests/asgi/test_several_hosts.py::test_excluded_and_bound",),
    ),
    Mutant(
        "each cookie has a watcher of its own",
        (
            Edit(
                "asgi/policy.py",
                "        _ = self.watching  # which both have then\n",
                "",
            ),
        ),
        ("tests/asgi/test_several_hosts.py::test_shared",),
    ),
    Mutant(
        "the application's 503 may set the session cookie",
        (
            Edit(
                "asgi/unavailable_response.py",
                'if name.lower() != b"set-cookie" or not value.lstrip().startswith(self._cookies)',
                "if name",
            ),
        ),
        ("tests/asgi/test_unavailable_response.py::test_own_headers",),
    ),
    Mutant(
        "the application's 503 may be kept",
        (
            Edit(
                "asgi/unavailable_response.py",
                "return kept + [(name, value) for name, value in _ADDED if name not in named]",
                "return kept",
            ),
        ),
        (
            "tests/asgi/test_unavailable_response.py::test_plain_function",
            "tests/asgi/test_unavailable_response.py::test_websocket",
        ),
    ),
    Mutant(
        "an unavailable_response that fails is a 500",
        (
            Edit(
                "asgi/unavailable_response.py",
                "            if answer.has_started:\n                raise\n",
                "            raise\n",
            ),
        ),
        ("tests/asgi/test_unavailable_response.py::test_failing_function",),
    ),
    Mutant(
        "our middleware may be added twice",
        (Edit("asgi/middleware.py", "            check_stack(app, self.session_cookies)\n", ""),),
        (
            "tests/asgi/test_cookie_warnings.py::test_added_twice",
            "tests/asgi/test_several_hosts.py::test_stacked",
        ),
    ),
    Mutant(
        "an excluded request always finds a session",
        (
            Edit(
                "asgi/middleware.py",
                "                if self._is_excluded_bare:\n",
                "                if False:\n",
            ),
        ),
        (
            "tests/asgi/test_excluded_paths.py::test_absent",
            "tests/neighbours/test_sqladmin.py::test_probing",
        ),
    ),
    Mutant(
        "the session of a database is taken for ours",
        (Edit("asgi/order.py", " and loaded == request:", ":"),),
        ("tests/asgi/test_order.py::test_no_error",),
    ),
    Mutant(
        "a function between two session middlewares is reported",
        (Edit("asgi/order.py", " or any(map(_has_session, outside)):", ":"),),
        ("tests/asgi/test_order.py::test_no_error",),
    ),
)
