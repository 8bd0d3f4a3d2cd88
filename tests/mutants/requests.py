"""Mutants of the middleware, the session and its lock."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

REQUESTS: Final = (
    Mutant(
        "each cookie with an old number costs a statement",
        (Edit("asgi/loading.py", "_MOST_TRIES: Final = 4", "_MOST_TRIES: Final = 400"),),
        ("tests/asgi/test_twins.py::test_many_too_old",),
    ),
    Mutant(
        "a connection that is cancelled twice stays open",
        (
            Edit(
                "postgres/connections/connection.py",
                "    finally:\n        finish(connection)\n",
                "    finally:\n        pass\n",
            ),
        ),
        ("tests/postgres/connections/test_dedicated.py::test_cancelled_twice",),
    ),
    Mutant(
        "a merge is an upsert",
        (
            Edit(
                "postgres/store.py",
                "        edit = self._merging(key, changes, period, granted=granted)\n"
                "        return self._written(edit, await self._calls().edit(edit))\n",
                "        edit = self._merging(key, changes, period, granted=granted)\n"
                "        if not await self._calls().edit(edit):\n"
                "            seconds = self._period(None).total_seconds()\n"
                "            draft = Draft(edit.session_key, edit.changed, seconds)\n"
                "            await self._calls().insert(draft)\n"
                "        return Written()\n",
            ),
        ),
        (
            "tests/contract/test_dead_keys.py::test_writing[postgres-cleared-merge]",
            "tests/concurrency/test_races.py::test_clear_first",
            "tests/concurrency/test_hammer.py::test_nothing_is_lost[renewals and logouts]",
        ),
    ),
    Mutant(
        "the whole value is saved, not the members that changed",
        (
            Edit(
                "core/content.py",
                "written = before.written(members, budget)",
                "written = _EMPTY.written(members, budget)",
            ),
            Edit(
                "core/content.py",
                "if name in written}, removed, replaced, text\n",
                "if name in written}, removed, True, text\n",
            ),
        ),
        (
            "tests/concurrency/test_requests.py::test_merge_merge",
            "tests/concurrency/test_hammer.py::test_nothing_is_lost[changes alone]",
        ),
    ),
    Mutant(
        "a loser sets a cookie",
        (
            Edit(
                "asgi/binding.py",
                "                    _log_end()\n                    return None\n",
                "                    return self._set_cookie()\n",
            ),
        ),
        ("tests/concurrency/test_requests.py::test_ended_meanwhile",),
    ),
    Mutant(
        "a loser makes the session anew",
        (Edit("core/decision.py", "    if outcome.lost:\n", "    if False:\n"),),
        (
            "tests/core/test_decision.py::test_every_row",
            "tests/concurrency/test_requests.py::test_refused_save_caught",
        ),
    ),
    Mutant(
        "the response leaves before the commit",
        (
            Edit(
                "asgi/exchange.py",
                "            cookie = await commit(extend=extend)\n",
                "            await self._send(message)\n"
                "            await commit(extend=extend)\n"
                "            return\n",
            ),
        ),
        (
            "tests/asgi/test_messages.py::test_committed_before_response",
            "tests/asgi/test_messages.py::test_gone_before_response",
        ),
    ),
    Mutant(
        "a change whose connection was lost is sent again",
        (
            Edit(
                "postgres/batching.py",
                "return await self._runner.run(work, calls, idempotent=False)",
                "return await self._runner.run(work, calls, idempotent=True)",
            ),
        ),
        ("tests/faults/test_killed.py::test_killed_writing",),
    ),
    Mutant(
        "psycopg is interrupted but once",
        (
            Edit(
                "postgres/connections/deadline.py",
                "            self.extend(GRACE)\n",
                "            self.extend(None)\n",
            ),
        ),
        ("tests/faults/test_frozen.py::test_frozen_holding_a_lock",),
    ),
    Mutant(
        "a lost connection is the only one",
        (
            Edit(
                "postgres/connections/pool.py",
                "        await asyncio.shield(self._begin(self._pool.drain()))\n",
                "        pass\n",
            ),
        ),
        ("tests/postgres/connections/test_pool.py::test_replaced",),
    ),
    Mutant(
        "saving extends the expiry",
        (
            Edit(
                "asgi/operations.py",
                "await self._execute(decision, store, extend=False)",
                "await self._execute(decision, store, extend=True)",
            ),
        ),
        ("tests/concurrency/test_laws.py::test_expiry_stays_until_the_response",),
    ),
    Mutant(
        "exclusive takes no lock",
        (
            Edit(
                "postgres/connections/locks.py",
                "SELECT pg_catalog.pg_try_advisory_xact_lock({number});",
                "SELECT {number} IS NOT NULL;",
            ),
        ),
        ("tests/concurrency/test_exclusive.py::test_counting",),
    ),
    Mutant(
        "the table holds keys in the clear",
        (
            Edit(
                "core/keys.py",
                "return b2a_base64(hashed[:_DIGEST_BYTES], newline=False)"
                '.translate(_URL_SAFE).decode("ascii")',
                "return text",
            ),
        ),
        (
            "tests/core/test_store.py::test_digest",
            "tests/postgres/test_store.py::test_no_key_in_table",
        ),
    ),
    Mutant(
        "saving acknowledges what was changed meanwhile",
        (
            Edit(
                "asgi/row.py",
                "        state.acknowledge(changes, is_new=self._key is None, wishes=wishes)\n",
                "        state.acknowledge(\n"
                "            state.changes(self.session), is_new=self._key is None, wishes=wishes\n"
                "        )\n",
            ),
        ),
        ("tests/concurrency/test_saving.py::test_change_while_saving",),
    ),
    Mutant(
        "a visitor who was given nothing gets a row",
        (
            Edit(
                "core/decision.py",
                "    if not outcome.empty:\n        return Change.CREATE\n",
                "    if not outcome.empty or not outcome.stale:\n        return Change.CREATE\n",
            ),
        ),
        (
            "tests/asgi/test_middleware.py::test_empty_visitor",
            "tests/asgi/test_statements.py::test_anonymous",
        ),
    ),
    Mutant(
        "an outage is taken for an empty session",
        (
            Edit(
                "asgi/loading.py",
                "                entry = await policy.store.get(found.key)\n",
                "                try:\n"
                "                    entry = await policy.store.get(found.key)\n"
                "                except ConnectionError:\n"
                "                    entry = None\n",
            ),
        ),
        ("tests/asgi/test_unavailable.py::test_read",),
    ),
    Mutant(
        "a cookie is taken without its signature",
        (
            Edit(
                "core/cookie.py",
                "            is_current = False\n        return None\n",
                "            is_current = False\n"
                '        return FoundCookie(Hidden(key, "ascii"), None, is_current=False)\n',
            ),
        ),
        (
            "tests/core/test_cookie.py::test_wrong_secret",
            "tests/asgi/test_statements.py::test_forged",
        ),
    ),
    Mutant(
        "exclusive acts on what was loaded before it had the lock",
        (
            Edit(
                "asgi/operations.py",
                "await self._reload(held)",
                "pass",
            ),
        ),
        ("tests/concurrency/test_exclusive.py::test_counting",),
    ),
    Mutant(
        "exclusive takes every connection",
        (Edit("postgres/connections/locks.py", "max(1, pool.size // 2)", "pool.size"),),
        ("tests/concurrency/test_exclusive.py::test_limit",),
    ),
    Mutant(
        "every read extends the expiry",
        (
            Edit(
                "core/decision.py",
                "return gain * 10 >= period and gain > _NOTHING",
                "return gain > _NOTHING",
            ),
            Edit("core/decision.py", "else period * 9 // 10", "else period"),
        ),
        ("tests/asgi/test_periods.py::test_read_slides_no_sooner",),
    ),
    Mutant(
        "a cookie outlives its row",
        (
            Edit(
                "asgi/row_cookie.py",
                "return cookie.write(self._key, remaining, number=self._number)",
                "return cookie.write(self._key, self.session.period, number=self._number)",
            ),
        ),
        ("tests/asgi/test_periods.py::test_lifetime",),
    ),
    Mutant(
        "a cookie lives as long as the period that its request has loaded",
        (Edit("asgi/row.py", "        self.state.note_granted(written.granted)\n", ""),),
        ("tests/asgi/test_periods.py::test_shortened_meanwhile[memory-shorter-changed]",),
    ),
    Mutant(
        "a session middleware outside finds our session in its scope",
        (
            Edit(
                "asgi/neighbours.py",
                "        super().__setitem__(name, member)\n        if name != _SESSION:\n",
                "        super().__setitem__(name, member)\n        if name:\n",
            ),
        ),
        (
            "tests/asgi/test_inner_scope.py::test_added",
            "tests/asgi/test_stacked.py::test_outside",
        ),
    ),
    Mutant(
        "a start message of the application is changed in place",
        (
            Edit(
                "asgi/exchange.py",
                '{**message, "headers": headers}',
                "message.update(headers=headers) or message",
            ),
        ),
        ("tests/asgi/test_messages.py::test_reused_start",),
    ),
    Mutant(
        "a page for everybody extends the session",
        (
            Edit(
                "asgi/exchange.py",
                "self._is_extension_due() and not may_be_shared(status, headers)",
                "True",
            ),
        ),
        ("tests/asgi/test_caching.py::test_public_page",),
    ),
    Mutant(
        "what typed objects have changed is not looked for before the short way is chosen",
        (
            Edit(
                "asgi/exchange.py",
                "(not state.is_written or state.typed is not None) and",
                "not state.is_written and",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[emptied, typed]",),
    ),
    Mutant(
        "every change extends the expiry",
        (
            Edit(
                "asgi/row.py",
                "            extend = extend and self._touch_due()\n",
                "            pass\n",
            ),
        ),
        ("tests/asgi/test_periods.py::test_change_slides_no_sooner[replace]",),
    ),
    Mutant(
        "a cookie that a lost response should have brought is not made good",
        (Edit("asgi/binding.py", "if extend and self._is_behind():", "if False:"),),
        ("tests/asgi/test_cookie_due.py::test_lost_response",),
    ),
    Mutant(
        "of several cookies the first counts",
        (Edit("asgi/loading.py", "if len(cookies) == 1:", "if cookies:"),),
        ("tests/asgi/test_twins.py::test_living_counts",),
    ),
    Mutant(
        "a logout ends one of the sessions whose cookies came",
        (
            Edit(
                "asgi/row.py",
                "await store.clear(key, *self._twins)",
                "await store.clear(key)",
            ),
        ),
        ("tests/asgi/test_twins.py::test_logout",),
    ),
    Mutant(
        "a form of another site begins a session",
        (
            Edit(
                "core/decision.py",
                "    if outcome.cross_site and not outcome.renewed:\n",
                "    if False:\n",
            ),
        ),
        (
            "tests/core/test_decision.py::test_every_row",
            "tests/asgi/test_cross_site.py::test_dropped",
        ),
    ),
    Mutant(
        "a failed response that only read lets later changes be saved",
        (
            Edit(
                "asgi/exchange.py",
                '            message.get("status", 0) < _SERVER_ERROR\n'
                "            and state.signing is NO_SIGNING\n",
                "            state.signing is NO_SIGNING\n",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[failed, changed late]",),
    ),
    Mutant(
        "a response does not wait for a task that uses the store",
        (
            Edit(
                "asgi/exchange.py",
                "            and self._task_lock is None  # else",
                "            and True  # else",
            ),
        ),
        (
            "tests/asgi/test_quiet.py::test_same[taken, not shown]",
            "tests/asgi/test_quiet.py::test_same[being taken]",
        ),
    ),
    Mutant(
        "a confirmation alone is not committed before the response",
        (
            Edit(
                "asgi/exchange.py",
                "            and state.signing is NO_SIGNING\n",
                "",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[confirmed]",),
    ),
    Mutant(
        "the period that a session had already is not made its own",
        (
            Edit(
                "asgi/exchange.py",
                "            and not state.period_changed\n",
                "",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[given a period]",),
    ),
    Mutant(
        "a page that only read is kept by caches though its proof has ended",
        (
            Edit(
                "asgi/exchange.py",
                "            and self._judged_until is None\n",
                "",
            ),
        ),
        ("tests/dbsc/test_long_requests.py::test_read",),
    ),
    Mutant(
        "a page of an unavailable session may be kept by caches",
        (
            Edit(
                "asgi/exchange.py",
                "if self._key is not None and self._is_quiet(message):",
                "if self._is_quiet(message):",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[away, read]",),
    ),
    Mutant(
        "a response that only read the session does not vary",
        (
            Edit(
                "asgi/exchange.py",
                "            message = _varying(message)\n",
                "            pass\n",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[read, no list]",),
    ),
    Mutant(
        "a response after a merge does not vary",
        (
            Edit(
                "asgi/exchange.py",
                "await self._send(_varying(message))",
                "await self._send(message)",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[changed]",),
    ),
    Mutant(
        "a session without members keeps its row",
        (Edit("asgi/binding.py", "            or is_empty(self.session)\n", ""),),
        ("tests/asgi/test_quiet.py::test_same[emptied]",),
    ),
    Mutant(
        "an observer is not told of most saves",
        (
            Edit(
                "asgi/observed.py",
                "    async def _merge(self, key: str, changes: Changes) -> Written:\n",
                "    async def _unused(self, key: str, changes: Changes) -> Written:\n",
            ),
        ),
        ("tests/telemetry/test_faults.py::test_memory",),
    ),
    Mutant(
        "the cookie does not learn that the number was raised while the session was saved",
        (
            Edit(
                "asgi/exchange.py",
                "if self._key is None or self._is_behind():",
                "if self._key is None:",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[changed, rotated]",),
    ),
    Mutant(
        "the changes that were merged count as unsaved",
        (
            Edit(
                "asgi/binding.py",
                "            state.acknowledge(changes, is_new=False, wishes=wishes)\n",
                "            pass\n",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[changed]",),
    ),
    Mutant(
        "the content that Litestar gives a visitor is not kept",
        (
            Edit(
                "asgi/exchange.py",
                '            if self._scope.get("session") is self.session:\n'
                "                self.started",
                "            if True:\n                self.started",
            ),
        ),
        ("tests/asgi/test_quiet.py::test_same[visitor, replaced]",),
    ),
    Mutant(
        "what a visitor gets follows the 503 that was sent in its place",
        (
            Edit(
                "asgi/failing.py",
                "self._is_replaced, self._is_visitor = True, False",
                "self._is_replaced = True",
            ),
        ),
        ("tests/asgi/test_unavailable.py::test_left_over",),
    ),
    Mutant(
        "headers that can be read only once hide a late use of the session",
        (
            Edit(
                "asgi/exchange.py",
                "return start if type(headers) is list else",
                "return start if True else",
            ),
        ),
        (
            "tests/asgi/test_quiet.py::test_same[used late, no list]",
            "tests/asgi/test_quiet.py::test_same[visitor, used late, no list]",
        ),
    ),
    Mutant(
        "without rotation every number is good",
        (
            Edit(
                "asgi/loading.py",
                "(policy.is_judging or found.number or entry.number)",
                "policy.is_judging",
            ),
        ),
        (
            "tests/asgi/test_rotation.py::test_restored_backup[does not rotate]",
            "tests/asgi/test_rotation.py::test_first_number",
        ),
    ),
    Mutant(
        "a session that nothing has used is not ended late",
        (
            Edit(
                "asgi/exchange.py",
                "            return is_untouched\n",
                "            return True\n",
            ),
        ),
        ("tests/asgi/test_replacement.py::test_ended_late",),
    ),
)
