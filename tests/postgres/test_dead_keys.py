"""The per-process memory of dead keys."""

from pgsession.postgres.dead_keys import MOST_REMEMBERED, REMEMBERED, DeadKeys

K = ("k", None)
OTHER = ("other", None)


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_remembered() -> None:
    """A key is remembered as dead for a fixed time; other keys are not."""
    clock = Clock()
    dead = DeadKeys(clock=clock)

    dead.add(K)

    assert K in dead
    assert OTHER not in dead
    clock.now = REMEMBERED - 0.001
    assert K in dead
    clock.now = REMEMBERED
    assert K not in dead
    assert len(dead) == 0


def test_verifiers() -> None:
    """Two keys of one session are told apart: the one is dead, and the other is not."""
    dead = DeadKeys(clock=Clock())

    dead.add(("k", "v"))

    assert ("k", "v") in dead
    assert ("k", "w") not in dead
    assert K not in dead


def test_found_dead_again() -> None:
    """A key that is found dead again is remembered for the full time again."""
    clock = Clock()
    dead = DeadKeys(clock=clock)
    dead.add(K)
    dead.add(OTHER)

    clock.now = REMEMBERED / 2
    dead.add(K)

    clock.now = REMEMBERED
    assert OTHER not in dead
    assert K in dead


def test_bounded() -> None:
    """At most a fixed number of keys is remembered: the latest ones."""
    dead = DeadKeys(clock=Clock())

    for number in range(MOST_REMEMBERED + 500):
        dead.add((str(number), None))

    assert len(dead) == MOST_REMEMBERED
    assert ("499", None) not in dead
    assert ("500", None) in dead


def test_forgotten() -> None:
    """A key that is valid after all is forgotten, alone or with all others; the
    latter is counted.
    """
    dead = DeadKeys(clock=Clock())
    for key in (K, OTHER, ("third", None)):
        dead.add(key)

    dead.forget(K)
    assert K not in dead
    assert OTHER in dead
    assert dead.changes == 0

    dead.forget()
    assert not dead
    assert dead.changes == 1
