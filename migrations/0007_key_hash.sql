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
--         sessions, and in a pool of yours for several.
-- Fails:  and changes nothing, where something else has this name, such as the index that a CREATE
--         INDEX CONCURRENTLY has left behind when it failed. Drop it first.

BEGIN ISOLATION LEVEL READ COMMITTED;

SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);

INSERT INTO session_migration (name, older_code) VALUES ('0007_key_hash', 'may run');

-- In a block, as Citus passes bare statements of this kind on to its nodes with all of this
-- message.
DO $$
BEGIN
    CREATE INDEX IF NOT EXISTS session_key_hash_idx ON session USING hash (session_key);
    IF NOT EXISTS (
        SELECT
        FROM pg_catalog.pg_index AS x
        JOIN pg_catalog.pg_class AS c ON c.oid OPERATOR(pg_catalog.=) x.indexrelid
        JOIN pg_catalog.pg_am AS m ON m.oid OPERATOR(pg_catalog.=) c.relam
        WHERE x.indrelid OPERATOR(pg_catalog.=) 'session'::pg_catalog.regclass
          AND c.relname OPERATOR(pg_catalog.=) 'session_key_hash_idx'
          AND m.amname OPERATOR(pg_catalog.=) 'hash'
          AND x.indisvalid
    ) THEN
        RAISE EXCEPTION
            'session_key_hash_idx is not a valid hash index on session_key. Drop it, and run this '
            'again.';
    END IF;
END
$$;

COMMIT;
