"""The sessions that everyone keeps."""

import json
from typing import Any

#: Some 150 bytes of JSON: what a login and a shop leave in a session.
VALUE: dict[str, Any] = {
    "user_id": 48213,
    "name": "Ada Lovelace",
    "roles": ["reader", "editor"],
    "csrf": "b1946ac92492d2347c6235b4d2611184",
    "locale": "en-GB",
    "count": 0,
}
SECRET = "benchmark-benchmark-benchmark-benchmark"


def padded(size: int) -> dict[str, Any]:
    """Return a session of some `size` bytes of JSON, in members of a kilobyte at most."""
    value = dict(VALUE)
    number = 0
    while (missing := size - len(json.dumps(value))) > 16:
        # Text that does not compress to nothing: the digits of a growing product.
        digits = str((number + 3) ** 700)
        value[f"item{number}"] = (digits * 3)[: min(missing - 12, 1000)]
        number += 1
    return value
