"""The text of a statement, as psycopg and as the store send it."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import pytest
from psycopg._queries import PostgresQuery
from psycopg.adapt import Transformer

from pgsession.postgres.connections.statement import Statement
from pgsession.postgres.statements.editing import Editing, _Form
from pgsession.postgres.statements.reading import Reading
from pgsession.postgres.statements.text import Wording
from pgsession.postgres.table_name import TableName

#: A schema whose name looks like parameters.
WORDING: Final = Wording(TableName("100%s %(key)s %%", "session"), is_patient=True)

TEXTS: Final = {
    "none": Statement(b"SELECT 5 %% 3"),
    "by place": Statement(b"SELECT %s::text, %s::text, '%%s'"),
    "by name": Statement(b"SELECT %(a)s::text, %(b)s::text, %(a)s::text"),
    "read": Reading(WORDING)._select,  # noqa: SLF001 - what `fetch` executes
    "edit": Editing(WORDING)._update(_Form(is_single=False, is_common=True, skipping=False)),  # noqa: SLF001 - as above
    "single edit": Editing(WORDING)._update(  # noqa: SLF001 - as above
        _Form(is_single=True, is_common=False, skipping=True)
    ),
}


@pytest.mark.parametrize("text", TEXTS)
def test_numbered(text: str) -> None:
    """The text with numbers, and the order of the names, are those of psycopg."""
    statement = TEXTS[text]
    named = re.findall(rb"%\((\w+)\)s", statement.replace(b"%%", b""))
    arguments: Mapping[str, int] | Sequence[int] = (
        {name.decode(): number for number, name in enumerate(named)}
        if named
        else [1] * statement.replace(b"%%", b"").count(b"%s")
    )
    query = PostgresQuery(Transformer())
    query.convert(bytes(statement), arguments)

    numbered, names = statement.numbered

    assert numbered == query.query
    assert list(names) == list(query._order or ())  # noqa: SLF001 - psycopg has no other way to ask
