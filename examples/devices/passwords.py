"""Passwords, hashed with scrypt."""

import hashlib
import secrets
from base64 import b64decode, b64encode

from starlette.concurrency import run_in_threadpool

#: As the OWASP Password Storage Cheat Sheet recommends: 16 MiB of memory for each hash.
COST, BLOCK, PARALLEL = 2**14, 8, 5

SHORTEST, LONGEST = 8, 200


async def hash_password(password: str) -> str:
    """Return what to store of a password: the salt and the hash. It takes some 0.2 s."""
    salt = secrets.token_bytes(16)
    return f"{_text(salt)}${_text(await run_in_threadpool(_scrypt, password, salt))}"


async def is_password(password: str, stored: str) -> bool:
    """Return whether a password is the one that was stored."""
    salt, expected = map(b64decode, stored.split("$"))
    return secrets.compare_digest(await run_in_threadpool(_scrypt, password, salt), expected)


def _scrypt(password: str, salt: bytes) -> bytes:
    limit = 2 * 128 * COST * BLOCK
    return hashlib.scrypt(
        password.encode(), salt=salt, n=COST, r=BLOCK, p=PARALLEL, maxmem=limit, dklen=32
    )


def _text(given: bytes) -> str:
    return b64encode(given).decode()
