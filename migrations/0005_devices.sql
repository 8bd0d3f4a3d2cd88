-- 0005: the device that a session is bound to.
--
-- Why:    with device_binding a browser registers a key at the sign-in, and proves from then on
--         that it holds it: a copy of the session's cookie is soon worth nothing. The columns hold
--         the public key, for which login and when it was registered, and when the browser first
--         proved it. A later login ends the binding, also one by older code.
-- Locks:  ACCESS EXCLUSIVE on session, for some milliseconds: no row is written anew. And the
--         advisory lock 123589619970931, as in 0001.
-- Beside: code of 0004 may run while and after this is applied. It asks for no proof: set
--         device_binding once all processes run this version.
-- Fails:  and changes nothing, where session has a column device_key, device_login,
--         device_registered_on or device_proved_on already. Rename or drop these first.

BEGIN ISOLATION LEVEL READ COMMITTED;

SELECT pg_catalog.pg_advisory_xact_lock(123589619970931);

INSERT INTO session_migration (name, older_code) VALUES ('0005_devices', 'may run');

-- In a block, as Citus passes bare statements of this kind on to its nodes with all of this
-- message.
DO $$
BEGIN
    ALTER TABLE session
        ADD COLUMN device_key pg_catalog.text,
        ADD COLUMN device_login pg_catalog.int4,
        ADD COLUMN device_registered_on timestamp with time zone,
        ADD COLUMN device_proved_on timestamp with time zone;
END
$$;

COMMENT ON COLUMN session.device_key IS 'the public key of the device, as a JSON Web Key';
COMMENT ON COLUMN session.device_login IS
    'the login_number for which it was registered: after another login it counts no more';
COMMENT ON COLUMN session.device_registered_on IS 'when the device registered its key';
COMMENT ON COLUMN session.device_proved_on IS
    'when it first proved that it holds the key: since then a proof is asked for';

COMMIT;
