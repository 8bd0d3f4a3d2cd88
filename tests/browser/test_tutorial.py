"""examples/shop, the application of the tutorial, in Chromium."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.browser.window import Browser
from tests.programs import ADDRESS, uvicorn

SHOP = Path(__file__).parents[2] / "examples" / "shop"


@pytest.fixture
def shop(database_url: str, migrated_schema: str) -> Iterator[str]:
    """The address of the shop."""
    url = make_conninfo(database_url, options=f"-csearch_path={migrated_schema}")
    with psycopg.connect(url) as connection:
        connection.execute((SHOP / "app" / "account.sql").read_bytes())
    variables = {
        "SESSION_DATABASE_URL": url,
        "SESSION_SECRET_KEY": "a secret of more than thirty-two bytes",
    }
    arguments = ["--port", "0", "--app-dir", str(SHOP), "--factory", "app.main:make_app"]
    with uvicorn(arguments, said=ADDRESS, **variables) as address:
        yield address


def test_shop(browser: Browser, shop: str) -> None:
    """Its forms sign up and in, keep a visitor's cart, list the device and sign it out."""
    browser.open(shop)
    browser.follow("[action='/cart/tea'] button")
    browser.follow("[href='/sign-up']")
    for button in ("Sign up", "Sign in"):
        assert browser.text("button") == button
        browser.type("[name=name]", "ann")
        browser.type("[name=password]", "correct horse battery")
        browser.follow("button")
    assert "Signed in as ann." in browser.text("p")
    assert "tea: 1" in browser.text("[action='/cart/tea']")

    browser.follow("[href='/devices']")
    assert "(this one)" in browser.text("form p")
    browser.follow("form button")
    assert browser.address() == f"{shop}/sign-in"
