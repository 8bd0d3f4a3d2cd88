"""Mutants of the protection against requests of other origins, and of forms posted again."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

ORIGINS: Final = (
    Mutant(
        "a sibling host posts forms, in spite of csrf_protection",
        (
            Edit(
                "core/origins.py",
                '_OWN: Final = frozenset({b"same-origin", b"none"})',
                '_OWN: Final = frozenset({b"same-origin", b"same-site", b"none"})',
            ),
        ),
        ("tests/core/test_origins.py::test_said", "tests/asgi/test_csrf.py::test_request"),
    ),
    Mutant(
        "an older browser may post from anywhere, in spite of csrf_protection",
        (
            Edit(
                "core/origins.py",
                "    return Rejection.OTHER_ORIGIN\n",
                "    return None\n",
            ),
        ),
        ("tests/core/test_origins.py::test_own", "tests/asgi/test_csrf.py::test_websocket"),
    ),
    Mutant(
        "a page over plain HTTP posts to the site over HTTPS",
        (
            Edit(
                "core/origins.py",
                'len(hosts) != 1 or (is_secure and scheme != "https")',
                "len(hosts) != 1",
            ),
        ),
        ("tests/core/test_origins.py::test_said", "tests/asgi/test_csrf.py::test_websocket"),
    ),
    Mutant(
        "the handshake of a WebSocket is taken for a safe GET",
        (Edit("asgi/csrf.py", "        method = None\n", '        method = "GET"\n'),),
        ("tests/asgi/test_csrf.py::test_websocket",),
    ),
    Mutant(
        "a rejected request is loaded, and served",
        (
            Edit(
                "asgi/middleware.py",
                "self._is_excluded = self._guard.joined(self._is_excluded)",
                "pass",
            ),
        ),
        ("tests/asgi/test_csrf.py::test_nothing_loaded",),
    ),
    Mutant(
        "excluded paths are not checked",
        (
            Edit(
                "asgi/middleware.py",
                "(rejection := self._guard.rejection(scope)) is not None:",
                "(rejection := self._guard.rejection(scope)) is not None "
                'and scope["path"] != "/act":',
            ),
        ),
        ("tests/asgi/test_csrf.py::test_excluded",),
    ),
    Mutant(
        "the endpoints of the device binding answer 403",
        (
            Edit(
                "asgi/middleware.py",
                'if scope["type"] == "http" and (found := self._binding_of(scope)) is not None:',
                "if self._guard is None and (found := self._binding_of(scope)) is not None:",
            ),
        ),
        ("tests/dbsc/test_endpoints.py::test_csrf_protection",),
    ),
    Mutant(
        "a form that is posted again carries markup",
        (
            Edit(
                "asgi/reposting.py",
                "_FIELD.format(escape(name), escape(_sendable(text)))",
                "_FIELD.format(name, _sendable(text))",
            ),
        ),
        ("tests/asgi/test_reposting.py::test_again",),
    ),
    Mutant(
        "a form is posted again with any field",
        (Edit("asgi/reposting.py", "for name in fields if", "for name in form if"),),
        ("tests/asgi/test_reposting.py::test_known_fields",),
    ),
)
