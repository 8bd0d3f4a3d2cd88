"""``pgsession check``: checks the settings, the server, the table and its sweeping."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import Final

from pgsession.cli.findings import (
    Finding,
    Verdict,
    check_cookie,
    check_distribution,
    check_link,
    check_record,
    check_relation,
    check_sample,
    check_schemas,
    check_server,
)
from pgsession.cli.inspection import (
    read_open_schemas,
    read_record,
    read_relation,
    read_remains,
    read_sample,
    read_server,
)
from pgsession.core.secret_keys import is_guessable
from pgsession.errors import (
    SchemaError,
    SessionError,
    SettingsError,
    StoreRejectedError,
    StoreUnavailableError,
)
from pgsession.postgres.connections.conninfo import complete_conninfo
from pgsession.postgres.connections.dedicated import Dedicated, dedicated
from pgsession.postgres.connections.pooler import is_pooled, keeps_statements_apart
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from pgsession.postgres.schema import migrations
from pgsession.postgres.table_name import TableName, find
from pgsession.postgres.validation import validate_table
from pgsession.settings import SessionSettings

_SECRET_KEY: Final = "SESSION_SECRET_KEY"  # noqa: S105 - its name

#: Replaces a secret that is not in the environment, so that the other settings can be checked.
_PLACEHOLDER: Final = "placeholder" * 3


async def examine(
    url: str, *, schema: str | None, table: str, environment: Mapping[str, str]
) -> list[Finding]:
    """Run all checks that are possible, and return the findings. Never raises `SessionError`."""
    found, settings = _examine_settings(environment)
    is_scheduled = settings is None or settings.sweep_every is not None
    prepares = None if settings is None else settings.prepared
    try:
        name = TableName(schema, table)
        conninfo = complete_conninfo(url, {}, timeout=DEFAULT_TIMEOUT)
        async with dedicated(conninfo, purpose="check", timeout=DEFAULT_TIMEOUT) as connection:
            async for findings in _examine(
                connection, name, is_scheduled=is_scheduled, prepares=prepares
            ):
                found += findings
    except SchemaError as error:
        text, _, remedy = str(error).partition("; ")
        found.append(Finding("table", Verdict.WRONG, text, remedy[:1].upper() + remedy[1:]))
    except StoreUnavailableError as error:
        is_reached = "cannot be reached" not in str(error)
        remedy = "" if is_reached else "Start the server, or correct SESSION_DATABASE_URL."
        may_pass = not isinstance(error, StoreRejectedError)
        found.append(Finding("database", Verdict.WRONG, str(error), remedy, may_pass=may_pass))
    except SessionError as error:
        found.append(Finding("database", Verdict.WRONG, str(error)))
    return found


async def _examine(
    connection: Dedicated, table: TableName, *, is_scheduled: bool, prepares: bool | None
) -> AsyncIterator[Iterable[Finding]]:
    server = await connection.run(read_server)
    yield check_server(server)
    pooled = await connection.run(is_pooled)
    is_mixed_up = pooled and prepares is True and not await connection.run(keeps_statements_apart)
    yield [check_link(is_pooled=pooled, is_mixed_up=is_mixed_up)]
    yield [check_schemas(await connection.run(read_open_schemas))]
    known = [migration.name for migration in migrations()]
    record = await connection.run(partial(read_record, table=table))
    recorded = check_record(record, known)
    if record is not None and record.objection(known):
        yield [recorded]
        return  # This version would misjudge the table.
    await connection.run(validate_table, table)
    yield [recorded]
    found = await connection.run(find, table)
    if found is None:  # dropped just now
        return
    relation = await connection.run(partial(read_relation, found=found))
    yield check_relation(relation, server)
    remains = await connection.run(partial(read_remains, found=found))
    if remains is not None:
        yield [check_distribution(relation.name, has_remains=remains)]
    if "SELECT" not in relation.lacking:
        sample = await connection.run(partial(read_sample, table=table, found=found))
        yield [check_sample(sample, is_scheduled=is_scheduled)]


def with_secret(environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with a secret, so that the other settings can be read."""
    return {**environment, _SECRET_KEY: environment.get(_SECRET_KEY) or _PLACEHOLDER}


def _examine_settings(
    environment: Mapping[str, str],
) -> tuple[list[Finding], SessionSettings | None]:
    """Return the findings about the environment, and its settings unless they are wrong."""
    found = []
    if not environment.get(_SECRET_KEY):
        environment = with_secret(environment)
        remedy = "Make one with `pgsession secret`, unless the application gets it elsewhere."
        found.append(Finding("secret", Verdict.WARNING, f"{_SECRET_KEY} is not set", remedy))
    try:
        settings = SessionSettings.from_env(environment)
    except SettingsError as error:
        remedy = "Correct it in the environment."
        return [*found, Finding("settings", Verdict.WRONG, str(error), remedy)], None
    found.append(Finding("settings", Verdict.OK, "valid"))
    cookie = settings.make_cookie()
    found.append(check_cookie(cookie))
    if any(map(is_guessable, cookie.secret_keys)):
        text = f"{_SECRET_KEY} repeats a few characters, so it can be guessed"
        remedy = "Make one with `pgsession secret`."
        found.append(Finding("secret", Verdict.WARNING, text, remedy))
    return found, settings
