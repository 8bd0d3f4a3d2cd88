"""What a visitor does in the shop."""

from tests.browser.window import Browser, StoredCookie

#: The names that the shop's cookie may have.
NAMES = {"__Host-session", "session"}


def log_in(browser: Browser, address: str, user: str) -> None:
    browser.open(address)
    submit_login(browser, user)


def submit_login(browser: Browser, user: str) -> None:
    browser.type("[name=user]", user)
    browser.follow("#login")


def log_out(browser: Browser, address: str) -> None:
    browser.open(address)
    browser.follow("#logout")


def user_at(browser: Browser, address: str) -> str:
    """Return the name of the user at the next request, or an empty string."""
    browser.open(address)
    return browser.text("#user")


def cookies_of_shop(browser: Browser) -> list[StoredCookie]:
    """Return the browser's session cookies of the shop."""
    return [cookie for cookie in browser.all_cookies() if cookie["name"] in NAMES]


def living_cookie(browser: Browser, address: str, user: str) -> str:
    """Log in and return the cookie's value. The session lives on; the browser forgets it."""
    log_in(browser, address, user)
    (cookie,) = cookies_of_shop(browser)
    browser.delete_all_cookies()
    return str(cookie["value"])


def ended_cookie(browser: Browser, address: str, user: str) -> str:
    """Log in and out and return the value of the session's cookie, which is still signed."""
    log_in(browser, address, user)
    (cookie,) = cookies_of_shop(browser)
    log_out(browser, address)
    return str(cookie["value"])


def plant(browser: Browser, address: str, content: str, attributes: str) -> None:
    """Set a session cookie by a script of the page at `address`."""
    browser.open(address)
    browser.run("document.cookie = arguments[0]", f"session={content}; Secure; {attributes}")
