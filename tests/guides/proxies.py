"""nginx, Caddy and HAProxy with the configurations of docs/how-to/reverse-proxies.md."""

import os
import re
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.browser.internet import SHOP, Certificate
from tests.faults.servers import free_port
from tests.programs import eventually
from tests.project.documents import Document

PAGE: Final = Document("docs/how-to/reverse-proxies.md")

NGINX, PREFIX, CACHE = re.findall(r"^```nginx\n(.*?)^```$", PAGE.text, re.DOTALL | re.MULTILINE)
CADDY, HAPROXY, WARNING = re.findall(r"^```text\n(.*?)^```$", PAGE.text, re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a proxy stands in front of an application."""

    address: str
    #: Trusts the certificate, for any name.
    tls: ssl.SSLContext


@dataclass(frozen=True, slots=True)
class Place:
    """What a configuration needs to know of this machine."""

    folder: Path
    certificate: Path
    port: int
    #: The address of the application, without the scheme.
    app: str


def _replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Replace each first text of the page by the second; it stands there."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


def nginx(place: Place, page: str = NGINX) -> Sequence[str | Path]:
    """Write the configuration of the page for nginx; return its command."""
    servers = _replaced(
        page,
        ("listen 443 ssl", f"listen 127.0.0.1:{place.port} ssl"),
        ("127.0.0.1:8000", place.app),
        ("/etc/ssl/example.org.crt", str(place.certificate)),
        ("/etc/ssl/example.org.key", str(place.certificate)),
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = " ".join(f"{kind}_temp_path {place.folder}/{kind};" for kind in kinds)
    user = "user root;" if os.geteuid() == 0 else ""
    file = place.folder / "nginx.conf"
    file.write_text(
        f"{user} daemon off; pid {place.folder}/pid; error_log {place.folder}/log; events {{}}\n"
        f"http {{ access_log off; {folders}\n{servers} }}\n"
    )
    return ["nginx", "-e", place.folder / "log", "-p", place.folder, "-c", file]


def nginx_with_cache(place: Place) -> Sequence[str | Path]:
    """Add the lines for a cache to the configuration of the page."""
    cache = _replaced(CACHE, ("/var/cache/nginx/app", str(place.folder / "cache")))
    return nginx(place, cache + NGINX)


def nginx_with_prefix(place: Place) -> Sequence[str | Path]:
    """Put the location for a prefix in the place of the other one."""
    return nginx(place, NGINX[: NGINX.index("    location / {")] + PREFIX + "}\n")


def caddy(place: Place) -> Sequence[str | Path]:
    """Write the configuration of the page for Caddy, with a certificate; return its command."""
    sites = _replaced(
        CADDY,
        (
            "example.org {",
            f"https://:{place.port} {{\n tls {place.certificate} {place.certificate}",
        ),
        ("127.0.0.1:8000", place.app),
    )
    file = place.folder / "Caddyfile"
    file.write_text(f"{{\n admin off\n auto_https off\n default_sni {SHOP}\n}}\n{sites}")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", file]


def haproxy(place: Place) -> Sequence[str | Path]:
    """Write the configuration of the page for HAProxy; return its command."""
    file = place.folder / "haproxy.cfg"
    file.write_text(
        _replaced(
            HAPROXY,
            ("bind :443", f"bind 127.0.0.1:{place.port}"),
            ("/etc/ssl/example.org.pem", str(place.certificate)),
            ("127.0.0.1:8000", place.app),
        )
    )
    return ["haproxy", "-db", "-f", file]


@contextmanager
def in_front(
    configure: Callable[[Place], Sequence[str | Path]], address: str, folder: Path
) -> Iterator[Site]:
    """Run a proxy in front of the application at an address; skip the test where it is missing."""
    certificate = Certificate.made_in(folder).file
    place = Place(folder, certificate, free_port(), address.removeprefix("http://"))
    program, *arguments = configure(place)
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin")
    if path is None:
        pytest.skip(f"no {program} here: install Debian's")
    tls = ssl.create_default_context(cafile=certificate)
    tls.check_hostname = False
    with subprocess.Popen([path, *arguments], stderr=subprocess.DEVNULL) as process:
        try:
            assert eventually(lambda: _accepts(place.port) or process.poll() is not None)
            assert process.poll() is None, "it has ended: see its log"
            yield Site(f"https://127.0.0.1:{place.port}", tls)
        finally:
            process.terminate()
            process.wait(10)


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True
