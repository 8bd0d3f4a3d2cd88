"""The container of the tutorial: its command, without the container, and its limits."""

import re
from collections.abc import Iterator
from pathlib import Path
from signal import SIGTERM
from tempfile import TemporaryDirectory
from typing import IO

import pytest

from pgsession import SessionSettings
from pgsession.embedded import embedded_server
from tests.guides import tutorial
from tests.guides.tutorial import PATH, is_like, shell, shop, shown, typed
from tests.programs import ADDRESS, running
from tests.project.documents import Document


@pytest.fixture
def variables() -> Iterator[dict[str, str]]:
    """What the first chapter writes into dev.env, for a server that does not run yet."""
    # The account of the server can access this folder even if the tests run as root.
    with TemporaryDirectory(prefix="pgsession-") as place:
        for command in typed("counter"):
            if command.line.endswith("> dev.env"):
                shell(command.line, Path(place))
        text = Path(place, "dev.env").read_text("utf-8")
        yield dict(re.findall(r"^export (\w+)='?(.*?)'?$", text, re.MULTILINE))


def test_container(tmp_path: Path, variables: dict[str, str]) -> None:
    """The command of the container waits for the database, migrates, serves, and ends in time."""
    folder = tutorial.write(tmp_path)
    start, *asked = (it for it in typed("container") if not it.line.startswith(("(", "docker")))
    command = ["/bin/sh", "-c", f"cd {folder} && exec {start.line}"]
    waits = re.compile(re.escape(start.output.strip()).replace("…", ".*"))
    place = {"HOST": "127.0.0.1", "PATH": PATH, "PORT": "0"}
    url = variables["SESSION_DATABASE_URL"]
    with (
        running(command, said=waits, **variables, **place) as (process, _),
        embedded_server(Path(url.partition("?host=")[2]).parent) as started,
    ):
        assert started == url
        assert process.stdout is not None
        host = served(process.stdout)
        for it in asked:
            output = shell(it.line.replace("localhost:8000", host), folder, PORT=host[10:])
            assert it.is_seen(output), output
        process.send_signal(SIGTERM)
        process.wait(limit("start.sh", r"--timeout-graceful-shutdown (\d+)"))
        assert "refused" in shell(asked[-1].line, folder, PORT=host[10:])


def served(lines: IO[str]) -> str:
    """Return the host and the port once the shop serves, after the output of the page."""
    said = ""
    for line in lines:
        said += re.sub(r"^Applied .*\n", "", line)  # the page has migrated before
        if address := ADDRESS.search(line):
            expected = shown("container")[0].replace("http://0.0.0.0:8000", address[0])
            assert is_like(expected.partition("\n")[2], said), said
            return address[0].removeprefix("http://")
    raise AssertionError(said)


def limit(file: str, pattern: str) -> int:
    """Return a number in a file of the shop."""
    found = re.search(pattern, shop()[file])
    assert found is not None
    return int(found[1])


def test_limits() -> None:
    """Each time limit of the container leaves room for the one inside it."""
    asks = limit("app/health.py", r"timeout=(\d+)")

    assert limit("start.sh", r"--wait (\d+)") < limit("Dockerfile", r"--start-period=(\d+)s")
    assert SessionSettings(secret_key=32 * "secret").timeout < asks
    assert asks < limit("Dockerfile", r"--timeout=(\d+)s")
    assert limit("start.sh", r"--timeout-graceful-shutdown (\d+)") < limit(
        "compose.yaml", r"stop_grace_period: (\d+)s"
    )


def test_page() -> None:
    """The page names the limits that its files have."""
    page = " ".join(Document("docs/tutorial/container.md").text.split())
    (secrets,) = (it.line for it in typed("container") if it.line.startswith("("))

    assert limit("start.sh", r"--wait (\d+)") == 60
    assert "`--wait 60` tries for a minute" in page
    assert limit("start.sh", r"--timeout-graceful-shutdown (\d+)") == 20
    assert page.count("twenty seconds") == 2
    assert limit("Dockerfile", r"--interval=(\d+)s") == 10
    assert "asks `/ready` every ten seconds" in page
    assert set(re.findall(r"\$\{(\w+):\?", shop()["compose.yaml"])) == set(
        re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", secrets)
    )


def test_image() -> None:
    """What the Dockerfile copies is in the finished shop, and `.dockerignore` leaves it in."""
    files = shop()
    copied = re.findall(r"^COPY (.+?)/? ", files["Dockerfile"], re.MULTILINE)
    left_in = re.findall(r"^!(.+)$", files[".dockerignore"], re.MULTILINE)

    assert sorted(copied) == sorted(left_in)
    assert set(copied) - {"wheels"} <= {name.partition("/")[0] for name in files}
