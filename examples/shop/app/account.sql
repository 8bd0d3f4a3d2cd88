-- app/account.sql
SELECT pg_advisory_xact_lock(hashtext('account'));  -- several processes may start at once

CREATE TABLE IF NOT EXISTS account (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    password text NOT NULL
);
