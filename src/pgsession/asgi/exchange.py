"""One request and its response: loads the session, and commits it before the response starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import copy_context
from typing import Final, assert_never

from starlette.types import Message, Scope, Send

from pgsession import rare
from pgsession.asgi.caching import Headers, may_be_shared, varies
from pgsession.asgi.headers import session_headers, with_vary
from pgsession.asgi.loading import LoadedRequest
from pgsession.asgi.policy import Policy
from pgsession.asgi.reference import Reference
from pgsession.asgi.unavailable import UnavailableSession
from pgsession.asgi.unproven import UnprovenSession
from pgsession.core.content_session import put_back
from pgsession.core.current import current
from pgsession.core.hidden import Hidden
from pgsession.core.login import NO_SIGNING
from pgsession.core.logs import event, own_logger
from pgsession.core.session import Session
from pgsession.core.state import SessionState
from pgsession.core.tracked import set_state
from pgsession.errors import StoreUnavailableError

_LOGGER = own_logger()

#: The messages that start a response and can carry headers.
STARTS: Final = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)

_RESPONSE: Final = "http.response.start"
_BODY: Final = "http.response.body"

#: The sessions that refuse a change.
_READ_ONLY: Final = (UnavailableSession, UnprovenSession)

#: A response with this status or above says that the request has failed: nothing is saved.
_SERVER_ERROR: Final = 500


class Exchange(LoadedRequest):
    """One request and its response.

    The session is loaded once, before the application sees the scope, and
    committed once, when the response starts. Later changes are committed when
    the application's call ends: `finish`.
    """

    #: The message that has started the response, if the session was not used before.
    _unused_start: Message | None = None
    #: Calls the application's hook about a new device.
    hook: asyncio.Task[None] | None = None
    #: The root_path with which the middleware was called, where sessions are bound to devices.
    _root_path: str = ""
    session: Session
    state: SessionState
    started: bool

    def __init__(self, policy: Policy, scope: Scope, send: Send) -> None:
        # As `Binding` does, but cheaper: every request comes here.
        self._policy = policy
        self.session = session = Session.__new__(Session)
        self.state = state = SessionState()
        state.attachment = self
        set_state(session, state)
        self._scope = scope
        self._send = send
        self._is_visitor = True  # an instance's own attribute is read faster
        if policy.device_binding is not None:
            self._root_path = scope.get("root_path", "")

    def check_neighbour(self, policy: Policy) -> None:
        """Warn, once, if another middleware inside, of this policy, uses our name or place."""
        if policy.outage_log is self._policy.outage_log:  # the same middleware
            return
        if policy.cookie.name == self._policy.cookie.name:
            self._policy.warnings.same_name()
        ours, theirs = self._policy.device_binding, policy.device_binding
        if ours is not None and theirs is not None and ours.shares_place(theirs):
            self._policy.warnings.same_place()

    @property
    def reference(self) -> Reference | None:
        """What leads to the row, also after this request; None without a row."""
        key = self._key
        if key is None:
            return None
        if not isinstance(key, Hidden):  # of a store that is not this package's
            key = Hidden(key)
        return Reference(self._policy, key, self._is_proved, self._judged_until)

    def is_finished(self) -> bool:
        """Return True if nothing is left to commit after the application's call."""
        state, session = self.state, self.session
        is_untouched = self._scope.get("session") is session
        if not state.accessed:
            return is_untouched
        return is_untouched and state.is_unchanged(session) and not self.is_due_again

    def send(self, message: Message) -> Awaitable[None]:
        """Send a message. If the response starts with it, commit the session before.

        Return the server's own awaitable if there is nothing to commit.
        """
        if self._is_visitor and not self.state.accessed:  # nothing to commit
            if message["type"] not in STARTS:
                return self._send(message)
            if self._scope.get("session") is self.session:
                self.started = True
                self._unused_start = message = _with_list(message)
                return self._send(message)
        if self.started or message["type"] not in STARTS:
            if self._unused_start is not None and message["type"] == _BODY:
                self._check_late_use(self._unused_start)
            if self._spared and message.get("more_body"):
                self._tell_spared()
            return self._drop(message) if self._is_replaced else self._send(message)
        if self._key is not None and self._is_quiet(message):  # nearly always
            return self._start_quietly(message)
        return self._start(message)

    def _start_quietly(self, message: Message) -> Awaitable[None]:
        """Do what `_start` does for a living session of which nothing is due but its changes.

        That is a third of the price for one that was only read, if at all. With changed members it
        saves 4 to 6 µs of 60 for the whole request.
        """
        state = self.state
        if not state.accessed:
            self._unused_start = message = _with_list(message)
        # `is_unchanged` writes typed objects to the content; `may_merge` looks at that.
        elif (not state.is_written or state.typed is not None) and state.is_unchanged(self.session):
            message = _varying(message)
        else:
            return self._start_changed(message) if self.may_merge() else self._start(message)
        self.started = True
        return self._send(message)

    def _is_quiet(self, message: Message) -> bool:
        """Return True if nothing is due of a living session, but that members may have changed."""
        state = self.state
        return (
            message.get("status", 0) < _SERVER_ERROR
            and state.signing is NO_SIGNING
            and not state.renewed
            and not state.period_changed
            and self._task_lock is None  # else tasks may write, and flash messages were taken
            and not self._cookie_due
            and not self._is_rotation_due
            and self._judged_until is None
            and self._scope.get("session") is self.session
            and not self._touch_due()
            and not self._is_behind()
        )

    def _check_late_use(self, start: Message) -> None:
        """Warn if a body that a cache may keep was the first to use the session."""
        if self.state.accessed:
            self._unused_start = None
            headers = start.get("headers", ())
            if may_be_shared(start.get("status", 0), headers) and not varies(headers):
                self._policy.warnings.read_late()

    async def _start_changed(self, message: Message) -> None:
        """Merge the changes, and start the response, or send a 503 instead."""
        try:
            await self.merge()
        except StoreUnavailableError as error:
            self.started = True
            await self._replace(error)
            return
        # While it was saved, it has ended, or its number was raised.
        if self._key is None or self._is_behind():
            await self._start(message)
            return
        self.started = True
        await self._send(_varying(message))

    async def _start(self, message: Message) -> None:
        """Commit the session, add its headers and start the response, or send a 503 instead."""
        status, headers = message.get("status", 0), list(message.get("headers", ()))
        if status >= _SERVER_ERROR:
            self.discard()
        session = self.session
        try:
            self._look_at_session()
            if self._judged_until is not None:
                await self._judge_at_start()
            if status == _SERVER_ERROR and self._failure is not None:
                raise self._failure  # a mounted application has turned it into its own 500
            # A page that used no session may be one for everybody.
            if self._is_rotation_due and self._may_rotate(status, headers):
                await self.rotate()
            extend = self.state.accessed or (
                self._is_extension_due() and not may_be_shared(status, headers)
            )
            if self._is_taken_over and not self.state.accessed and may_be_shared(status, headers):
                self._cookie_due = False  # the next request finds the session again
            # Without blocks around the response, nearly always, a coroutine less.
            commit = self.commit if self._waiter is None else self._commit_at_start
            cookie = await commit(extend=extend)
            old = () if cookie is None else await self._old_deletion()
        except StoreUnavailableError as error:
            self.started = True
            await self._replace(error)
            return
        self.started = True
        if cookie is not None or self._scope.get("session") is not session:
            self._policy.warnings.check_neighbour(headers)
        cookies: Sequence[bytes] = ()
        if cookie is not None:
            self._policy.warnings.check_cookie(self._scope)
            cookies = (
                *self._twin_deletions(),
                *self._bound_deletion(),
                *old,
                cookie,
            )
        headers = session_headers(headers, session=session, cookies=cookies)
        if cookie is not None and self._is_offered and message["type"] == _RESPONSE:
            headers = [*headers, *self._offer()]
        start = {**message, "headers": headers}
        self._unused_start = None if self.state.accessed else start
        await self._send(start)
        if message["type"] != _RESPONSE:
            self._tell_spared()
        if cookie is not None and self._new_device is not None:
            self._begin_hook(self._new_device)

    def _look_at_session(self) -> None:
        """Find what is in the place of the session, and what typed objects of it have changed.

        Flash messages that nothing has read are put back.
        """
        session = self.session
        if self.state.flashes is not None:
            put_back(session)
        if self._scope.get("session") is not session:
            self._apply_replacement()
        if isinstance(session, _READ_ONLY) and self.state.is_modified(session):
            session.update()  # raises, as for any change

    def _apply_replacement(self) -> None:
        """Do to the session what the application says by an object in its place in the scope."""
        session, scope = self.session, self._scope
        if self._discarded and not session.is_unavailable:
            return  # the request has failed
        match rare.judge_replacement(scope):
            case rare.Replacement.NEIGHBOUR:
                return
            case rare.Replacement.UNKNOWN:
                self._policy.warnings.replaced(type(scope["session"]))
                return
            case rare.Replacement.END:
                session.logout()
            case rare.Replacement.CONTENT:
                content = scope["session"]
                session.clear()
                session.update(content)
            case other:
                assert_never(other)
        scope["session"] = session

    async def _commit_at_start(self, *, extend: bool) -> bytes | None:
        """Commit, and let no `lasting` block around the response cut that off."""
        self._responding = asyncio.current_task()
        try:
            return await self.commit(extend=extend)
        finally:
            self._responding = None

    async def _judge_at_start(self) -> None:
        """Judge a request again whose response starts after its proof has ended."""
        if self._judged_until is not None and time.monotonic() >= self._judged_until:
            if self._is_proved and self._cookie_due and self.state.signing is NO_SIGNING:
                # The browser must learn a key that was saved in time. Nothing else is kept.
                self.discard()
                return
            async with self._hold_task_lock():
                await self.judge_again()

    def _bound_deletion(self) -> Sequence[bytes]:
        """Return the Set-Cookie text that deletes the bound cookie of a session that has ended."""
        binding = self._policy.device_binding
        if binding is None or not self._has_new_key or self._is_proved or self._is_offered:
            return ()
        return [binding.cookie.delete()] if binding.cookie.find(self._scope["headers"]) else ()

    async def _old_deletion(self) -> Sequence[bytes]:
        """Return the Set-Cookie text that deletes the cookie from before a switch, if it is due."""
        takeover = self._policy.takeover
        if takeover is None:
            return ()
        is_ended = self._has_ended or self._key is None
        return await takeover.deletion(self._scope, is_ended=is_ended, is_known=self._has_old)

    def _offer(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the header that offers a registration to a browser that has signed in."""
        binding, key = self._policy.device_binding, self._key
        if binding is None or key is None:
            return ()
        return [binding.offer(self._root_path, key, self.state.login_number)]

    def _may_rotate(self, status: int, headers: Headers) -> bool:
        """Return True if the browser surely keeps a cookie of this response, and no cache does."""
        is_page = self._scope["type"] == "http" and status < _SERVER_ERROR
        return is_page and not may_be_shared(status, headers)

    def _twin_deletions(self) -> Sequence[bytes]:
        """Return Set-Cookie texts that delete the browser's other cookies of our name.

        They are sent at a login or a logout only, and only if all cookies of the
        name that came are ours: else one may be another application's.
        """
        cookie, scope = self._policy.cookie, self._scope
        if not self._has_new_key or self._found is None:
            return ()
        came = cookie.count(scope["headers"])
        if not came or came != len(cookie.find(scope["headers"])):
            return ()
        host = next((value for name, value in scope["headers"] if name == b"host"), b"")
        return cookie.delete_twins(host.decode("latin-1"), several=came > 1)

    async def finish(self) -> None:
        """Commit what changed after the response had started: the application's call has ended."""
        if self._is_replaced or not self.started:
            return
        try:
            if self._scope.get("session") is not self.session:
                self._apply_replacement()
            await self.commit_late()
            if self.is_due_again:
                await self.do_again()
        except StoreUnavailableError as error:
            self._policy.outage_log.record_lost_changes(error)

    def _begin_hook(self, device: rare.NewDevice) -> None:
        """Tell the application of a sign-in of a new device, now that its cookie has left.

        In a task of its own, and not in the name of this request, which may be cancelled.
        """
        call = self._policy.on_new_device
        if call is not None and device.handle == self.handle:
            context = copy_context()
            context.run(current.set, None)
            self.hook = asyncio.get_running_loop().create_task(
                _told(call, device), name="pgsession on_new_device", context=context
            )
            self._policy.hooks.add(self.hook)
            self.hook.add_done_callback(self._policy.hooks.discard)


def _varying(start: Message) -> Message:
    """Return a start with ``Vary: Cookie``."""
    return {**start, "headers": with_vary(start.get("headers", ()))}


def _with_list(start: Message) -> Message:
    """Return a start whose headers can be read twice: by the server and by `_check_late_use`."""
    headers = start.get("headers", ())
    return start if type(headers) is list else {**start, "headers": list(headers)}


async def _told(
    call: Callable[[rare.NewDevice], Awaitable[object]], device: rare.NewDevice
) -> None:
    try:
        await call(device)
    except asyncio.CancelledError:
        _LOGGER.warning(
            "on_new_device was cancelled. The user is signed in.",
            extra=event("new_device_hook_cancelled"),
        )
        raise
    except Exception:  # the outermost edge: the application's own code may raise anything
        _LOGGER.exception(
            "on_new_device has failed. The user is signed in.",
            extra=event("new_device_hook_failed"),
        )
