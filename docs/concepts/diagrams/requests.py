"""The pictures of what happens in and between requests."""

from __future__ import annotations

from docs.concepts.diagrams.drawing import LINE, Picture


def request() -> Picture:
    """Draw the way of one request."""
    it = Picture(
        "The way of one request",
        "A request is checked, its cookie is verified, one SELECT loads the session, the handler "
        "runs without a connection, and when the response starts at most one change is committed "
        "before the first byte leaves. On the right: where the way ends early.",
    )
    steps = (
        ("plain", ("the request arrives",), ()),
        ("plain", ("`csrf_protection`", "and `exclude`"), ("403, or no", "session: no SQL")),
        (
            "plain",
            ("find the cookie,", "verify its signature"),
            ("no valid cookie:", "no SQL, empty", "session"),
        ),
        ("database", ("`SELECT`", "1 statement"), ("not found: empty", "no answer: 503")),
        ("plain", ("its number, its device",), ("too old, or no", "proof: empty")),
        ("good", ("the handler runs", "no connection is held"), ()),
        ("plain", ("the response starts:", "compare, and decide"), ("nothing to do:", "no SQL")),
        (
            "database",
            ("`INSERT`, `UPDATE` or", "`DELETE`: 1 statement,", "committed"),
            ("not saved: 503",),
        ),
        ("plain", ("`Vary`; and `Set-Cookie`", "if it has something new"), ()),
        ("good", ("the first byte leaves",), ()),
    )
    y = 8.0
    for number, (kind, lines, aside) in enumerate(steps):
        box = it.box(8, y, 190, *lines, kind=kind)
        if aside:
            it.arrow((box.right, box.middle), (220, box.middle))
            it.note(226, box.middle + 5 - LINE * (len(aside) - 1) / 2, *aside)
        if number < len(steps) - 1:
            it.arrow((box.center, box.bottom), (box.center, box.bottom + 20))
        y = box.bottom + 20
    return it


def merging() -> Picture:
    """Draw two requests that share a session."""
    it = Picture(
        "Two requests of one session at the same time",
        "Both requests load the same row. A changes cart, B changes theme. Each sends only what it "
        "has changed, so the row has both. Then B signs out, which deletes the row, and a late "
        "change of A finds no row.",
    )
    a, row, b = 40, 180, 320
    lanes = (a, "request A", "plain"), (row, "the row", "database"), (b, "request B", "plain")
    for x, name, kind in lanes:
        it.box(max(4, min(x - 50, 256)), 8, 100, name, kind=kind)
    y = 66.0
    for kind, lines in (
        ("loads", ("`cart: 1`",)),
        ("a", ("`cart = 2`",)),
        ("row", ("`cart: 2`",)),
        ("b", ("`theme = dark`",)),
        ("row", ("`cart: 2`", "`theme: dark`")),
        ("end", ("sign out",)),
        ("row", ("deleted",)),
        ("late", ("`seen = now`",)),
    ):
        y = _step(it, kind, lines, y, (a, row, b))
    for x in (a, row, b):
        it.lane(x, 38)
    return it


def _step(
    it: Picture, kind: str, lines: tuple[str, ...], y: float, lanes: tuple[float, float, float]
) -> float:
    a, row, b = lanes
    if kind == "loads":
        it.arrow((row, y), (a + 2, y), kind="dashed")
        it.arrow((row, y), (b - 2, y), kind="dashed")
        it.note((a + row) / 2, y - 6, "load", anchor="middle")
        it.note((b + row) / 2, y - 6, "load", anchor="middle")
        return it.box(row - 56, y + 12, 112, *lines, kind="database").bottom + 32
    if kind == "row":
        return it.box(row - 56, y - 22, 112, *lines, kind="database").bottom + 32
    x, other = (b, row + 2) if kind in {"b", "end"} else (a, row - 2)
    it.arrow((x, y), (other, y))
    it.note((x + other) / 2, y - 6, *lines, anchor="middle")
    if kind == "late":
        it.box(
            8, y + 14, 250, "no such row: nothing is written,", "and no cookie is set", kind="bad"
        )
        return y
    it.note((x + other) / 2, y + 17, "DELETE" if kind == "end" else "only this", anchor="middle")
    return y + 50


def batching() -> Picture:
    """Draw how calls become batches."""
    it = Picture(
        "How waiting calls share a statement",
        "The first two calls leave at once, each as a statement of its own. Calls that arrive "
        "meanwhile wait. When a statement returns, about half of them leave together in the next.",
    )
    first, second = 186, 286
    it.note(8, 24, "calls", kind="title")
    it.note(first, 24, "lane 1", anchor="middle", kind="title")
    it.note(second, 24, "lane 2", anchor="middle", kind="title")
    it.note(8, 58, "call 1: at once")
    it.arrow((112, 54), (first - 44, 54))
    one = it.box(first - 42, 40, 84, "1 row", "", "", "", kind="database")
    it.note(8, 94, "call 2: at once")
    it.arrow((112, 90), (first - 46, 90), kind="")
    it.arrow((first + 44, 90), (second - 44, 90))
    two = it.box(second - 42, 76, 84, "1 row", "", "", "", "", kind="database")
    it.note(8, 130, "calls 3 to 82:")
    it.note(8, 148, "both lanes are", "busy, they wait")
    it.arrow((first, one.bottom), (first, 186), kind="dashed")
    it.note(8, 210, "lane 1 is free:", "half of them")
    it.arrow((112, 206), (first - 44, 206))
    it.box(first - 42, 188, 84, "41 rows", "in one", "statement", kind="database")
    it.arrow((second, two.bottom), (second, 222), kind="dashed")
    it.note(8, 276, "lane 2 is free: the rest")
    it.arrow((164, 271), (second - 44, 271))
    it.box(second - 42, 224, 84, "39 rows", "in one", "statement", kind="database")
    return it


def locked_rows() -> Picture:
    """Draw what happens to calls whose row something else holds."""
    it = Picture(
        "A row that another transaction holds",
        "A batch waits 0.1 seconds for a row that something else holds. Then it is sent again "
        "without that row: all others are answered. The call that was left out is tried again "
        "every 0.05 seconds, until the row is free or the timeout has passed.",
    )
    batch = it.box(8, 8, 190, "one `UPDATE` for A, B and C", kind="database")
    it.note(208, 22, "another transaction", "holds the row of B")
    it.arrow((batch.center, batch.bottom), (batch.center, 78), kind="dashed")
    it.note(118, 62, "waits 0.1 s")
    again = it.box(8, 80, 190, "sent again, with locked", "rows left out", kind="database")
    it.note(208, 98, "the first one has", "changed nothing")
    it.arrow((50, again.bottom), (50, 160))
    it.arrow((160, again.bottom), (160, 160))
    it.box(8, 162, 94, "A and C are", "answered", kind="good")
    apart = it.box(112, 162, 118, "B is set apart")
    it.note(238, 172, "holds no", "connection; all", "statements now", "skip such rows")
    it.arrow((apart.center, apart.bottom), (apart.center, 244), kind="dashed")
    it.note(apart.center - 8, 222, "every 0.05 s", anchor="end")
    tried = it.box(112, 246, 118, "tried again", kind="database")
    it.arrow((130, tried.bottom), (130, 316), (80, 316), (80, 334))
    it.arrow((212, tried.bottom), (212, 316), (268, 316), (268, 334))
    it.note(8, 306, "row is free")
    it.note(354, 306, "`timeout` is over", anchor="end")
    it.box(8, 336, 144, "B is answered", kind="good")
    it.box(188, 336, 164, "`SessionBusyError`", "503 for B alone", kind="bad")
    return it
