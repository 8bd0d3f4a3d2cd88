"""Tables of users that own the sessions: by a foreign key on text, and on a generated column."""

from typing import Final, LiteralString

import psycopg

# Each statement stands alone, as Citus refuses some of them beside others.

#: In `account` a user's key is the text in `user_id`, in `numbered_account` a number.
TABLES: Final[tuple[LiteralString, ...]] = (
    "CREATE TABLE account (id text PRIMARY KEY)",
    "CREATE TABLE numbered_account (id bigint PRIMARY KEY)",
)

FOREIGN_KEYS: Final[tuple[LiteralString, ...]] = (
    """
    ALTER TABLE session
        ADD FOREIGN KEY (user_id) REFERENCES account ON DELETE CASCADE
    """,
    """
    ALTER TABLE session
        ADD COLUMN account_id bigint GENERATED ALWAYS AS (user_id::bigint) STORED
        REFERENCES numbered_account ON DELETE CASCADE
    """,
    "CREATE INDEX ON session (account_id) WHERE account_id IS NOT NULL",
)

#: Two users.
USER: Final = "7"
OTHER: Final = "8"

ACCOUNTS: Final[tuple[LiteralString, ...]] = (
    "INSERT INTO account VALUES ('7'), ('8') ON CONFLICT DO NOTHING",
    "INSERT INTO numbered_account VALUES (7), (8) ON CONFLICT DO NOTHING",
)

DELETE_ACCOUNT: Final[LiteralString] = "DELETE FROM account WHERE id = '7'"
DELETE_NUMBERED: Final[LiteralString] = "DELETE FROM numbered_account WHERE id = 7"
DELETE_SESSIONS: Final[LiteralString] = "DELETE FROM session WHERE user_id = '7'"
LOCK_ACCOUNT: Final[LiteralString] = "SELECT FROM account WHERE id = '7' FOR UPDATE"


def execute(database_url: str, schema: str, *statements: LiteralString) -> None:
    """Execute statements in a schema."""
    with psycopg.connect(
        database_url, autocommit=True, options=f"-csearch_path={schema}"
    ) as connection:
        for statement in statements:
            connection.execute(statement)
