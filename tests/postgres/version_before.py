"""The statements of the version before migration 0003, for one session, as they were.

They are frozen. A process of it that was not stopped sends them to the new table.
"""

from typing import Final, LiteralString

SELECT: Final[LiteralString] = """
SELECT
    session_key::pg_catalog.text,
    session_data::pg_catalog.text,
    (extract(epoch FROM
        least(
            expire_date,
            pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => 3155760000.0)
        ) OPERATOR(pg_catalog.-) pg_catalog.now()
    ) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8,
    (extract(epoch FROM period) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8,
    CASE WHEN pg_catalog.isfinite(final_date) THEN
        (extract(epoch FROM final_date OPERATOR(pg_catalog.-) pg_catalog.now())
            OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8
    END
FROM session
WHERE session_key OPERATOR(pg_catalog.=) %s::pg_catalog.text
  AND expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
"""

NEWEST: Final[LiteralString] = """
SELECT
    session_key::pg_catalog.text,
    session_data::pg_catalog.text,
    (extract(epoch FROM
        least(
            expire_date,
            pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => 3155760000.0)
        ) OPERATOR(pg_catalog.-) pg_catalog.now()
    ) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8,
    (extract(epoch FROM period) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8,
    CASE WHEN pg_catalog.isfinite(final_date) THEN
        (extract(epoch FROM final_date OPERATOR(pg_catalog.-) pg_catalog.now())
            OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8
    END
FROM session
WHERE session_key OPERATOR(pg_catalog.=) ANY (pg_catalog.string_to_array(%s::pg_catalog.text, ','))
  AND expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
ORDER BY created_on DESC NULLS LAST, session_key
LIMIT 1
"""

INSERT: Final[LiteralString] = """
INSERT INTO session (session_key, session_data, expire_date, period, final_date)
SELECT
    d.session_key,
    d.session_data,
    pg_catalog.now() OPERATOR(pg_catalog.+)
        pg_catalog.make_interval(secs => least(d.seconds, d.lifetime)),
    CASE WHEN d.granted THEN pg_catalog.make_interval(secs => d.seconds) END,
    pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => d.lifetime)
FROM (
    SELECT
        %(session_key)s::pg_catalog.text AS session_key,
        %(session_data)s::pg_catalog.jsonb AS session_data,
        %(seconds)s::pg_catalog.float8 AS seconds,
        %(granted)s::pg_catalog.bool AS granted,
        %(lifetime)s::pg_catalog.float8 AS lifetime
) AS d
"""

UPDATE: Final[LiteralString] = """
WITH offered AS MATERIALIZED (
    SELECT
        session_key,
        heir,
        changed,
        coalesce(removed, '{}') AS removed,
        replaced,
        granted,
        pg_catalog.make_interval(secs => own) AS period,
        pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => seconds)
            AS expire_date
    FROM (
    SELECT
        %(session_key)s::pg_catalog.text AS session_key,
        %(heir)s::pg_catalog.text AS heir,
        %(changed)s::pg_catalog.jsonb AS changed,
        %(removed)s::pg_catalog.text[] AS removed,
        %(replaced)s::pg_catalog.bool AS replaced,
        %(seconds)s::pg_catalog.float8 AS seconds,
        %(granted)s::pg_catalog.bool AS granted,
        %(own)s::pg_catalog.float8 AS own
) AS e
)
UPDATE session AS s
SET session_data = CASE
        WHEN o.changed IS NULL THEN s.session_data
        WHEN o.replaced THEN o.changed
        ELSE (coalesce(s.session_data, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) o.removed)
            OPERATOR(pg_catalog.||) o.changed
    END,
    expire_date = CASE
        WHEN o.expire_date IS NULL THEN s.expire_date
        ELSE least(o.expire_date, s.final_date)
    END,
    period = CASE
        WHEN o.granted THEN o.period
        ELSE s.period
    END
FROM offered AS o
WHERE s.session_key OPERATOR(pg_catalog.=) o.session_key
  AND s.expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
RETURNING s.session_key::pg_catalog.text
"""

