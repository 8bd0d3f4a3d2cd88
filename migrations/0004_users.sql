-- 0004: the user of a session, and when and how they signed in.
--
-- Why:    session.login() binds a session to a user, so that the sessions of one user can
--         be listed and ended. user_id is there since 0002. The new columns hold the number
--         and the time of the last login, its stamp and label, the administrator behind it,
--         its client where record_client is on, and when the key was last renewed.
-- Locks:  ACCESS EXCLUSIVE on session, for some milliseconds: no row is written anew. Then
--         SHARE while the index is built, which holds no row yet. And the advisory lock
--         123589619970931, as in 0001.
-- Beside: code of 0003 may run while and after this is applied. It signs nobody in, and does
--         not change user_id. So do not let code that signs in with session["user"] = … run
--         beside code that calls session.login(): a session in which ann has logged in, and
--         then bob the old way, would still be ann's. Roll out this version first, and call
--         session.login() in a later release. If you go back behind that, then
--         DELETE FROM session WHERE user_id IS NOT NULL.
-- Fails:  and changes nothing, where session has a column login_number, login_on,
--         login_stamp, login_label, login_actor, login_client or renewed_on already. Rename
--         or drop these first.

BEGIN ISOLATION LEVEL READ COMMITTED;

SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);

INSERT INTO session_migration (name, older_code) VALUES ('0004_users', 'may run');

-- In a block, as Citus passes bare statements of this kind on to its nodes with all of this
-- message. The index is for the sweep, which erases what was recorded of clients once that is
-- switched off.
DO $$
BEGIN
    ALTER TABLE session
        ADD COLUMN login_number pg_catalog.int4 NOT NULL DEFAULT 0,
        ADD COLUMN login_on timestamp with time zone,
        ADD COLUMN login_stamp pg_catalog.text,
        ADD COLUMN login_label pg_catalog.text,
        ADD COLUMN login_actor pg_catalog.text,
        ADD COLUMN login_client pg_catalog.jsonb,
        ADD COLUMN renewed_on timestamp with time zone;
    CREATE INDEX session_client_idx ON session (session_key) WHERE login_client IS NOT NULL;
END
$$;

COMMENT ON COLUMN session.login_number IS 'how many logins the session has had';
COMMENT ON COLUMN session.login_on IS 'when the user last proved who they are';
COMMENT ON COLUMN session.login_stamp IS 'a text of the application''s, as of the login';
COMMENT ON COLUMN session.login_label IS 'the name of the device';
COMMENT ON COLUMN session.login_actor IS 'the administrator who is signed in as the user';
COMMENT ON COLUMN session.login_client IS 'the address and the user agent of the login';
COMMENT ON COLUMN session.renewed_on IS 'when the key was last renewed; NULL: unknown';

COMMIT;
