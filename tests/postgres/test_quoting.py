"""Names and texts in statements that are printed to be pasted."""

import pytest
from psycopg import Connection

from pgsession.core.shown import shown
from pgsession.postgres.quoting import identifier, literal, regclass

#: What a terminal interprets, or hides.
HOSTILE = "x\x1b]0;a\x07\nok\u202e\\!'\"\U0001f600\U000e0041"


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("web", "web"),
        ("Web", '"Web"'),
        ("user", '"user"'),
        ('a"; DROP TABLE b; --', '"a""; DROP TABLE b; --"'),
        ("\u00e4", '"\u00e4"'),
        ("a\nb!", "U&\"a!+00000ab!!\" UESCAPE '!'"),
        (HOSTILE, None),
    ],
)
def test_identifier(schema_connection: Connection, name: str, quoted: str | None) -> None:
    """PostgreSQL reads the same name, a terminal shows it as it is, and quotes are not usual."""
    written = identifier(name)
    query = "SELECT t.{0} FROM (SELECT 1) t ({0})"
    cursor = schema_connection.execute(query.format(written).encode())

    assert cursor.description is not None
    assert cursor.description[0].name == name
    assert shown(written) == written
    assert quoted in (None, written)


@pytest.mark.parametrize("text", ["", "web", "ann's", "a\\'; DROP TABLE b; --", HOSTILE])
def test_literal(schema_connection: Connection, text: str) -> None:
    """PostgreSQL reads the same text, and a terminal shows the literal as it is."""
    written = literal(text)

    assert schema_connection.execute(f"SELECT {written}".encode()).fetchone() == (text,)
    assert shown(written) == written


def test_regclass(schema_connection: Connection, schema: str) -> None:
    """PostgreSQL reads the same table."""
    schema_connection.execute(f'CREATE TABLE {schema}."o\'b\n""s" ()'.encode())
    written = regclass(schema, "o'b\n\"s")

    found = schema_connection.execute(f"SELECT {written}::regclass IS NOT NULL".encode())
    assert found.fetchone() == (True,)
    assert shown(written) == written
