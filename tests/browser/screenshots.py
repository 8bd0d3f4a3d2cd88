"""Makes the pictures in docs/how-to/devices/, in Chromium:

python -m tests.browser.screenshots
"""

import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg

from pgsession.postgres.embedded import embedded_server
from pgsession.postgres.schema import migrate
from tests.browser.members import (
    PASSWORD,
    ROOT,
    Device,
    devices_served,
    is_watched,
    register,
    sign_in,
)
from tests.browser.window import DRIVER, Browser, opened
from tests.programs import eventually, running

PICTURES: Final = ROOT / "docs" / "how-to" / "devices"

FIREFOX: Final = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
SAFARI: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 "
    "(KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
)
EDGE: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0"
)

#: A part of a user agent, an address, and how long ago its sign-in and its last use were.
OLDER: Final = (
    ("Firefox", "198.51.100.24", "26 minutes", "0 minutes"),
    ("iPhone", "203.0.113.7", "9 days", "3 hours"),
    ("Edg", "198.51.100.24", "2 days", "1 day"),
)

#: Users for the pages of administrators, their devices, and how long ago they were seen.
USERS: Final = (
    ("Beatriz", (EDGE,), "12 minutes"),
    ("Chinedu", (SAFARI, FIREFOX, EDGE), "3 hours"),
    ("Dilara", (SAFARI,), "1 day"),
)

#: Width, height and pixels per point of a window.
DESK: Final = (860, 720, 1.5)
TABLE: Final = (860, 810, 1.5)
PHONE: Final = (390, 880, 1.5)
SMALL_PHONE: Final = (390, 560, 1.5)


def main() -> None:
    """Make the pictures."""
    if DRIVER is None:
        sys.exit("No chromedriver is installed.")
    PICTURES.mkdir(exist_ok=True)
    said = re.compile(r"(?<=started successfully on port )\d+")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pgsession-")))
        url = stack.enter_context(embedded_server(folder / "data"))
        migrate(url, schema="devices")
        address = stack.enter_context(
            devices_served(
                SESSION_DATABASE_URL=url,
                SESSION_SCHEMA="devices",
                SESSION_SECRET_KEY="a secret of more than thirty-two bytes",
                DEVICES_ADMIN_PASSWORD=PASSWORD,
            )
        )
        _, port = stack.enter_context(running([DRIVER, "--port=0"], said=said))
        driver = f"http://127.0.0.1:{port}"
        flags = ["--hide-scrollbars", f"--user-agent={FIREFOX}"]
        browser = stack.enter_context(opened(driver, folder / "profile", flags=flags))
        make_pictures(browser, address, url)
        make_pictures_of_users(browser, address, url)


def make_pictures(browser: Browser, address: str, url: str) -> None:
    """Use the page as a visitor would, and save what it looks like."""
    look(browser, DESK, "light")
    browser.open(f"{address}/sign-in")
    save(browser, "sign-in")

    register(browser, address, "Ann")
    for agent, label in ((SAFARI, ""), (EDGE, "Work laptop")):
        Device(address, agent).sign_in("Ann", label=label)
    make_older(url)
    browser.open(address)
    assert is_watched(browser)
    save(browser, "light")
    look(browser, DESK, "dark")
    save(browser, "dark")
    look(browser, PHONE, "light")
    save(browser, "phone")

    look(browser, SMALL_PHONE, "dark")
    other = Device(address, SAFARI)
    other.sign_in("Ann")
    other.post("/", "/devices/end-others")
    assert eventually(lambda: browser.text("h1") == "You were signed out")
    save(browser, "signed-out")


def make_pictures_of_users(browser: Browser, address: str, url: str) -> None:
    """Use the pages of an administrator, and save what they look like."""
    for name, (first, *more), seen in USERS:
        Device(address, first).register(name)
        for agent in more:
            Device(address, agent).sign_in(name)
        make_user_older(url, name, seen)
    look(browser, DESK, "light")
    sign_in(browser, address, "admin")
    for window, scheme, picture in (
        (TABLE, "light", "users"),
        (TABLE, "dark", "users-dark"),
        (PHONE, "light", "users-phone"),
    ):
        look(browser, window, scheme)
        browser.open(f"{address}/users")
        assert is_watched(browser)
        save(browser, picture)
    look(browser, DESK, "light")
    browser.follow("tbody tr:nth-child(4) a")
    assert is_watched(browser)
    save(browser, "user")


def make_user_older(url: str, name: str, seen: str) -> None:
    """Make it look as if a user had been away, from each device longer than from the one before."""
    with psycopg.connect(url) as connection:
        connection.execute(
            """
            WITH placed AS (
                SELECT session_key, row_number() OVER (ORDER BY login_on) AS place
                FROM devices.session JOIN devices.account ON user_id = id
                WHERE name = %s
            )
            UPDATE devices.session AS s
            SET seen_on = now() - placed.place * %s::interval,
                login_on = now() - placed.place * interval '6 days',
                login_client = jsonb_set(
                    login_client, '{address}', to_jsonb('203.0.113.' || 20 * placed.place)
                )
            FROM placed
            WHERE placed.session_key = s.session_key
            """,
            (name, seen),
        )


def make_older(url: str) -> None:
    """Make it look as if Ann had used her devices for some days, in several places."""
    with psycopg.connect(url) as connection:
        for name, address, login, use in OLDER:
            connection.execute(
                """
                UPDATE devices.session
                SET login_on = now() - %s::interval, seen_on = now() - %s::interval,
                    login_client = jsonb_set(login_client, '{address}', to_jsonb(%s::text))
                WHERE login_client->>'agent' LIKE %s
                """,
                (login, use, address, f"%{name}%"),
            )


def look(browser: Browser, window: tuple[int, int, float], scheme: str) -> None:
    """Give the window a size and a colour scheme."""
    width, height, scale = window
    browser.emulate(
        "setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=scale,
        mobile=width < DESK[0],
    )
    scheme_feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.emulate("setEmulatedMedia", features=[scheme_feature])


def save(browser: Browser, name: str) -> None:
    """Save what the window shows."""
    (PICTURES / f"{name}.png").write_bytes(browser.screenshot())


if __name__ == "__main__":
    main()
