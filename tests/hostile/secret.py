"""Secrets, and values that contain one and cannot be stored."""

import math
from typing import Any, Final

SECRET: Final = "SQJXK-the-secret-that-signs-the-cookies-of-this-site"
VALUE: Final = "VZQXJ-what-a-visitor-entrusted-to-us"
PASSWORD: Final = "PWQXZ-of-the-database"


def _deep() -> list[Any]:
    value: list[Any] = [VALUE]
    for _ in range(200):
        value = [value]
    return value


REFUSED: Final[dict[str, Any]] = {
    "set": {VALUE},
    "bytes": VALUE.encode(),
    "nan": [VALUE, math.nan],
    "nul": VALUE + "\0",
    "surrogate": VALUE + "\ud800",
    "int-name": {1: VALUE},
    "huge": int.from_bytes(VALUE.encode()) ** 100,
    "large": VALUE * 50_000,
    "deep": _deep(),
}
