-- 0001: the session table as existing applications have it.
--
-- Why:    a new database gets the table that an older application already has, so
--         that both go the same way from here; where the table stands, nothing changes
--         but the index, if it is missing.
-- Locks:  SHARE on session while the index is built (writers wait), and the advisory
--         lock 123589619970931 (the bytes "pgsess"), which lets one migration run at a
--         time in a database.
-- Beside: old code may run while and after this is applied.
--
-- Run it with `pgsession migrate` or `psql -f`; the search_path decides the schema. A
-- second run fails on the primary key of session_migration and changes nothing.

BEGIN ISOLATION LEVEL READ COMMITTED;

SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);

CREATE TABLE IF NOT EXISTS session_migration (
    name        pg_catalog.text PRIMARY KEY,
    applied_on  timestamp with time zone NOT NULL DEFAULT pg_catalog.now()
);
INSERT INTO session_migration (name) VALUES ('0001_session');

CREATE TABLE IF NOT EXISTS session (
    session_key   char(40),
    expire_date   timestamp (2) with time zone,
    session_data  pg_catalog.text
);
CREATE INDEX IF NOT EXISTS session_key_idx ON session (session_key);

COMMIT;
