-- 0002: keys become digests, values become jsonb, the key becomes the primary key.
--
-- Why:    whoever reads the old table can use every key in it, nothing stops two rows
--         from having one key, and a value is any text. Everything alive is kept:
--         keys go on to find their sessions, text that is no JSON object is wrapped as
--         {"session_data": "<the text>"}, columns of your own stay. Removed are rows
--         that no request can reach: expired, without a key, or hidden by a duplicate.
-- Locks:  ACCESS EXCLUSIVE on session from the first statement to the commit, about 10 s
--         per million rows on two cores, and the advisory lock 123589619970931, as in
--         0001. The table is written anew once, which needs room for both copies.
-- Beside: no. Stop old code before: it waits while this runs, and finds none of its
--         keys afterwards. There is no way back from a digest to its key, so take a
--         backup if you may want one.
-- Fails:  and changes nothing, where session has a column named period, final_date or
--         user_id already, or where a view, a rule or an index expression needs a
--         column whose type changes. Rename or drop these first.
--
-- An index of your own on expire_date stays, but is better dropped: every renewal of a
-- session changes that column, and an update of an indexed column cannot be HOT.

BEGIN ISOLATION LEVEL READ COMMITTED;

SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);

-- Before all work: a second run must fail here, or it would digest the digests.
INSERT INTO session_migration (name) VALUES ('0002_digest_and_jsonb');

LOCK TABLE session IN ACCESS EXCLUSIVE MODE;

DELETE FROM session
WHERE session_key IS NULL
   OR expire_date OPERATOR(pg_catalog.<=) pg_catalog.now();

-- char(40) ignores trailing blanks, varchar and text do not: 'a' and 'a ' were one key
-- to the old application. A session without an expiry outlives all others.
DELETE FROM session
WHERE ctid OPERATOR(pg_catalog.=) ANY (ARRAY(
    SELECT row_id
    FROM (
        SELECT
            ctid AS row_id,
            pg_catalog.row_number() OVER (
                PARTITION BY
                    pg_catalog.rtrim(session_key::pg_catalog.text) COLLATE pg_catalog."C"
                ORDER BY expire_date DESC NULLS FIRST, session_data IS NULL, ctid DESC
            ) AS place
        FROM session
    ) AS ranked
    WHERE place OPERATOR(pg_catalog.>) 1
));

-- The old primary key, if any, and every index on session_key alone, under any name.
DO $$
DECLARE
    old record;
BEGIN
    FOR old IN
        SELECT i.indexrelid::pg_catalog.regclass AS index_name, c.conname
        FROM pg_catalog.pg_index AS i
        JOIN pg_catalog.pg_attribute AS a
            ON a.attrelid OPERATOR(pg_catalog.=) i.indrelid
            AND a.attname OPERATOR(pg_catalog.=) 'session_key'::pg_catalog.name
        LEFT JOIN pg_catalog.pg_constraint AS c
            ON c.conindid OPERATOR(pg_catalog.=) i.indexrelid
            AND c.conrelid OPERATOR(pg_catalog.=) i.indrelid
        WHERE i.indrelid OPERATOR(pg_catalog.=) 'session'::pg_catalog.regclass
          AND (
              i.indisprimary
              OR (
                  i.indnkeyatts OPERATOR(pg_catalog.=) 1::pg_catalog.int2
                  AND i.indkey[0] OPERATOR(pg_catalog.=) a.attnum
              )
          )
    LOOP
        IF old.conname IS NULL THEN
            EXECUTE pg_catalog.format('DROP INDEX %s', old.index_name);
        ELSE
            EXECUTE pg_catalog.format('ALTER TABLE session DROP CONSTRAINT %I', old.conname);
        END IF;
    END LOOP;
END
$$;

