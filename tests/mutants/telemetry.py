"""Mutants of telemetry: what it keeps to itself, what it survives, and where its spans belong."""

from typing import Final

from tests.mutants.mutant import Edit, Mutant

TELEMETRY: Final = (
    Mutant(
        "a provider that raises breaks no request",
        (
            Edit(
                "telemetry/timing.py",
                "histogram.record(seconds, attributes)\n        except Exception",
                "histogram.record(seconds, attributes)\n        except ZeroDivisionError",
            ),
        ),
        ("tests/telemetry/test_faults.py::test_raising",),
    ),
    Mutant(
        "a current span that raises breaks no request",
        (
            Edit(
                "telemetry/timing.py",
                "span if span.is_recording() else None\n    except Exception",
                "span if span.is_recording() else None\n    except ZeroDivisionError",
            ),
        ),
        ("tests/telemetry/test_faults.py::test_broken_span",),
    ),
    Mutant(
        "no attribute holds a key",
        (
            Edit(
                "asgi/observed.py",
                "        operation.end(outcome, self._missed)\n",
                '        operation.end("".join(it.key for it in cookies), self._missed)\n',
            ),
        ),
        ("tests/telemetry/test_documented.py::test_secrets",),
    ),
    Mutant(
        "what observes a store does not keep it alive",
        (
            Edit(
                "telemetry/living.py",
                "known[number] = ref(thing, lambda _: known.pop(number, None)), about",
                "known[number] = (lambda: thing), about",
            ),
        ),
        ("tests/telemetry/test_faults.py::test_not_kept",),
    ),
    Mutant(
        "connections that are being made are in use",
        (
            Edit(
                "postgres/connections/observed_pool.py",
                "Usage(idle, len(self._used_since),",
                'Usage(idle, stats["pool_size"] - idle,',
            ),
        ),
        ("tests/faults/test_pool_telemetry.py::test_not_made",),
    ),
    Mutant(
        "a request is counted before it is answered",
        (
            Edit(
                "asgi/observed.py",
                "            self._send = self._counting_miss(self._send, error)\n",
                "            self._count_miss(error)\n",
            ),
        ),
        ("tests/telemetry/test_answers.py::test_answer",),
    ),
    Mutant(
        "the streams of the parent are counted in its children too",
        (
            Edit(
                "asgi/watching.py",
                "if self._process != os.getpid():\n            return 0",
                "if False:\n            return 0",
            ),
        ),
        ("tests/telemetry/test_faults.py::test_forked_streams",),
    ),
    Mutant(
        "a statement is in the trace of the request that it serves",
        (
            Edit("telemetry/stores.py", "            within(first),\n", "            Context(),\n"),
            Edit(
                "telemetry/stores.py",
                "from opentelemetry.metrics import",
                "from opentelemetry.context import Context\nfrom opentelemetry.metrics import",
            ),
        ),
        (
            "tests/telemetry/test_spans.py::test_children",
            "tests/telemetry/test_spans.py::test_batch",
        ),
    ),
)
