"""Mutants of typed content and flash messages."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

CONTENT: Final = (
    Mutant(
        "a flash message is read from what was loaded, not taken",
        (
            Edit(
                "core/content_session.py",
                "                member = await self.take(name)\n",
                "                member = self.pop(name)\n",
            ),
        ),
        ("tests/asgi/test_flash.py::test_exactly_once",),
    ),
    Mutant(
        "what was saved counts as known to this request alone",
        (
            Edit(
                "core/content_session.py",
                "return not is_writing and name not in state.stored.names",
                "return not is_writing",
            ),
        ),
        (
            "tests/asgi/test_flash.py::test_exactly_once",
            "tests/asgi/test_flash.py::test_saved_meanwhile",
        ),
    ),
    Mutant(
        "all messages are in one member",
        (
            Edit(
                "core/flash.py",
                '{FLASH}{moment:016x}-{secrets.token_hex(8)}"',
                '{FLASH}{0:016x}-"',
            ),
        ),
        ("tests/asgi/test_flash.py::test_parallel",),
    ),
    Mutant(
        "an object is written whether it has changed or not",
        (
            Edit(
                "core/typed.py",
                "            if self.before.is_same(members) or _texts(members) == self.texts:\n"
                "                return None\n",
                "",
            ),
            Edit(
                "core/typed.py",
                "if self.fits and texts.get(name) == self.texts.get(name):",
                "if False:",
            ),
        ),
        (
            "tests/core/test_typed.py::test_unchanged_overwrites_nothing",
            "tests/core/test_typed.py::test_defaults_are_not_written",
        ),
    ),
    Mutant(
        "an object over the whole session writes all its fields once one has changed",
        (
            Edit(
                "core/typed.py",
                "if self.fits and texts.get(name) == self.texts.get(name):",
                "if False:",
            ),
        ),
        ("tests/core/test_typed.py::test_whole_by_field",),
    ),
    Mutant(
        "an object overwrites a member that the handler has replaced",
        (
            Edit(
                "core/typed.py",
                "            if dict.get(session, name, _ABSENT) is source\n        }\n",
                "        }\n",
            ),
        ),
        ("tests/core/test_typed.py::test_replaced",),
    ),
    Mutant(
        "a default is shared by all sessions",
        (
            Edit(
                "core/typed.py",
                "made = codec.decode(fallback, name=name) if is_given else codec.default()",
                "made = default if is_given and default is not NO_DEFAULT else codec.default()",
            ),
        ),
        ("tests/core/test_typed.py::test_default",),
    ),
)
