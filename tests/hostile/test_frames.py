"""No frame of ours that can raise shows a key, a secret or a database URL to an error tracker."""

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

import pgsession
from pgsession import PostgresStore, SessionError, SessionMiddleware, SessionSettings
from pgsession.cli.commands import command as cli
from pgsession.core.cookie import Cookie
from pgsession.core.hidden import Hidden, HiddenBytes, HiddenDict, hidden
from pgsession.core.store import Written

PACKAGE = str(Path(pgsession.__file__).parent)
SECRET = "hunter2-hunter2-hunter2-hunter2-hunter2"
PASSWORD = "s3cret-s3cret"
URL = f"postgresql://ann:{PASSWORD}@127.0.0.1:1/app"


def frames(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """Yield the variables of each frame of ours, of an error and what led to it."""
    while error is not None:
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            # What a dataclass generates has no file.
            if code.co_filename.startswith(PACKAGE) or code.co_filename == "<string>":
                for name, it in trace.tb_frame.f_locals.items():
                    yield f"{code.co_qualname}: {name}", repr(it)
            trace = trace.tb_next
        error = error.__cause__ or error.__context__


def assert_hidden(error: BaseException | None, *private: str) -> None:
    """Find that no frame shows what is private, and that there are frames."""
    seen = list(frames(error))
    assert seen
    assert [where for where, text in seen if any(each in text for each in private)] == []


@pytest.mark.parametrize(
    "variables",
    [
        {"SESSION_SAME_SITE": "laxx"},
        {"SESSION_DEFAULT_PERIOD": "x"},
        {"SESSION_DATABASE_URL": URL + "?bogus=1"},
        {"SESSION_DATABASE_URL": f"postgresql://ann:{PASSWORD}@host@other/app"},
        {"SESSION_DATABASE_URL": f"host=.x password={PASSWORD}"},
        {"SESSION_SECRET_KEY": f"{SECRET},hunter2"},
        {"SESSION_COOKIE": "a b"},
    ],
    ids=" ".join,
)
def test_environment(variables: dict[str, str]) -> None:
    """A typo in the environment shows neither the secret nor the password."""
    given = {"SESSION_SECRET_KEY": SECRET, "SESSION_DATABASE_URL": URL, **variables}

    with pytest.raises(SessionError) as caught:
        SessionSettings.from_env(given)

    assert_hidden(caught.value, "hunter2", PASSWORD)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: SessionSettings(secret_key=SECRET, database_url=URL, path="x"), id="settings"
        ),
        pytest.param(
            lambda: SessionSettings(secret_key=[SECRET, "hunter2"], database_url=URL), id="secrets"
        ),
        pytest.param(
            lambda: SessionMiddleware(Starlette(), secret_key={SECRET, "hunter2"}),  # type: ignore[arg-type] # a mistake
            id="set",
        ),
        pytest.param(
            lambda: SessionSettings(secret_key=SECRET, database_url=URL + "?bogus=1"), id="URL"
        ),
        pytest.param(
            lambda: SessionMiddleware(Starlette(), secret_key=SECRET, path="x"), id="middleware"
        ),
        pytest.param(lambda: PostgresStore(URL, sweep_every=-1), id="store"),
        pytest.param(lambda: PostgresStore([URL]), id="list"),  # type: ignore[arg-type] # a mistake
        pytest.param(lambda: PostgresStore(URL.encode()), id="bytes"),  # type: ignore[arg-type] # the same
        pytest.param(lambda: PostgresStore(URL, bogus=PASSWORD), id="keyword"),
        pytest.param(lambda: PostgresStore(host="a..b", password=PASSWORD), id="keywords"),
    ],
)
def test_arguments(make: Callable[[], object]) -> None:
    """Nor does a wrong argument."""
    with pytest.raises(SessionError) as caught:
        make()

    assert_hidden(caught.value, "hunter2", PASSWORD)


class ApplicationError(Exception):
    """An error of the application."""


