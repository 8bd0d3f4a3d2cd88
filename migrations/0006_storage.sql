-- 0006: large values are stored in a form that is fast to write.
--
-- Why:    each change of a session writes its whole value, and PostgreSQL's own compression takes
--         most of that time: 7 ms of 8 for 200 kB. lz4 takes a tenth of it, for about the same
--         size. A server that was built without lz4 stores large values as they are: that is as
--         fast, for up to twice the room and the WAL. There, rows up to a third of a page are kept
--         whole in the table, as the compressed ones were. Otherwise values from 2 kB on would
--         be moved to the TOAST table.
-- Locks:  ACCESS EXCLUSIVE on session, for some milliseconds: no row is written anew. Values
--         that are stored stay as they are until they change. And the advisory lock
--         123589619970931, as in 0001.
-- Beside: code of 0005 may run while and after this is applied: what it reads is the same.
-- Fails:  nowhere. Without lz4, a table that Citus has distributed already stays as it is, as Citus
--         rejects SET STORAGE there.
--
-- A standby, and a server on which a physical backup is restored, must have lz4 too, as those of
-- the same packages have. A dump for a server without lz4 is made with --no-toast-compression.
-- To go back:
-- ALTER TABLE session ALTER COLUMN session_data SET STORAGE EXTENDED,
--     ALTER COLUMN session_data SET COMPRESSION default, RESET (toast_tuple_target);

BEGIN ISOLATION LEVEL READ COMMITTED;

SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);

INSERT INTO session_migration (name, older_code) VALUES ('0006_storage', 'may run');

-- In a block, as Citus passes bare statements of this kind on to its nodes with all of this
-- message.
DO $$
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_catalog.pg_settings AS s
        WHERE s.name OPERATOR(pg_catalog.=) 'default_toast_compression'
          AND 'lz4' OPERATOR(pg_catalog.=) ANY (s.enumvals)
    ) THEN
        ALTER TABLE session ALTER COLUMN session_data SET COMPRESSION lz4;
    ELSE
        ALTER TABLE session
            ALTER COLUMN session_data SET STORAGE EXTERNAL,
            SET (toast_tuple_target = 2712);
    END IF;
EXCEPTION WHEN feature_not_supported THEN
    NULL;  -- by Citus
END
$$;

COMMIT;
