"""The store in memory: for tests, and for trying things out."""

from pgsession.memory.store import MemoryStore

__all__ = ["MemoryStore"]
