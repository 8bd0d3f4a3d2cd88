"""The races of requests and operations on a distributed table."""

from tests.concurrency import (
    test_deadlock,
    test_exclusive,
    test_hammer,
    test_laws,
    test_lifetimes,
    test_parallel_logins,
    test_races,
    test_requests,
    test_revocation,
    test_saving,
    test_state_machine,
)

#: Modules whose tests are collected here once more, with the fixtures of this directory.
__all__ = [
    "test_deadlock",
    "test_exclusive",
    "test_hammer",
    "test_laws",
    "test_lifetimes",
    "test_parallel_logins",
    "test_races",
    "test_requests",
    "test_revocation",
    "test_saving",
    "test_state_machine",
]
