"""Mutants of typed content and flash messages."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

CONTENT: Final = (
    Mutant(
        "a flash message is read from what was loaded, not taken",
        (
            Edit(
                "core/content_session.py",
                "            member = await session.take(name)\n",
                "            member = session.pop(name)\n",
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
                "core/typed_object.py",
                "is_changed = not before.is_same(members) and texts_of(members) != before.texts",
                "is_changed = True",
            ),
            Edit(
                "core/typed_object.py",
                "if not self.fits or texts.get(name) != before.get(name)",
                "if True",
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
                "core/typed_object.py",
                "if not self.fits or texts.get(name) != before.get(name)",
                "if True",
            ),
        ),
        ("tests/core/test_typed.py::test_whole_by_field",),
    ),
    Mutant(
        "an object overwrites a member that the handler has replaced",
        (
            Edit(
                "core/typed_object.py",
                "return dict.get(session, name, ABSENT) is self.sources.get(name)",
                "return True",
            ),
        ),
        ("tests/core/test_typed.py::test_replaced",),
    ),
    Mutant(
        "a default is shared by all sessions",
        (
            Edit(
                "core/typed_object.py",
                "made = codec.decode(fallback, name=name) if is_given else codec.default()",
                "made = default if is_given and default is not NO_DEFAULT else codec.default()",
            ),
        ),
        ("tests/core/test_typed.py::test_default",),
    ),
    Mutant(
        "an object is stored that is not read back equal",
        (
            Edit(
                "core/typed_object.py",
                "if is_alike(self.made, again) or not can_be_stored(texts_of(members)):",
                "if True:",
            ),
        ),
        ("tests/core/test_typed.py::test_not_stored",),
    ),
    Mutant(
        "of two changes of a member by two objects, the first one is saved",
        (
            Edit(
                "core/typed.py",
                "            if text != changes[other].texts[name]:\n"
                "                return _conflict(other, typed, name)\n",
                "",
            ),
        ),
        ("tests/core/test_typed.py::test_conflict",),
    ),
    Mutant(
        "an object does not see what another one of its member has changed",
        (Edit("core/typed.py", "    known.refresh(session, stale)\n", ""),),
        ("tests/core/test_typed.py::test_shared",),
    ),
    Mutant(
        "messages that a response does not show are lost",
        (Edit("asgi/exchange.py", "            put_back(session)\n", "            pass\n"),),
        ("tests/asgi/test_flash.py::test_put_back",),
    ),
    Mutant(
        "messages that a response shows are put back",
        (
            Edit(
                "core/flash.py",
                "        unread, self._unread = self._unread, {}\n        self._read",
                "        unread = self._unread\n        self._read",
            ),
        ),
        ("tests/asgi/test_flash.py::test_template",),
    ),
)
