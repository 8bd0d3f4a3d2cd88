"""``pgsession check``: checks the settings, the server, the table and its sweeping."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from typing import Final

from pgsession.cli.access import read_access, read_elsewhere
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
    check_vacuum,
)
from pgsession.cli.holding import old_holders, read_holders, read_sees_others
from pgsession.cli.index_findings import check_indexes
from pgsession.cli.indexes import read_indexes
from pgsession.cli.inspection import (
    Server,
    read_open_schemas,
    read_record,
    read_relation,
    read_remains,
    read_sample,
    read_server,
)
from pgsession.cli.limits import read_connections, read_times
from pgsession.cli.places import read_places
from pgsession.cli.surroundings import (
    check_access,
    check_connections,
    check_elsewhere,
    check_holders,
    check_space,
    check_times,
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
from pgsession.postgres.connections.failures import StatementCanceledError, explained
from pgsession.postgres.connections.pooler import is_pooled, keeps_statements_apart
from pgsession.postgres.connections.runner import DEFAULT_TIMEOUT
from pgsession.postgres.quoting import identifier, regclass
from pgsession.postgres.schema import migrations
from pgsession.postgres.table_name import TableName, find
from pgsession.postgres.validation import validate_table
from pgsession.settings import SessionSettings

_SECRET_KEY: Final = "SESSION_SECRET_KEY"  # noqa: S105 - its name

#: What is looked at in the server's settings, beside the time limits.
_SETTINGS: Final = ("synchronous_commit", "default_transaction_read_only")

#: Replaces a secret that is not in the environment, so that the other settings can be checked.
_PLACEHOLDER: Final = "placeholder" * 3

#: All before the first semicolon that is not in a quoted name.
_CAUSE: Final = re.compile(r'((?:"[^"]*"|[^"])*?); ', re.DOTALL)


async def examine(
    url: str, *, schema: str | None, table: str, environment: Mapping[str, str]
) -> list[Finding]:
    """Run all checks that are possible, and return the findings. Never raises `SessionError`."""
    found, settings = _examine_settings(environment)
    try:
        name = TableName(schema, table)
        conninfo = complete_conninfo(url, {}, timeout=DEFAULT_TIMEOUT)
        async with dedicated(conninfo, purpose="check", timeout=DEFAULT_TIMEOUT) as connection:
            async for findings in _examine(connection, name, settings):
                found += findings
    except SchemaError as error:
        text, remedy = _parted(error)
        found.append(Finding("table", Verdict.WRONG, text, remedy, name="unfit"))
    except StoreUnavailableError as error:
        found.append(_unavailable(error))
    except SessionError as error:
        text, remedy = _parted(error)
        found.append(Finding("database", Verdict.WRONG, text, remedy, name="settings"))
    return found


def _parted(error: SessionError) -> tuple[str, str]:
    """Return what an error says and what to do, which stands behind a semicolon."""
    text = str(error)
    found = _CAUSE.match(text)
    cause = text.partition("; ")[0] if found is None else found[1]
    remedy = text[len(cause) + 2 :]
    return cause, remedy[:1].upper() + remedy[1:]


def _unavailable(error: StoreUnavailableError) -> Finding:
    """Return the finding for a database that cannot be reached, or does not answer."""
    may_pass = not isinstance(error, StoreRejectedError)
    if isinstance(error, StatementCanceledError):
        text, _, remedy = str(error).partition("). ")
        return Finding("time limits", Verdict.WRONG, f"{text})", remedy, name="canceled")
    if (told := explained(error)) is None:
        text, _, remedy = str(error).partition(". ")
        remedy = remedy or "Try again."
        return Finding("database", Verdict.WRONG, text, remedy, may_pass=may_pass, name="failing")
    text, remedy, name = told
    remedy = remedy[:1].upper() + remedy[1:]
    remedy += "" if remedy.endswith(";") else "."
    return Finding("database", Verdict.WRONG, text, remedy, may_pass=may_pass, name=name)


async def _examine(
    connection: Dedicated, table: TableName, settings: SessionSettings | None
) -> AsyncIterator[Iterable[Finding]]:
    timeout = DEFAULT_TIMEOUT if settings is None else settings.timeout
    times = await connection.run(read_times)
    server = await connection.run(read_server)
    places = await connection.run(partial(read_places, names=[*times, *_SETTINGS]))
    yield check_server(server, *(places[name] for name in _SETTINGS))
    pooled = await connection.run(is_pooled)
    prepares = settings is not None and settings.prepared is True
    is_mixed_up = pooled and prepares and not await connection.run(keeps_statements_apart)
    yield [check_link(is_pooled=pooled, is_mixed_up=is_mixed_up)]
    yield [check_times(times, places, timeout=timeout)]
    if settings is not None:
        connections = None if pooled else await connection.run(read_connections)
        yield [check_connections(connections, pool_size=settings.pool_size)]
    yield [check_schemas(await connection.run(read_open_schemas))]
    access = await connection.run(partial(read_access, table=table))
    if access is None:
        elsewhere = await connection.run(partial(read_elsewhere, table=table))
        if elsewhere:
            yield [check_elsewhere(table, elsewhere)]
            return
    elif not access.may_enter:
        yield [check_access(access)]
        return
    async for findings in _examine_table(connection, table, settings, server):
        yield findings


async def _examine_table(
    connection: Dedicated, table: TableName, settings: SessionSettings | None, server: Server
) -> AsyncIterator[Iterable[Finding]]:
    known = [migration.name for migration in migrations()]
    record = await connection.run(partial(read_record, table=table))
    found = await connection.run(find, table)
    name = str(table) if found is None else identifier(found.schema, table.name)
    recorded = check_record(record, known, table=name)
    if record is not None and record.objection(known):
        yield [recorded]
        return  # This version would misjudge the table.
    await connection.run(validate_table, table)
    yield [recorded]
    access = await connection.run(partial(read_access, table=table))
    if found is None or access is None:  # dropped just now
        return
    yield [check_access(access)]
    relation = await connection.run(partial(read_relation, found=found))
    yield check_relation(relation)
    indexes = await connection.run(partial(read_indexes, found=found))
    yield check_indexes(indexes, relation, version=server.version)
    yield [check_vacuum(relation, server)]
    remains = await connection.run(partial(read_remains, found=found))
    if remains is not None:
        yield [check_distribution(regclass(relation.schema, relation.table), has_remains=remains)]
    sees_others = await connection.run(read_sees_others)
    holders = old_holders(await connection.run(read_holders))
    yield [check_holders(holders, sees_others=sees_others)]
    if "SELECT" not in access.lacking:
        sample = await connection.run(partial(read_sample, table=table, found=found))
        if remains is None and relation.has_pages:
            yield [check_space(sample, relation.name)]
        is_scheduled = settings is None or settings.sweep_every is not None
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
        found.append(
            Finding("secret", Verdict.WARNING, f"{_SECRET_KEY} is not set", remedy, name="missing")
        )
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
        found.append(Finding("secret", Verdict.WARNING, text, remedy, name="guessable"))
    return found, settings
