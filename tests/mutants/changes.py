"""Mutants of how the changes of a session are found."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

_DEEP: Final = "tests/core/test_tracked.py::test_deep_change"

CHANGES: Final = (
    Mutant(
        "a list that a handler got counts as unchanged",
        (
            Edit(
                "core/tracked.py",
                "member = dict.__getitem__(self, name)\n"
                "        if type(member) not in ATOMS:\n"
                "            state.give_out()\n",
                "member = dict.__getitem__(self, name)\n",
            ),
        ),
        (_DEEP,),
    ),
    Mutant(
        "a list that a handler got by a view counts as unchanged",
        (Edit("core/tracked.py", "        if is_giving:\n", "        if is_change:\n"),),
        (_DEEP,),
    ),
    Mutant(
        "what a session is compared with is what a handler changes",
        (
            Edit(
                "core/content.py", "                self.stored.part()\n", "                pass\n"
            ),
        ),
        (_DEEP, "tests/core/test_session.py::test_any_steps"),
    ),
    Mutant(
        "True counts as 1 where the members are shared",
        (
            Edit(
                "core/baseline.py",
                "(type(member) is not type(stored) or type(member) not in ATOMS)",
                "type(member) not in ATOMS",
            ),
        ),
        ("tests/core/test_session.py::test_any_steps",),
    ),
    Mutant(
        "lists that are equal count as the same JSON where the members are shared",
        (
            Edit(
                "core/baseline.py",
                "(type(member) is not type(stored) or type(member) not in ATOMS)",
                "type(member) is not type(stored)",
            ),
        ),
        ("tests/core/test_session.py::test_any_steps",),
    ),
    Mutant(
        "what a method has written counts as unchanged if it is equal",
        (
            Edit(
                "core/tracked.py",
                "state.accessed = state.is_written = True",
                "state.accessed = True",
            ),
        ),
        ("tests/core/test_session.py::test_any_steps",),
    ),
    Mutant(
        "what is stored is still shared once a save has made it large",
        (Edit("core/large.py", "    baseline.part()\n", ""),),
        ("tests/core/test_session.py::test_any_steps",),
    ),
    Mutant(
        "a list that another thread gets during a save counts as unchanged",
        (
            Edit(
                "core/content.py",
                "            with _LOCK:  # else `acknowledge` might share in another thread\n",
                "            if True:\n",
            ),
        ),
        ("tests/core/test_tracked.py::test_given_away_during_save",),
    ),
    Mutant(
        "what a store does to an entry that it keeps counts as stored",
        (Edit("core/content.py", "value.copy(), is_shared", "value, is_shared"),),
        ("tests/core/test_tracked.py::test_entry_of_others",),
    ),
    Mutant(
        "the text of what was loaded is written when a handler may have changed it",
        (
            Edit(
                "core/baseline.py",
                "            _ = self.text  # written now: later the members may have changed\n"
                "            self.is_shared, self._value = False, None\n",
                "            self.is_shared = False\n",
            ),
        ),
        ("tests/asgi/test_middleware.py::test_deep_change",),
    ),
    Mutant(
        "the caller's own content counts as unchanged",
        (
            Edit(
                "core/session.py",
                "            state.give_out()  # the caller has its lists and dicts\n",
                "",
            ),
        ),
        ("tests/core/test_tracked.py::test_content_of_caller",),
    ),
    Mutant(
        "a session is compared although nobody can have changed it",
        (
            Edit(
                "core/tracked.py",
                "        member = dict.get(self, name, default)\n"
                "        if type(member) not in ATOMS:\n",
                "        member = dict.get(self, name, default)\n        if True:\n",
            ),
        ),
        ("tests/core/test_tracked.py::test_not_compared",),
    ),
)
