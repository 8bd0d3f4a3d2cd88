"""Mutants of the sessions that are opened outside of requests."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

_OPENING: Final = "tests/outside/test_opening.py"
_REQUESTS: Final = "tests/outside/test_requests.py"
_ROTATION: Final = "tests/outside/test_rotation.py"
_BOUND: Final = "tests/outside/test_bound.py"

OUTSIDE: Final = (
    Mutant(
        "outside: a block that raises is saved",
        (
            Edit(
                "asgi/sessions.py",
                "            await outside.keep(extend=extend)\n        finally:\n",
                "        finally:\n            await outside.keep(extend=extend)\n",
            ),
        ),
        (f"{_OPENING}::test_error",),
    ),
    Mutant(
        "outside: changes that are lost are no error",
        (Edit("asgi/outside.py", "if self.session.modified:", "if False:"),),
        (f"{_OPENING}::test_ended_meanwhile",),
    ),
    Mutant(
        "outside: a cookie is thought to be set",
        (Edit("asgi/outside.py", "    started = True\n", "    started = False\n"),),
        (f"{_OPENING}::test_filled_after_the_end",),
    ),
    Mutant(
        "outside: the expiry is always extended",
        (Edit("asgi/outside.py", "self._decide(touch=extend)", "self._decide(touch=True)"),),
        (f"{_OPENING}::test_extends",),
    ),
    Mutant(
        "outside: the session of a request is found by its cookie alone",
        (
            Edit(
                "asgi/sessions.py",
                "        return state.attachment.reference\n    return state.reference if",
                "        return None\n    return None if",
            ),
        ),
        (f"{_REQUESTS}::test_after", f"{_ROTATION}::test_session_of_before"),
    ),
    Mutant(
        "outside: a cookie of any number opens a session",
        (
            Edit(
                "asgi/outside.py",
                "return entry if verdict.is_good else None",
                "return entry",
            ),
        ),
        (f"{_ROTATION}::test_too_old",),
    ),
    Mutant(
        "outside: a connection with an old cookie ends the session, as a copy would",
        (
            Edit(
                "asgi/outside.py",
                "    async def admit(self, found: FoundCookie, entry: Entry) -> Entry | None:\n",
                "    async def admitted(self, found: FoundCookie, entry: Entry) -> Entry | None:\n",
            ),
        ),
        (f"{_ROTATION}::test_too_old", f"{_ROTATION}::test_shows_nothing"),
    ),
    Mutant(
        "outside: a proof is good for ever",
        (
            Edit(
                "asgi/outside.py",
                "return until is not None and time.monotonic() < until",
                "return until is not None",
            ),
        ),
        (f"{_BOUND}::test_over",),
    ),
    Mutant(
        "outside: a request from before the binding opens the session",
        (Edit("asgi/outside.py", "return self._may_keep(entry)", "return True"),),
        (f"{_BOUND}::test_registered_since",),
    ),
    Mutant(
        "outside: another middleware's session is opened",
        (
            Edit(
                "asgi/sessions.py",
                "return reference.policy.cookie.name in self._by_cookie",
                "return True",
            ),
        ),
        (f"{_REQUESTS}::test_two_middlewares",),
    ),
    Mutant(
        "outside: a header of the client names the path",
        (
            Edit(
                "asgi/sources.py",
                'if isinstance(source.get("wsgi.version"), tuple):',
                'if "wsgi.version" in source:',
            ),
        ),
        ("tests/outside/test_sources.py::test_headers_of_a_client",),
    ),
    Mutant(
        "a session that is taken out of the scope lives on",
        (
            Edit(
                "asgi/replacement.py",
                "    if put is None:\n        return Replacement.END\n",
                "    if put is None:\n        return Replacement.NEIGHBOUR\n",
            ),
        ),
        ("tests/asgi/test_replacement.py::test_ended",),
    ),
    Mutant(
        "the sentinel of a framework in the place of a session is ignored",
        (
            Edit(
                "asgi/replacement.py",
                "return Replacement.NEIGHBOUR if is_theirs else Replacement.END",
                "return Replacement.NEIGHBOUR",
            ),
        ),
        ("tests/asgi/test_replacement.py::test_ended",),
    ),
    Mutant(
        "the session of another middleware is taken over",
        (
            Edit(
                "asgi/replacement.py",
                "        return Replacement.UNKNOWN if kind is dict else Replacement.NEIGHBOUR\n"
                "    if _is_mount(scope):",
                "        return Replacement.CONTENT if kind is dict else Replacement.NEIGHBOUR\n"
                "    if _is_mount(scope):",
            ),
        ),
        ("tests/asgi/test_replacement.py::test_dict",),
    ),
)
