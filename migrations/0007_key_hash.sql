-- 0007: a hash index on session_key, for the requests that read sessions.
--
-- Why:    in a table of ten million sessions, most of what a read costs the server is the way
--         through the pages of the primary key's index, which a lookup finds in no cache of the
--         processor. A hash index is asked for one page. It makes an INSERT a third slower, and
--         leaves UPDATEs alone that are HOT. The primary key stays: it is what keeps keys unique.
-- Locks:  SHARE on session while the index is built (writers wait, readers do not), about 3 s
--         per million rows on two cores. And the advisory lock 123589619970931, as in 0001. In a
--         large table build it before, while writers go on, and nothing is left to do here:
--         CREATE INDEX CONCURRENTLY session_key_hash_idx ON session USING hash (session_key)
-- Beside: code of 0005 may run while and after this is applied. It uses the new index for single
--         sessions, and the primary key for several.
-- Fails:  and changes nothing, if it cannot get the lock. An index of this name stays as it is.

BEGIN ISOLATION LEVEL READ COMMITTED;

SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);

INSERT INTO session_migration (name, older_code) VALUES ('0007_key_hash', 'may run');

-- In a block, as Citus passes bare statements of this kind on to its nodes with all of this
-- message.
DO $$
BEGIN
    CREATE INDEX IF NOT EXISTS session_key_hash_idx ON session USING hash (session_key);
END
$$;

COMMIT;