-- Class 22 is text that jsonb refuses (no JSON, \u0000, lone surrogates, vast numbers),
-- class 54 nesting too deep for the stack. PostgreSQL 16 could ask without raising.
CREATE FUNCTION pg_temp.session_value(stored pg_catalog.text) RETURNS pg_catalog.jsonb
LANGUAGE plpgsql STRICT AS $$
BEGIN
    IF pg_catalog.starts_with(pg_catalog.ltrim(stored, E' \t\n\r'), '{') THEN
        BEGIN
            RETURN stored::pg_catalog.jsonb;
        EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
            NULL;
        END;
    END IF;
    RETURN pg_catalog.jsonb_build_object('session_data', stored);
END
$$;

ALTER TABLE session ADD COLUMN IF NOT EXISTS created_on timestamp with time zone;

-- One ALTER, so that the table is written anew once. NULL, 'infinity' and years that no
-- client can represent all mean "never expires", which is no longer offered.
ALTER TABLE session
    ALTER COLUMN session_key DROP DEFAULT,
    ALTER COLUMN session_key TYPE pg_catalog.text COLLATE pg_catalog."C" USING
        pg_catalog.translate(
            pg_catalog.encode(
                substring(
                    pg_catalog.sha256(
                        pg_catalog.convert_to(
                            pg_catalog.rtrim(session_key::pg_catalog.text), 'UTF8'
                        )
                    )
                    FROM 1 FOR 30
                ),
                'base64'
            ),
            '+/', '-_'
        ),
    ADD PRIMARY KEY (session_key),

    ALTER COLUMN session_data DROP DEFAULT,
    ALTER COLUMN session_data DROP NOT NULL,
    ALTER COLUMN session_data TYPE pg_catalog.jsonb
        USING pg_temp.session_value(session_data::pg_catalog.text),
    ADD CONSTRAINT session_data_is_object CHECK (
        pg_catalog.jsonb_typeof(session_data) OPERATOR(pg_catalog.=) 'object'
    ),

    ALTER COLUMN expire_date DROP DEFAULT,
    ALTER COLUMN expire_date TYPE timestamp with time zone USING CASE
        WHEN expire_date OPERATOR(pg_catalog.<) timestamp with time zone '10000-01-01 00:00+00'
        THEN expire_date
        ELSE pg_catalog.now() OPERATOR(pg_catalog.+)
            pg_catalog.make_interval(secs => 604800::pg_catalog.float8)
    END,
    ALTER COLUMN expire_date SET NOT NULL,

    ALTER COLUMN created_on DROP DEFAULT,
    ALTER COLUMN created_on TYPE timestamp with time zone
        USING coalesce(created_on, pg_catalog.now()),
    ALTER COLUMN created_on SET DEFAULT pg_catalog.now(),
    ALTER COLUMN created_on SET NOT NULL,

    ADD COLUMN period interval,
    ADD COLUMN final_date timestamp with time zone,
    ADD COLUMN user_id pg_catalog.text,

    SET (
        -- Room in each page for the next version of its rows: updates stay HOT.
        fillfactor = 70,
        -- The default waits for a fifth of the table to be dead; a sweep makes that many.
        autovacuum_vacuum_scale_factor = 0.05,
        -- Each change of a value past 2 kB leaves all its chunks dead.
        toast.autovacuum_vacuum_scale_factor = 0.05,
        -- Giving the emptied end of the file back takes ACCESS EXCLUSIVE, and the next
        -- sessions need that room again.
        vacuum_truncate = false,
        toast.vacuum_truncate = false
    );

-- To end all sessions of one user. A renewal leaves user_id alone and stays HOT.
CREATE INDEX session_user_id_idx ON session (user_id) WHERE user_id IS NOT NULL;

COMMENT ON COLUMN session.session_key IS 'base64url(sha256(key)[:30]), never the key itself';
COMMENT ON COLUMN session.session_data IS 'the value; NULL: none was ever set';
COMMENT ON COLUMN session.period IS 'granted to this row alone; NULL: the default of the store';
COMMENT ON COLUMN session.final_date IS 'renewals end here; NULL: never';

DROP FUNCTION pg_temp.session_value(pg_catalog.text);

-- A change of type drops what the planner knew of the column.
ANALYZE session;

COMMIT;
