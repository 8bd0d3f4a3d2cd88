-- 0003: a renewed session keeps its row, and gets a verifier there.
--
-- Why:    a renewal used to move a session to another row, which a DELETE that waited for
--         the old one did not see. Now session_key stays for life, and a renewal changes
--         the column verifier. The other new columns hold the cookie's number, when it was
--         shown, when the session was last extended, and no fewer bytes than its value
--         has. final_date is dropped: the limit is the age of created_on.
-- Locks:  ACCESS EXCLUSIVE on session, for some milliseconds: no row is written anew. And
--         the advisory lock 123589619970931, as in 0001.
-- Beside: no. Stop old processes first: they would open a session with the key from before
--         its login. Here they can neither read nor change a session, as final_date is
--         gone. (take, clear and the sweep, which never read it, still find a row by its
--         session_key.) The way back is a backup.
-- Fails:  and changes nothing, where session has a column named verifier, key_number,
--         shown_on, seen_on or size_bound already, or where a view needs final_date. Rename
--         or drop these first. An index, a CHECK or statistics of your own on final_date
--         go with it.

BEGIN ISOLATION LEVEL READ COMMITTED;

SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);

ALTER TABLE session_migration ADD COLUMN IF NOT EXISTS older_code pg_catalog.text;

INSERT INTO session_migration (name, older_code)
VALUES ('0003_verifier', 'must not run: they would accept a key that a login has retired');

COMMENT ON COLUMN session_migration.older_code IS
    'whether versions that do not know this migration may run on the table';

-- When the sessions of today were last extended is not known: they count as extended now.
-- In a block, as Citus passes a bare ALTER TABLE on to its nodes with all of this message.
DO $$
BEGIN
    ALTER TABLE session
        DROP COLUMN final_date,
        ADD COLUMN verifier pg_catalog.text COLLATE pg_catalog."C",
        ADD COLUMN key_number pg_catalog.int4 NOT NULL DEFAULT 0,
        ADD COLUMN shown_on timestamp with time zone,
        ADD COLUMN seen_on timestamp with time zone NOT NULL DEFAULT pg_catalog.now(),
        ADD COLUMN size_bound pg_catalog.int8;
END
$$;

COMMENT ON COLUMN session.verifier IS
    'base64url(sha256(verifier)[:30]) of the newest key; NULL: never renewed';
COMMENT ON COLUMN session.key_number IS 'the number that the cookie carries';
COMMENT ON COLUMN session.shown_on IS 'when the browser first showed it; NULL: not yet';
COMMENT ON COLUMN session.seen_on IS 'when the session was generated or last extended';
COMMENT ON COLUMN session.size_bound IS 'session_data has no more bytes as text; NULL: unknown';

COMMIT;
