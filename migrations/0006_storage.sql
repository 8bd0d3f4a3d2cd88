-- 0006: large values are stored in a form that is fast to write.
--
-- Why:    each change of a session writes its whole value, and PostgreSQL's own compression takes
--         most of that time: 7 ms of 8 for 200 kB. lz4 takes a tenth of it, for about the same
--         size. A server that was built without lz4 stores large values as they are: that is as
--         fast, for up to twice the room and the WAL. There, rows up to a third of a page are kept
--         whole in the table, as the compressed ones were. Otherwise values from 2 kB on would
--         be moved to the TOAST table.
-- Locks:  ACCESS EXCLUSIVE on session and its partitions, for some milliseconds: no row is written anew. Values
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
DECLARE
    part record;
BEGIN
    -- A statement on a partitioned table does not reach its partitions, nor takes parameters.
    FOR part IN
        SELECT c.oid::pg_catalog.regclass AS name, c.relkind OPERATOR(pg_catalog.=) 'r' AS is_plain
        FROM pg_catalog.pg_class AS c
        WHERE c.oid OPERATOR(pg_catalog.=) 'session'::pg_catalog.regclass
           OR c.oid OPERATOR(pg_catalog.=) ANY (ARRAY(
               SELECT t.relid FROM pg_catalog.pg_partition_tree('session'::pg_catalog.regclass) AS t
           ))
    LOOP
        IF EXISTS (
            SELECT
            FROM pg_catalog.pg_settings AS s
            WHERE s.name OPERATOR(pg_catalog.=) 'default_toast_compression'
              AND 'lz4' OPERATOR(pg_catalog.=) ANY (s.enumvals)
        ) THEN
            EXECUTE pg_catalog.format(
                'ALTER TABLE %s ALTER COLUMN session_data SET COMPRESSION lz4', part.name
            );
        ELSE
            EXECUTE pg_catalog.format(
                'ALTER TABLE %s ALTER COLUMN session_data SET STORAGE EXTERNAL', part.name
            );
            IF part.is_plain THEN
                EXECUTE pg_catalog.format(
                    'ALTER TABLE %s SET (toast_tuple_target = 2712)', part.name
                );
            END IF;
        END IF;
    END LOOP;
EXCEPTION WHEN feature_not_supported THEN
    NULL;  -- by Citus
END
$$;

COMMIT;
