"""The session value that all peers store."""

import json
from functools import cache
from typing import Any

#: About 150 bytes of JSON, as a shop with a login stores them.
VALUE: dict[str, Any] = {
    "user_id": 48213,
    "name": "Ada Lovelace",
    "roles": ["reader", "editor"],
    "csrf": "b1946ac92492d2347c6235b4d2611184",
    "locale": "en-GB",
    "count": 0,
}
SECRET = "benchmark-benchmark-benchmark-benchmark"


@cache
def padded(size: int) -> dict[str, Any]:
    """Return a value of about `size` bytes of JSON, in members of at most a kilobyte."""
    value = dict(VALUE)
    number = 0
    while (missing := size - len(json.dumps(value))) > 16:
        # The digits of a large power do not compress well.
        digits = str((number + 3) ** 700)
        value[f"item{number}"] = (digits * 3)[: min(missing - 12, 1000)]
        number += 1
    return value
