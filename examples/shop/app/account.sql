-- app/account.sql
-- If several processes start at once, each waits here until the one before it has committed.
SELECT pg_advisory_xact_lock(hashtext('account'));

CREATE TABLE IF NOT EXISTS account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    password text NOT NULL
);
