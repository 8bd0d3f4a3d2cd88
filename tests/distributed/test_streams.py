"""Streams on a distributed table: what ends a session in one process reaches them in another."""

from tests.concurrency import test_streams

#: Collected here once more, with the fixtures of this directory.
__all__ = ["test_streams"]
