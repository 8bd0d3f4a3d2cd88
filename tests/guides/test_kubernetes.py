"""docs/how-to/kubernetes.md: its manifests fit its program, and their commands run."""

import re
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
import yaml
from psycopg.conninfo import conninfo_to_dict

from pgsession import SessionSettings
from pgsession.cli.commands import command
from pgsession.environment import VARIABLES
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from tests.programs import ADDRESS, pgsession, uvicorn
from tests.project.conftest import Names, Program
from tests.project.documents import Document

PAGE: Final = Document("docs/how-to/kubernetes.md")

(APP,) = PAGE.programs

#: Closing the store takes so long with a server that does not answer: see shutdown.md.
CLOSING: Final = 2 * DEFAULT_TIMEOUT + 1


def manifests() -> Iterator[Any]:
    for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE.text, re.DOTALL | re.MULTILINE):
        yield from yaml.safe_load_all(text)


OBJECTS: Final = {(it["kind"], it["metadata"]["name"]): it for it in manifests()}

POD: Final = OBJECTS["Deployment", "shop"]["spec"]["template"]["spec"]
(SERVER,) = POD["containers"]
JOB: Final = OBJECTS["Job", "shop-migrate"]["spec"]["template"]["spec"]
STEPS: Final = [*JOB["initContainers"], *JOB["containers"]]


def test_variables() -> None:
    """The Secrets have settings that exist, and each container has one of them."""
    known = {variable for variable, _ in VARIABLES.values()}
    for name in ("shop", "shop-owner"):
        assert set(OBJECTS["Secret", name]["stringData"]) <= known
        assert conninfo_to_dict(OBJECTS["Secret", name]["stringData"]["SESSION_DATABASE_URL"])
    sources = [each["envFrom"][0]["secretRef"]["name"] for each in (*STEPS, SERVER)]
    assert sources == ["shop-owner", "shop", "shop"]


def test_names() -> None:
    """The Service finds the pods, and the probes find the port and the paths of the program."""
    labels = OBJECTS["Deployment", "shop"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Deployment", "shop"]["spec"]["selector"]["matchLabels"] == labels
    service = OBJECTS["Service", "shop"]["spec"]
    assert service["selector"] == labels
    (port,) = SERVER["ports"]
    assert service["ports"][0]["targetPort"] == port["name"]
    assert SERVER["command"][SERVER["command"].index("--port") + 1] == str(port["containerPort"])
    probes = [SERVER[f"{it}Probe"]["httpGet"] for it in ("startup", "liveness", "readiness")]
    assert {it["port"] for it in probes} == {port["name"]}
    excluded = OBJECTS["Secret", "shop"]["stringData"]["SESSION_EXCLUDE"].split(",")
    assert {it["path"] for it in probes} == set(excluded)
    assert len({each["image"] for each in (*STEPS, SERVER)}) == 1


def test_times() -> None:
    """Each limit is longer than what it waits for, and the page names them."""
    pause = int(SERVER["lifecycle"]["preStop"]["exec"]["command"][1])
    limit = int(SERVER["command"][SERVER["command"].index("--timeout-graceful-shutdown") + 1])

    assert POD["terminationGracePeriodSeconds"] > pause + limit + CLOSING
    assert SERVER["readinessProbe"]["timeoutSeconds"] > DEFAULT_TIMEOUT
    text = " ".join(PAGE.text.split())
    assert f"{pause} seconds for `preStop`, {limit} for requests under way" in text
    assert f"then {CLOSING:.0f} to close the store" in text
    assert f"`timeout`, which is {DEFAULT_TIMEOUT:.0f} seconds" in text


def test_connections() -> None:
    """The connections that the page counts are those of the settings and the replicas."""
    each = SessionSettings(secret_key="s" * 32).pool_size + 1
    deployment = OBJECTS["Deployment", "shop"]["spec"]
    pods = deployment["replicas"] + deployment["strategy"]["rollingUpdate"]["maxSurge"]
    text = " ".join(PAGE.text.split())

    assert f"which is {each}," in text
    assert f"up to {pods} pods, so {each * pods} connections" in text


def test_job(variables: dict[str, str]) -> None:
    """The steps of the Job succeed, with the variables that their Secrets have."""
    for step in STEPS:
        program, *arguments = step["command"]
        assert program == "pgsession"
        assert arguments[0] in command.commands
        secret = OBJECTS["Secret", step["envFrom"][0]["secretRef"]["name"]]["stringData"]
        done = pgsession(*arguments, **{name: variables.get(name, secret[name]) for name in secret})
        assert done.returncode == 0, done.stdout + done.stderr


def test_server(program: Program, variables: dict[str, str]) -> None:
    """The command of the Deployment serves the program, and its probes are answered."""
    written = program(APP)
    file = written.rename(written.with_name("shop.py"))
    name, *arguments = SERVER["command"]
    assert name == "uvicorn"
    for option, value in (("--host", "127.0.0.1"), ("--port", "0")):
        arguments[arguments.index(option) + 1] = value
    secret = OBJECTS["Secret", "shop"]["stringData"]
    given = {each["name"]: each["value"] for each in SERVER["env"]}
    given |= {it: variables.get(it, secret[it]) for it in secret}
    with uvicorn(["--app-dir", str(file.parent), *arguments], said=ADDRESS, **given) as address:
        for probe in ("startup", "liveness", "readiness"):
            path = SERVER[f"{probe}Probe"]["httpGet"]["path"]
            assert httpx.get(address + path).status_code == 200
        assert httpx.get(address).text == "1 visits"


@pytest.mark.parametrize("path", ["/alive", "/ready"])
def test_excluded(names: Names, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """The probes need the program's own routes, and no session."""
    monkeypatch.setenv(
        "SESSION_EXCLUDE", OBJECTS["Secret", "shop"]["stringData"]["SESSION_EXCLUDE"]
    )

    assert path in {route.path for route in names(APP)["app"].routes}
