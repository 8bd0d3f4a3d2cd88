"""Mutants of the binding to a device."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

DEVICES: Final = (
    Mutant(
        "a bound session is loaded without its proof",
        (Edit("asgi/proving.py", "(signed_in.is_bound or binding.requires", "(binding.requires"),),
        (
            "tests/dbsc/test_binding.py::test_copied_cookie",
            "tests/dbsc/test_unproven.py::test_refused",
        ),
    ),
    Mutant(
        "a bound cookie that has ended is a proof",
        (
            Edit(
                "asgi/proving.py", "self._is_proved = seconds > 0", "self._is_proved = seconds != 0"
            ),
        ),
        ("tests/dbsc/test_binding.py::test_expired",),
    ),
    Mutant(
        "a bound cookie is one of any session",
        (
            Edit(
                "dbsc/tokens.py",
                'return f"{bound.handle}.{bound.login_number}.{seconds}"',
                "return seconds",
            ),
        ),
        (
            "tests/dbsc/test_binding.py::test_bound_cookie_of_another",
            "tests/dbsc/test_tokens.py::test_other_session",
        ),
    ),
    Mutant(
        "another key takes the place of the registered one",
        (
            Edit(
                "postgres/statements/binding.py",
                "      OR s.device_key OPERATOR(pg_catalog.=) %(public_key)s::pg_catalog.text\n",
                "      OR true\n",
            ),
        ),
        (
            "tests/dbsc/test_binding.py::test_later_registration",
            "tests/contract/test_binding.py::test_again",
        ),
    ),
    Mutant(
        "a registration is good for hours",
        (Edit("core/bound.py", "timedelta(seconds=60)", "timedelta(hours=60)"),),
        ("tests/dbsc/test_binding.py::test_late_registration",),
    ),
    Mutant(
        "a registration is in force before its answer has arrived",
        (
            Edit(
                "postgres/statements/binding.py",
                "device_proved_on = CASE WHEN {has_device} THEN s.device_proved_on END",
                "device_proved_on = pg_catalog.now()",
            ),
        ),
        ("tests/dbsc/test_binding.py::test_no_answer",),
    ),
    Mutant(
        "a login keeps the binding",
        (
            Edit(
                "postgres/statements/text.py",
                "            AND s.device_login OPERATOR(pg_catalog.=) s.login_number\n",
                "",
            ),
        ),
        (
            "tests/contract/test_binding.py::test_other_login",
            "tests/dbsc/test_binding.py::test_login_of_older_code",
        ),
    ),
    Mutant(
        "a confirmation keeps a registration that is not in force",
        (
            Edit(
                "postgres/statements/editing.py",
                "WHEN s.device_proved_on IS NOT NULL OR o.proves IS NOT TRUE THEN s.device_login",
                "WHEN true THEN s.device_login",
            ),
        ),
        ("tests/contract/test_binding.py::test_confirmed_before",),
    ),
    Mutant(
        "the proof of a session that is not opened counts for another",
        (
            Edit(
                "asgi/loading.py",
                "                self.forget_proof()\n",
                "                pass\n",
            ),
            Edit(
                "asgi/proving.py",
                "            self._is_proved = seconds > 0\n",
                "            self._is_proved = self._is_proved or seconds > 0\n",
            ),
        ),
        ("tests/dbsc/test_unproven.py::test_proof_of_another",),
    ),
    Mutant(
        "a login that was rolled back offers a registration",
        (Edit("asgi/operations.py", '    "_is_offered",\n', ""),),
        ("tests/dbsc/test_unproven.py::test_not_offered",),
    ),
    Mutant(
        "what waits after the end of the proof is told nothing",
        (
            Edit(
                "asgi/streams.py",
                "        self._is_over = True  # also for what waits from now on\n",
                "",
            ),
        ),
        ("tests/dbsc/test_long_requests.py::test_waiting_later",),
    ),
    Mutant(
        "a registration is offered where a mount inside stands",
        (
            Edit(
                "asgi/exchange.py",
                "binding.offer(self._root_path,",
                'binding.offer(self._scope["root_path"],',
            ),
        ),
        ("tests/dbsc/test_endpoints.py::test_login_in_a_mount",),
    ),
    Mutant(
        "a key that was saved in time does not reach the browser",
        (
            Edit(
                "asgi/exchange.py",
                "if self._is_proved and self._cookie_due and self.state.signing is NO_SIGNING:",
                "if self._is_proved is None:",
            ),
        ),
        ("tests/dbsc/test_long_requests.py::test_saved_in_time",),
    ),
    Mutant(
        "a challenge is good for ever",
        (
            Edit(
                "asgi/device_binding.py",
                " if issued is not None and device.now - issued <= longest else None",
                "",
            ),
        ),
        ("tests/dbsc/test_endpoints.py::test_old_challenge",),
    ),
    Mutant(
        "a save works after the proof has ended",
        (
            Edit(
                "asgi/operations.py",
                "    async def _save(self, store: Store) -> None:\n"
                "        await self.judge_again()\n",
                "    async def _save(self, store: Store) -> None:\n",
            ),
        ),
        (
            "tests/dbsc/test_long_requests.py::test_operations[_save]",
            "tests/dbsc/test_long_requests.py::test_judged_again",
        ),
    ),
    Mutant(
        "a response that starts after the proof has ended saves the session",
        (
            Edit(
                "asgi/exchange.py",
                "                await self._judge_at_start()\n",
                "                pass\n",
            ),
        ),
        ("tests/dbsc/test_long_requests.py::test_at_the_start",),
    ),
    Mutant(
        "a stream goes on after its proof",
        (Edit("asgi/streams.py", "            self._plan_end_of_proof()\n", ""),),
        (
            "tests/dbsc/test_long_requests.py::test_lasting",
            "tests/dbsc/test_long_requests.py::test_socket",
        ),
    ),
    Mutant(
        "a stream from before the binding goes on",
        (Edit("asgi/watching.py", "return before.is_bound or not now.is_bound", "return True"),),
        ("tests/dbsc/test_long_requests.py::test_begun_before",),
    ),
    Mutant(
        "a request from before the binding reads the session again",
        (
            Edit(
                "asgi/operations.py",
                "        if not self._may_keep(entry):\n            self._lose_proof()\n"
                "            raise SessionNotFoundError\n",
                "",
            ),
        ),
        ("tests/dbsc/test_long_requests.py::test_begun_before[reloading]",),
    ),
    Mutant(
        "a registration is offered with any cookie",
        (Edit("asgi/exchange.py", " and self._is_offered and ", " and "),),
        ("tests/dbsc/test_binding.py::test_renewed",),
    ),
    Mutant(
        "a session of before overwrites the bound cookie",
        (
            Edit(
                "asgi/device_binding.py",
                "bound is None or (handles and bound.handle not in handles)",
                "bound is None",
            ),
        ),
        ("tests/dbsc/test_endpoints.py::test_session_of_before",),
    ),
    Mutant(
        "the number of a cookie is judged before the proof",
        (
            Edit(
                "asgi/loading.py",
                "        if self._policy.device_binding is not None and "
                "not self.opens(found, entry):\n            return None\n",
                "        await self.admit(found, entry)\n"
                "        if not self.opens(found, entry):\n"
                "            return None\n",
            ),
        ),
        ("tests/dbsc/test_unproven.py::test_reuse",),
    ),
    Mutant(
        "a login without proof leaves the session of its cookie",
        (
            Edit(
                "asgi/proving.py",
                "            await self._end_row(store, key, unproven.login_number)\n",
                "            pass\n",
            ),
        ),
        ("tests/dbsc/test_unproven.py::test_logout_and_login",),
    ),
    Mutant(
        "a logout leaves the bound cookie where it leaves a message",
        (
            Edit(
                "asgi/exchange.py",
                "        if binding is None or not self._has_new_key or self._is_proved or "
                "self._is_offered:\n",
                "        if binding is None or self._key is not None:\n",
            ),
        ),
        ("tests/dbsc/test_unproven.py::test_logout_and_content",),
    ),
    Mutant(
        "the algorithm of a proof is the one that it names",
        (
            Edit("dbsc/proofs.py", "    if header.alg != algorithm:\n", "    if not header.alg:\n"),
            Edit("dbsc/proofs.py", "algorithms=[algorithm]", "algorithms=[algorithm, header.alg]"),
            Edit(
                "dbsc/proofs.py", "key = PyJWK(jwk, algorithm)", "key = PyJWK(jwk, algorithm).key"
            ),
        ),
        ("tests/dbsc/test_proofs.py::test_algorithm",),
    ),
    Mutant(
        "the first bound cookie waits for a held row",
        (
            Edit(
                "postgres/device_bindings.py",
                "self._batched_table().binding",
                "self._tables.located.binding",
            ),
        ),
        ("tests/dbsc/test_binding_away.py::test_held_row",),
    ),
)