@pytest.mark.parametrize("page", ["read", "change", "fail"])
def test_request(page: str) -> None:
    """A request that fails, at the store or in the application, does not show its key."""
    cookie = Cookie(secret_keys=[SECRET])
    key = "Zm9vYmFyLV9mb29iYXItX2Zvb2Jhci1fZm9vYmFy"
    seen: list[BaseException] = []

    async def act(request: Request) -> Response:
        if page == "fail":
            raise ApplicationError
        return Response(str(request.session))

    class Broken(pgsession.MemoryStore):
        async def get(self, key: str) -> Any:  # noqa: ARG002 - shown in this frame
            if page == "read":
                raise ApplicationError
            return pgsession.Entry({"a": 1}, self.default_period / 2)

        async def touch(self, key: str, **_: Any) -> Written:  # noqa: ARG002 - as above
            raise ApplicationError

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        try:
            await middleware(scope, receive, send)
        except ApplicationError as error:
            seen.append(error)
            raise

    app = Starlette(routes=[Route("/", act)])
    middleware = SessionMiddleware(app, Broken(), SECRET)
    header = cookie.write(key, None).decode().partition(";")[0]
    client = TestClient(watched, base_url="https://testserver")

    with pytest.raises(ApplicationError):
        client.get("/", headers={"Cookie": header})

    ours = [
        (where, text)
        for where, text in frames(seen[0])
        if not where.endswith((": scope", ": headers", "act: request"))  # Starlette's own
    ]
    assert ours
    assert [where for where, text in ours if key in text or SECRET in text] == []


async def test_broken_connection() -> None:
    """If the server cannot send a response, the cookie that it sets does not show."""
    store = pgsession.MemoryStore()
    made: list[str] = []

    class Store(pgsession.MemoryStore):
        async def generate(self, *arguments: Any, **keywords: Any) -> str:
            made.append(await store.generate(*arguments, **keywords))
            return made[0]

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        scope["session"]["user"] = "ann"
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        raise ApplicationError

    async def send(message: Any) -> None:
        del message  # the server's own
        raise ApplicationError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "scheme": "https"}

    with pytest.raises(ApplicationError) as caught:
        await SessionMiddleware(app, Store(), SECRET)(scope, receive, send)

    assert_hidden(caught.value, made[0])


def test_hidden() -> None:
    """What is hidden is what it was, but for its repr."""
    assert hidden("a") == "a"
    assert hidden(b"a") == b"a"
    assert hidden(["a", b"b"]) == ["a", b"b"]
    assert hidden(("a", b"b")) == ("a", b"b")
    assert hidden({"a"}) == {"a"}
    assert hidden(bytearray(b"a")) == b"a"
    assert "s3cret" not in repr(hidden({"s3cret"}))
    assert "s3cret" not in repr(hidden(["s3cret"]))
    assert hidden(None) is None
    shown = [Hidden("s3cret"), HiddenBytes(b"s3cret"), HiddenDict(a="s3cret")]
    assert "s3cret" not in repr(shown)
    assert f"{Hidden('a')}" == "a"


async def test_new_key() -> None:
    """A key that a store has made is hidden too."""
    key = await pgsession.MemoryStore().generate()

    assert isinstance(key, str)
    assert key not in repr([key])


@pytest.mark.parametrize("use", ["get", "set", "touch", "renew", "clear", "take", "merge"])
@pytest.mark.parametrize("kind", ["memory", "postgres"])
async def test_plain_key(use: str, kind: str, closed_port: int) -> None:
    """A key that the application passes as a plain str does not show in our frames."""
    key = "Zm9vYmFyLV9mb29iYXItX2Zvb2Jhci1fZm9vYmFy"
    store = (
        pgsession.MemoryStore()
        if kind == "memory"
        else PostgresStore(host="127.0.0.1", port=closed_port, timeout=0.2)
    )
    arguments: dict[str, tuple[Any, ...]] = {
        "set": ({"a": object()},),
        "take": ("a", None),
        "merge": (pgsession.Changes(set={"a": 1}),),
    }
    caught = None
    try:
        await getattr(store, use)(key, *arguments.get(use, ()))
    except (SessionError, TypeError) as error:
        caught = error
    if caught is not None:
        assert_hidden(caught, key)
    await store.close()
    assert caught is not None or (kind == "memory" and use in {"get", "clear", "take"})


@pytest.mark.parametrize("command", ["migrate", "sweep"])
def test_command(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command that fails shows no password in our frames."""
    monkeypatch.setenv("SESSION_DATABASE_URL", URL)

    with pytest.raises(SystemExit) as caught:
        cli.main([command], standalone_mode=False)

    assert PASSWORD not in capsys.readouterr().err
    assert_hidden(caught.value, PASSWORD)
