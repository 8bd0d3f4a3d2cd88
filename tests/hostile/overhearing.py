"""Collects texts from errors, logs, pages and objects, and searches them for secrets."""

import asyncio
import gc
import logging
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from httpx import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.pages import NAME

#: This many characters identify a secret: reprs and log lines are cut in the middle.
_ENOUGH: Final = 10

#: The key and the signature of a cookie are longer; its time is no secret.
_LONGEST_TIME: Final = 12


class Ear:
    """Collects texts and knows the secrets that must not occur in them."""

    def __init__(self, *secrets: str) -> None:
        self._secrets = set(secrets)
        self._told: list[str] = []

    def keep(self, *secrets: str) -> None:
        """Add secrets."""
        self._secrets.update(secrets)

    def note(self, *texts: str) -> None:
        self._told += texts

    def note_error(self, error: BaseException) -> None:
        """Collect the texts of an error and of the errors and objects attached to it."""
        self._told += _texts_of_error(error, set())

    def note_objects(self) -> None:
        """Collect the reprs of all objects of this package and of all tasks in the event loop."""
        for it in gc.get_objects():
            if str(type(it).__module__).partition(".")[0] == "pgsession":
                self._told.append(repr(it))
        self._told += [repr(task) for task in asyncio.all_tasks()]

    async def note_response(self, response: Response) -> None:
        """Collect the body of a response; the cookie that it sets is a secret."""
        await response.aread()
        self._told.append(response.text)
        for cookie in response.headers.get_list("set-cookie"):
            signed = cookie.partition(";")[0].removeprefix(f"{NAME}=")
            self.keep(*(part for part in signed.split(".") if len(part) > _LONGEST_TIME))

    def leaks(self) -> list[str]:
        """Return the collected texts that contain a secret."""
        ends = {end for it in self._secrets for end in (it[:_ENOUGH], it[-_ENOUGH:])}
        return [text for text in self._told if any(end in text for end in ends)]

    def __len__(self) -> int:
        return len(self._told)


class Overheard:
    """An application that wraps another one and collects the errors that it raises."""

    def __init__(self, app: ASGIApp, ear: Ear) -> None:
        self._app = app
        self._ear = ear

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            self._ear.note_error(error)
            raise


class _Recorder(logging.Handler):
    """Collects each log record: its formatted text, its attributes and its traceback."""

    def __init__(self, ear: Ear) -> None:
        super().__init__(logging.DEBUG)
        self._ear = ear

    def emit(self, record: logging.LogRecord) -> None:
        self._ear.note(self.format(record), *(f"{part!r}" for part in vars(record).values()))
        if record.exc_info and record.exc_info[1]:
            self._ear.note_error(record.exc_info[1])


@asynccontextmanager
async def listening(ear: Ear) -> AsyncIterator[None]:
    """Collect the records of all loggers at DEBUG level, with asyncio in debug mode."""
    root, recorder, loop = logging.getLogger(), _Recorder(ear), asyncio.get_running_loop()
    names = ("psycopg", "psycopg.pool", "asyncio", "pgsession")
    before = {logger: logger.level for logger in (root, *map(logging.getLogger, names))}
    slow, handler = loop.slow_callback_duration, loop.get_exception_handler()
    root.addHandler(recorder)
    for logger in before:
        logger.setLevel(logging.DEBUG)
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    loop.set_exception_handler(None)  # the test runner's handler would fail the test
    try:
        yield
        gc.collect()  # unawaited coroutines and lost errors are reported now
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = slow
        loop.set_exception_handler(handler)
        root.removeHandler(recorder)
        for logger, level in before.items():
            logger.setLevel(level)


def _texts_of_error(error: BaseException, seen: set[int]) -> Iterator[str]:
    if id(error) in seen:
        return
    seen.add(id(error))
    yield from traceback.TracebackException.from_exception(error).format()
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    if isinstance(error, psycopg.Error):
        yield from (f"{getattr(error.diag, part)}" for part in dir(error.diag) if part[0] != "_")
    if isinstance(error, UnicodeError | SyntaxError):
        yield repr([getattr(error, part, None) for part in ("object", "text")])
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _texts_of_error(one, seen)
    for other in (error.__cause__, error.__context__):
        if other is not None:
            yield from _texts_of_error(other, seen)