RENEW: Final[LiteralString] = """
WITH offered AS MATERIALIZED (
    SELECT
        session_key,
        heir,
        changed,
        coalesce(removed, '{}') AS removed,
        replaced,
        granted,
        pg_catalog.make_interval(secs => own) AS period,
        pg_catalog.now() OPERATOR(pg_catalog.+) pg_catalog.make_interval(secs => seconds)
            AS expire_date
    FROM (
    SELECT
        %(session_key)s::pg_catalog.text AS session_key,
        %(heir)s::pg_catalog.text AS heir,
        %(changed)s::pg_catalog.jsonb AS changed,
        %(removed)s::pg_catalog.text[] AS removed,
        %(replaced)s::pg_catalog.bool AS replaced,
        %(seconds)s::pg_catalog.float8 AS seconds,
        %(granted)s::pg_catalog.bool AS granted,
        %(own)s::pg_catalog.float8 AS own
) AS e
), old AS (
    DELETE FROM session AS s
    USING offered AS o
    WHERE s.session_key OPERATOR(pg_catalog.=) o.session_key
      AND s.expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
    RETURNING
        s.session_key, s.session_data, s.expire_date, s.created_on, s.period, s.final_date,
        s.user_id
)
INSERT INTO session
    (session_key, session_data, expire_date, created_on, period, final_date, user_id)
SELECT
    o.heir,
    CASE
        WHEN o.changed IS NULL THEN s.session_data
        WHEN o.replaced THEN o.changed
        ELSE (coalesce(s.session_data, '{}'::pg_catalog.jsonb) OPERATOR(pg_catalog.-) o.removed)
            OPERATOR(pg_catalog.||) o.changed
    END,
    CASE
        WHEN o.expire_date IS NULL THEN s.expire_date
        ELSE least(o.expire_date, s.final_date)
    END,
    s.created_on,
    CASE
        WHEN o.granted THEN o.period
        ELSE s.period
    END,
    s.final_date,
    s.user_id
FROM old AS s
JOIN offered AS o ON o.session_key OPERATOR(pg_catalog.=) s.session_key
RETURNING session_key::pg_catalog.text
"""

TAKE: Final[LiteralString] = """
UPDATE session AS s
SET session_data = s.session_data OPERATOR(pg_catalog.-) o.name
FROM (
    SELECT
        session_key,
        %(name)s::pg_catalog.text AS name,
        session_data OPERATOR(pg_catalog.->) %(name)s::pg_catalog.text AS taken
    FROM session
    WHERE session_key OPERATOR(pg_catalog.=) %(key)s::pg_catalog.text
      AND expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
      AND session_data OPERATOR(pg_catalog.?) %(name)s::pg_catalog.text
    FOR UPDATE
) AS o
WHERE s.session_key OPERATOR(pg_catalog.=) o.session_key
  AND s.expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
RETURNING o.taken::pg_catalog.text
"""

DELETE: Final[LiteralString] = """
DELETE FROM session
WHERE session_key OPERATOR(pg_catalog.=) %s::pg_catalog.text
"""

DELETE_EMPTY: Final[LiteralString] = """
WITH held AS MATERIALIZED (
    SELECT
        session_key,
        coalesce(session_data, '{}'::pg_catalog.jsonb)
            OPERATOR(pg_catalog.=) '{}'::pg_catalog.jsonb AS is_empty
    FROM session
    WHERE session_key OPERATOR(pg_catalog.=) %s::pg_catalog.text
      AND expire_date OPERATOR(pg_catalog.>) pg_catalog.now()
    FOR UPDATE
), gone AS (
    DELETE FROM session AS s
    USING held
    WHERE s.session_key OPERATOR(pg_catalog.=) held.session_key
      AND held.is_empty
    RETURNING s.session_key
)
SELECT is_empty, EXISTS (SELECT FROM gone)
FROM held
"""
