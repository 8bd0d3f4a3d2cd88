"""Tables of users that own the sessions: by a foreign key on text, and on a generated column."""

from typing import Final, LiteralString

#: In `account` a user's key is the text in `user_id`, in `numbered_account` a number.
TABLES: Final[LiteralString] = """
CREATE TABLE account (id text PRIMARY KEY);
ALTER TABLE session
    ADD FOREIGN KEY (user_id) REFERENCES account ON DELETE CASCADE;

CREATE TABLE numbered_account (id bigint PRIMARY KEY);
ALTER TABLE session
    ADD COLUMN account_id bigint GENERATED ALWAYS AS (user_id::bigint) STORED
    REFERENCES numbered_account ON DELETE CASCADE;
CREATE INDEX ON session (account_id) WHERE account_id IS NOT NULL;
"""

#: Two users.
USER: Final = "7"
OTHER: Final = "8"

ACCOUNTS: Final[LiteralString] = """
INSERT INTO account VALUES ('7'), ('8') ON CONFLICT DO NOTHING;
INSERT INTO numbered_account VALUES (7), (8) ON CONFLICT DO NOTHING;
"""

DELETE_ACCOUNT: Final[LiteralString] = "DELETE FROM account WHERE id = '7'"
DELETE_NUMBERED: Final[LiteralString] = "DELETE FROM numbered_account WHERE id = 7"
DELETE_SESSIONS: Final[LiteralString] = "DELETE FROM session WHERE user_id = '7'"
LOCK_ACCOUNT: Final[LiteralString] = "SELECT FROM account WHERE id = '7' FOR UPDATE"
