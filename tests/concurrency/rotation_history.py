"""A history of rotation: requests, with the numbers of the cookies that came and were set."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request with a cookie. Its times are seconds of a clock that all processes share."""

    #: A name for the key: another one for each session and for each renewal.
    key: str
    #: The number of the cookie that came.
    number: int
    #: From before the cookie was taken from the jar until after the response was put into it.
    invoked: float
    returned: float
    #: The cookie opened its session.
    opened: bool = True
    #: The number that the response set for the same key; None if it set none.
    given: int | None = None
    #: The response told that the key was retired: it was renewed, or its session was ended.
    retired: bool = False
    #: The cookie was kept, as a thief does. A browser sends what is in its jar.
    is_copy: bool = False
