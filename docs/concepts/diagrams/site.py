"""The pictures of a site: when its database is away, its cookie, and the house of its code."""

from __future__ import annotations

from docs.concepts.diagrams.drawing import Picture

#: The rooms of the package, from above.
ROOMS = (
    ("`__main__`: the script",),
    ("`testing`: for tests of applications",),
    ("`asgi`", "`cli`", "`embedded`", "`alembic`"),
    ("`settings`: every setting",),
    ("`cookie_settings`", "`environment`", "`request_settings`"),
    ("`memory`", "`postgres`", "`predecessors`"),
    ("`dbsc`", "`telemetry`"),
    ("`core`: what a session is",),
    ("`errors`: every error",),
    ("`printable`", "`version`", "`rare`"),
)


def outages() -> Picture:
    """Draw the states of a store while the server comes and goes."""
    it = Picture(
        "What requests with a session get while PostgreSQL is away",
        "While the server answers, requests are served. If it cannot be reached, they wait for up "
        "to a second. After that they get 503 at once, while the store tries to connect. When the "
        "server is back, requests are served again. If it accepts but does not answer, each "
        "request gets 503 after the timeout, until it answers again.",
    )
    left, width, inner, outer = 36, 206, 258, 346
    served = it.box(left, 8, width, "PostgreSQL answers:", "requests are served", kind="good")
    right = served.right
    it.arrow((112, served.bottom), (112, 110))
    it.note(104, 76, "cannot be", "reached", anchor="end")
    it.arrow((180, 110), (180, served.bottom + 2), kind="dashed")
    it.note(188, 76, "only a", "restart")
    wait = it.box(left, 112, width, "the first second:", "requests wait")
    it.arrow((wait.center, wait.bottom), (wait.center, 212))
    it.note(wait.center + 8, 188, "1 s is over")
    down = it.box(
        left, 214, width, "503 at once; the store tries", "to connect every 0.5 s", kind="bad"
    )
    it.arrow(
        (right, down.middle), (inner, down.middle), (inner, 38), (right + 2, 38), kind="dashed"
    )
    it.note(inner + 8, 130, "it is back:", "within", "some 2 s")
    slow = it.box(
        left, 300, width, "it accepts, but does not", "answer: 503 after `timeout`", kind="bad"
    )
    it.arrow((left, served.middle), (16, served.middle), (16, slow.middle), (left - 2, slow.middle))
    it.arrow(
        (right, slow.middle), (outer, slow.middle), (outer, 20), (right + 2, 20), kind="dashed"
    )
    it.note(outer - 8, 286, "it answers again", anchor="end")
    it.note(8, 376, "What a request gets meanwhile", kind="title")
    y = 388.0
    for kind, lines in (
        ("good", ("no cookie, or a forged one: served,", "unless the handler stores something")),
        ("good", ("a path in `exclude`: served",)),
        (
            "bad",
            ("a cookie of ours: 503, `Retry-After: 5`,", "no `Set-Cookie`: the browser keeps it"),
        ),
        (
            "plain",
            (
                "`on_unavailable` = `anonymous`: the page, with",
                "an empty session that cannot be changed",
            ),
        ),
    ):
        y = it.box(8, y, 344, *lines, kind=kind).bottom + 8
    return it


def web() -> Picture:
    """Draw when a response sets the cookie."""
    it = Picture(
        "When a response sets the cookie",
        "A response sets the cookie only if there is something new for it, the response may not be "
        "shared by a cache, the request came in a way that shows which session the browser has, "
        "and the session still has this key. Otherwise it sets none.",
    )
    steps = (
        (("is there something new", "for the cookie?"), "no"),
        (("may a cache keep it, and", "was no session used?"), "yes"),
        (("of another site, without", "the cookie and a new key?"), "yes"),
        (("does the session still", "have this key?"), "no"),
    )
    y, leaving = 8.0, 300
    tops = []
    for lines, leaves in steps:
        box = it.box(8, y, 210, *lines)
        tops.append(box.middle)
        it.note(224, box.middle - 6, leaves)
        it.arrow((box.center, box.bottom), (box.center, box.bottom + 30))
        it.note(box.center + 8, box.bottom + 19, "no" if leaves == "yes" else "yes")
        y = box.bottom + 32
    it.box(8, y, 210, "`Set-Cookie`,", "`private, no-store`", kind="good")
    for top in tops:
        it.line((218, top), (leaving, top))
    it.arrow((leaving, tops[0]), (leaving, y - 2))
    it.box(240, y, 116, "no cookie;", "a later", "response", "may set it", kind="bad")
    return it


def architecture() -> Picture:
    """Draw the rooms of the package, each above those that it may import."""
    it = Picture(
        "The rooms of the package",
        "Each row of rooms imports only from the rows below it. Rooms of one row do not know each "
        "other. From above: " + "; ".join(", ".join(row).replace("`", "") for row in ROOMS) + ".",
    )
    top = 8.0
    for rooms in ROOMS:
        width = (344 - 6 * (len(rooms) - 1)) / len(rooms)
        bottom = top
        for number, room in enumerate(rooms):
            kind = {"`postgres`": "database", ROOMS[7][0]: "good"}.get(room, "plain")
            lines = [room]
            if "`environment`" in rooms:  # two of these names are too long for a line
                lines = [room.replace("_settings`", "_`"), "`settings`" * ("_s" in room)]
            box = it.box(8 + number * (width + 6), top, width, *lines, kind=kind)
            bottom = box.bottom
        if rooms is not ROOMS[-1]:
            it.arrow((180, bottom), (180, bottom + 18))
        top = bottom + 20
    return it
