"""Mutants of rotation."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

ROTATION: Final = (
    Mutant(
        "the number before dies when the next one is given out",
        (
            Edit(
                "core/rotation.py",
                "case -1 if shown_for is None or shown_for <= self.grace:",
                "case -1 if False:",
            ),
        ),
        (
            "tests/core/test_rotation.py::test_judge",
            "tests/asgi/test_rotation.py::test_lost_response",
            "tests/concurrency/test_rotation_simulation.py::test_honest",
        ),
    ),
    Mutant(
        "the number before lives for ever",
        (
            Edit(
                "core/rotation.py",
                "case -1 if shown_for is None or shown_for <= self.grace:",
                "case -1:",
            ),
        ),
        ("tests/asgi/test_rotation.py::test_grace",),
    ),
    Mutant(
        "a cookie carries the number that was loaded",
        (Edit("asgi/row.py", "        self._note_number(written.number)\n", ""),),
        ("tests/asgi/test_rotation.py::test_extension",),
    ),
    Mutant(
        "a page for everybody rotates, and a failed one",
        (
            Edit(
                "asgi/exchange.py",
                "return is_page and not may_be_shared(status, headers)",
                "return True",
            ),
        ),
        (
            "tests/asgi/test_rotation.py::test_no_rotation",
            "tests/asgi/test_rotation.py::test_websocket",
        ),
    ),
    Mutant(
        "a copy ends the session although the settings do not say so",
        (Edit("asgi/rotating.py", "if rotation.ends_on_reuse:", "if True:"),),
        ("tests/asgi/test_rotation.py::test_reuse_is_logged",),
    ),
)
