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
