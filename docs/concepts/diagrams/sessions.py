"""The pictures of what a session is made of: its key, its lifetimes, its device."""

from __future__ import annotations

from docs.concepts.diagrams.drawing import Picture


def keys() -> Picture:
    """Draw the parts of a cookie, and what the row has of each."""
    it = Picture(
        "What the cookie holds, and what the row holds",
        "The cookie has a selector, a verifier, a number, a date and a signature. The row has the "
        "digests of selector and verifier, and the number. It has neither date nor signature.",
    )
    it.note(8, 22, "in the cookie", kind="title")
    it.note(212, 22, "in the row", kind="title")
    parts = (
        (
            ("selector", "40 characters,", "240 random bits"),
            ("`session_key`:", "its digest, which", "finds the row"),
        ),
        (
            ("verifier, if renewed", "32 characters,", "192 random bits"),
            ("`verifier`:", "its digest, replaced", "by a renewal"),
        ),
        (("number", "how often the cookie", "was rotated"), ("`key_number`:", "the same number")),
        (("until", "when the browser", "drops the cookie"), ()),
        (("signature", "HMAC-SHA-256 with", "`secret_key`"), ()),
    )
    y = 36.0
    for cookie, row in parts:
        box = it.box(8, y, 160, *cookie)
        if row:
            height = 18 * len(row) + 12
            it.box(206, box.middle - height / 2, 148, *row, kind="database")
            it.arrow((box.right, box.middle), (204, box.middle))
        else:
            it.note(206, box.middle + 5, "not stored")
        y = box.bottom + 16
    it.note(8, y + 10, "The signature covers all that stands above it.")
    return it


def lifetimes() -> Picture:
    """Draw the life of one session as a timeline."""
    it = Picture(
        "The life of a session with a period of seven days",
        "A visit soon after the last extension writes nothing. A visit after a tenth of the period "
        "extends the row and sets the cookie again. Seven days after the last extension the "
        "session has expired, and a sweep deletes its row. max_lifetime ends a session that is "
        "used without a pause.",
    )
    it.note(276, 22, "row", anchor="middle", kind="title")
    it.note(330, 22, "cookie", anchor="middle", kind="title")
    days = (
        (50, "day 0", ("login: `INSERT`,", "`Max-Age` 7 days")),
        (106, "+ 12 h", ("visit: `SELECT` alone",)),
        (162, "day 1", ("visit: a tenth is over:", "`UPDATE`, cookie again")),
        (254, "day 8", ("7 days without a visit:", "expired, no longer found")),
        (324, "later", ("the sweep: `DELETE`",)),
    )
    it.line((60, 40), (60, 340), kind="line")
    for y, day, lines in days:
        it.note(52, y + 5, day, anchor="end")
        it.line((56, y), (64, y))
        it.note(72, y + 5, *lines)
    for x, end in ((276, 254), (330, 254)):
        it.line((x, 50), (x, 160), kind="database thick")
        it.line((x, 164), (x, end), kind="good thick")
    it.line((276, 256), (276, 324), kind="bad thick")
    for y, kind, meaning in (
        (364, "database", "what the login has granted"),
        (386, "good", "what the visit of day 1 has added"),
        (408, "bad", "expired: the row is still in the table"),
    ):
        it.line((8, y), (32, y), kind=f"{kind} thick")
        it.note(42, y + 5, meaning)
    it.note(8, 444, "It ends with the first of these", kind="title")
    bottom = 456.0
    for name, lines in (
        ("`default_period`", ("or `session.period`, after", "the last extension")),
        ("`max_inactivity`", ("after the last extension,", "whatever the period is")),
        ("`max_lifetime`", ("after the session began,", "or the last login")),
    ):
        box = it.box(8, bottom, 140, name)
        it.note(156, bottom + 11, *lines)
        bottom = box.bottom + 14
    return it


def binding() -> Picture:
    """Draw the messages of a session that is bound to a device."""
    it = Picture(
        "The messages of device binding",
        "The sign-in offers a registration. The browser makes a key and registers it. From then on "
        "requests come with two cookies. When the second one ends, the browser signs a challenge "
        "and gets a new one.",
    )
    browser, server, base = 44, 204, 316
    lanes = (browser, "browser", 80, "plain"), (server, "pgsession", 90, "plain")
    for x, name, width, kind in (*lanes, (base, "database", 84, "database")):
        it.box(x - width / 2, 8, width, name, kind=kind)
    y = 40.0

    def ask(*lines: str, statement: str = "") -> None:
        nonlocal y
        y += 18
        it.note((browser + server) / 2, y, *lines, anchor="middle")
        y += 18 * (len(lines) - 1) + 8
        it.arrow((browser, y), (server - 2, y))
        if statement:
            it.note((server + base) / 2, y - 5, statement, anchor="middle")
            it.arrow((server, y), (base - 2, y))
        y += 8

    def answer(*lines: str) -> None:
        nonlocal y
        y += 18
        it.note((browser + server) / 2, y, *lines, anchor="middle")
        y += 18 * (len(lines) - 1) + 8
        it.arrow((server, y), (browser + 2, y), kind="dashed")
        y += 10

    ask("sign-in", statement="login")
    answer("session cookie,", "an offer to register")
    y = it.box(4, y + 8, 200, "the browser makes a key,", "its private half stays there").bottom + 4
    ask("`/register`, signed:", "the public key", statement="store key")
    answer("200, challenge,", "bound cookie,", "instructions")
    y = (
        it.box(
            188, y + 8, 168, "the offer is good for", "60 s, and for one key", kind="quiet"
        ).bottom
        + 4
    )
    ask("a page,", "both cookies", statement="load")
    answer("the page")
    y = (
        it.box(4, y + 8, 236, "the bound cookie ends: the", "browser holds the next request").bottom
        + 4
    )
    ask("`/refresh`:", "signed challenge", statement="load key")
    answer("200, bound cookie")
    ask("the request", "that waited", statement="load")
    answer("the page")
    it.box(
        4,
        y + 10,
        352,
        "after the first page with both cookies,",
        "the session cookie alone opens",
        "an empty session",
        kind="bad",
    )
    for x in (browser, server, base):
        it.lane(x, 38)
    return it
