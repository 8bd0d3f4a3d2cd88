"""The per-process memory of dead keys."""

from pgsession.postgres.dead_keys import MOST_REMEMBERED, REMEMBERED, DeadKeys


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_remembered() -> None:
    """A key is remembered as dead for a fixed time; other keys are not."""
    clock = Clock()
    dead = DeadKeys(clock=clock)

    dead.add("k")

    assert "k" in dead
    assert "other" not in dead
    clock.now = REMEMBERED - 0.001
    assert "k" in dead
    clock.now = REMEMBERED
    assert "k" not in dead
    assert len(dead) == 0


def test_found_dead_again() -> None:
    """A key that is found dead again is remembered for the full time again."""
    clock = Clock()
    dead = DeadKeys(clock=clock)
    dead.add("k")
    dead.add("other")

    clock.now = REMEMBERED / 2
    dead.add("k")

    clock.now = REMEMBERED
    assert "other" not in dead
    assert "k" in dead


def test_bounded() -> None:
    """At most a fixed number of keys is remembered: the latest ones."""
    dead = DeadKeys(clock=Clock())

    for number in range(MOST_REMEMBERED + 500):
        dead.add(str(number))

    assert len(dead) == MOST_REMEMBERED
    assert "499" not in dead
    assert "500" in dead


def test_forgotten() -> None:
    """A key that is valid after all is forgotten, alone or with all others; the
    latter is counted.
    """
    dead = DeadKeys(clock=Clock())
    for name in ("one", "other", "third"):
        dead.add(name)

    dead.forget("one")
    assert "one" not in dead
    assert "other" in dead
    assert dead.changes == 0

    dead.forget()
    assert not dead
    assert dead.changes == 1
