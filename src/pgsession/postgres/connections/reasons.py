"""Why PostgreSQL cannot be reached, and what to do: known by the English text of libpq.

An error of connecting has no SQLSTATE. The texts are those of the server (a FATAL message), of
libpq, of psycopg and of PgBouncer.
"""

from __future__ import annotations

import errno
import os
import re
from typing import Final

from msgspec import Struct

from pgsession.postgres.quoting import identifier

_HBA: Final = "as a superuser add a line for it to pg_hba.conf, then SELECT pg_reload_conf();"
_FREE: Final = "wait for connections to end, or make pool_size smaller or start fewer processes"
_CREDENTIALS: Final = (
    "correct the password in the database URL (PGPASSWORD, ~/.pgpass), or give the role one that "
    "has not expired: "
)
_NOT_POSTGRES: Final = "correct the host and the port of the database URL: this is no PostgreSQL"
_CERTIFICATE: Final = (
    "give the certificate of the authority that signed the server's in sslrootcert, or correct it"
)
_POOLER_USER: Final = "add the user and the password to PgBouncer's auth_file or auth_query"


class Reason(Struct, frozen=True):
    """One reason, known by a pattern."""

    #: A name for programs. It stays the same.
    name: str
    #: Compiled at its first use: most processes never need one.
    pattern: str
    #: What to do. In it ``{0}`` is the pattern's first group, quoted as an identifier.
    remedy: str
    #: True if it may pass by itself.
    may_pass: bool = False

    def remedy_for(self, text: str) -> str:
        """Return what to do about an error with this text."""
        found = re.search(self.pattern, text)
        groups = found.groups() if found else ()
        return self.remedy.format(*(identifier(group) for group in groups))


def _reason(name: str, pattern: str, remedy: str, *, may_pass: bool = False) -> Reason:
    return Reason(name, pattern, remedy, may_pass)


#: The first that fits counts.
REASONS: Final = (
    # The server, and its pg_hba.conf.
    _reason(
        "password",
        r'FATAL: +password authentication failed for user "(.*?)"(?= |$)',
        _CREDENTIALS + "ALTER ROLE {0} PASSWORD '…' VALID UNTIL 'infinity';",
    ),
    _reason(
        "password",
        "FATAL: +(?:password|SASL) authentication failed",
        _CREDENTIALS + "ALTER ROLE … PASSWORD '…', and behind PgBouncer also in its auth_file",
    ),
    _reason(
        "no-password",
        "fe_sendauth: no password supplied",
        "give a password in the database URL, in PGPASSWORD or in ~/.pgpass",
    ),
    _reason(
        "role-missing",
        r'FATAL: +role "(.*?)" does not exist',
        "correct the user of the database URL, or CREATE ROLE {0} LOGIN PASSWORD '…';",
    ),
    _reason(
        "role-login", r'FATAL: +role "(.*?)" is not permitted to log in', "ALTER ROLE {0} LOGIN;"
    ),
    _reason(
        "hba",
        r"no pg_hba\.conf entry .*no encryption",
        f"{_HBA[:-1]} or set sslmode=require if there is one of the type hostssl",
    ),
    _reason("hba", r"no pg_hba\.conf entry", _HBA),
    _reason(
        "hba-reject",
        r"pg_hba\.conf rejects",
        "take the line with reject away from pg_hba.conf, or put one that accepts before it",
    ),
    _reason(
        "peer",
        "FATAL: +Peer authentication failed",
        "run as the system user of that name, or add host=127.0.0.1 and a password: over the "
        "socket pg_hba.conf says peer",
    ),
    _reason(
        "ident",
        "FATAL: +Ident authentication failed",
        "set scram-sha-256 in the place of ident in pg_hba.conf, or start the ident service",
        may_pass=True,
    ),
    _reason(
        "certificate-of-client",
        "FATAL: +(?:certificate authentication failed|connection requires a valid client)",
        "give a client certificate of that role in sslcert and sslkey",
    ),
    _reason(
        "service-behind",
        r"FATAL: +\w+ authentication failed",
        "check the service that pg_hba.conf names, and the password",
        may_pass=True,
    ),
    _reason("pooler-user", r'FATAL: +(?:"trust" authentication failed|no such user)', _POOLER_USER),
    _reason(
        "database-missing",
        r'FATAL: +database "(.*?)" does not exist',
        "correct the database of the URL, or CREATE DATABASE {0} ENCODING 'UTF8' "
        "TEMPLATE template0;",
    ),
    _reason(
        "database-closed",
        r'FATAL: +database "(.*?)" is not currently accepting connections',
        "ALTER DATABASE {0} ALLOW_CONNECTIONS true;",
    ),
    _reason(
        "connect",
        r'FATAL: +permission denied for database "(.*?)"(?= |$)',
        "GRANT CONNECT ON DATABASE {0} TO …, naming the role of the database URL",
    ),
    _reason(
        "options",
        "FATAL: +(?:unrecognized configuration parameter|invalid value for param"
        "eter|permission denied to set parameter)",
        "correct it in options of the database URL, PGOPTIONS or ALTER ROLE … SET",
    ),
    # Connections.
    _reason(
        "role-limit",
        r'FATAL: +too many connections for role "(.*?)"(?= |$)',
        _FREE + ", or raise the limit: ALTER ROLE {0} CONNECTION LIMIT 100;",
        may_pass=True,
    ),
    _reason(
        "database-limit",
        r'FATAL: +too many connections for database "(.*?)"(?= |$)',
        _FREE + ", or raise the limit: ALTER DATABASE {0} CONNECTION LIMIT 100;",
        may_pass=True,
    ),
    _reason(
        "server-full",
        "sorry, too many clients already|remaining connection slots are",
        _FREE + ", or raise max_connections and restart PostgreSQL",
        may_pass=True,
    ),
    # The state of the server.
    _reason(
        "starting",
        "the database system is (?:starting up|in recovery mode)",
        "wait until it has started, see the server's log",
        may_pass=True,
    ),
    _reason(
        "recovering",
        "the database system is not (?:yet )?accepting connections",
        "wait until it has replayed its log, or set hot_standby = on and name the primary too",
        may_pass=True,
    ),
    _reason(
        "stopping",
        "the database system is shutting down|terminating connection due to admin",
        "wait, or start it again",
        may_pass=True,
    ),
    _reason(
        "read-only",
        "session is read-only|server is in hot standby mode",
        "name the primary too, or wait for the failover",
        may_pass=True,
    ),
    _reason(
        "not-a-standby",
        "session is not read-only|server is not in hot standby mode",
        "sessions are written: leave target_session_attrs out, or make it read-write",
    ),
    _reason(
        "disk-full", "No space left on device", "make room on the disk of the server", may_pass=True
    ),
    # PgBouncer.
    _reason(
        "pooler-database",
        r"FATAL: +no such database",
        "add the database to [databases] of PgBouncer, or correct it in the URL",
    ),
    _reason(
        "pooler-disabled",
        r'FATAL: +database ".*" is disabled',
        "run ENABLE on the console of PgBouncer",
        may_pass=True,
    ),
    _reason(
        "pooler-options",
        r"FATAL: +unsupported startup parameter: (\w+)",
        "take it out of the database URL (PGOPTIONS): PgBouncer passes no such parameter on, and "
        "with ignore_startup_parameters it would have no effect. For a search_path set "
        "SESSION_SCHEMA, for the rest ALTER ROLE … SET",
    ),
    _reason(
        "pooler-full",
        r"no more connections allowed|client connections exceeded",
        _FREE + ", or raise max_client_conn (max_db_client_connections, "
        "max_user_client_connections) of PgBouncer",
        may_pass=True,
    ),
    _reason(
        "pooler-busy",
        "query_wait_timeout",
        "PgBouncer had no server connection free: raise its default_pool_size, or find what "
        "holds them with SHOW SERVERS",
        may_pass=True,
    ),
    _reason(
        "pooler-server",
        "server_login_retry|pgbouncer cannot connect to server"
        r"|client_login_timeout|server (?:conn crashed|login failed)",
        "PgBouncer does not reach PostgreSQL, or is rejected there, and its log says why: start "
        "the server, correct [databases], put the role's new password into auth_file, or free "
        "connections of the server",
        may_pass=True,
    ),
    _reason(
        "pooler-mode",
        "transaction blocks not allowed in statement pooling mode",
        "set pool_mode = transaction in PgBouncer, then run RELOAD on its console",
    ),
    _reason(
        "pooler-limit",
        "FATAL: +(?:idle transaction timeout|query timeout|client_idle_timeout)",
        "raise this limit in PgBouncer: idle_transaction_timeout above exclusive_limit, and "
        "query_timeout above timeout",
        may_pass=True,
    ),
    _reason(
        "pooler-hba",
        "FATAL: +login rejected",
        "add a line for the role to PgBouncer's auth_hba_file, then run RELOAD",
    ),
    # Encryption.
    _reason(
        "ssl-required",
        "FATAL: +SSL required",
        "set sslmode=require or verify-full in the database URL",
    ),
    _reason(
        "ssl-missing",
        "server does not support SSL",
        "set ssl = on with a certificate on the server, or sslmode=disable in a network that you "
        "trust",
    ),
    _reason(
        "ssl-host",
        r'server certificate for ".*" .*does not match host name',
        "name the server as its certificate does, or give it a certificate with this name",
    ),
    _reason("ssl-root", "root certificate file|could not read root cert", _CERTIFICATE),
    _reason("ssl-verify", "certificate verify failed", _CERTIFICATE),
    _reason(
        "ssl-certificate",
        "certificate file|private key file",
        "correct sslcert and sslkey: the key must belong to this user, with mode 0600",
    ),
    _reason(
        "channel-binding",
        "channel binding",
        "connect over SSL to a role with a scram-sha-256 password, or leave channel_binding "
        "out of the database URL",
    ),
    _reason(
        "authentication-required",
        "authentication method requirement",
        "set that method in pg_hba.conf, or leave require_auth out of the database URL",
    ),
    _reason(
        "gss",
        "GSSAPI encryption required",
        "run kinit, or leave gssencmode out of the database URL",
    ),
    # What is no PostgreSQL.
    _reason(
        "not-postgres",
        "expected authentication request|received invalid response to",
        _NOT_POSTGRES,
    ),
    _reason(
        "closed",
        "server closed the connection unexpectedly|unexpected eof",
        "see the log of the server, and check that the port is PostgreSQL's",
        may_pass=True,
    ),
    # Before a server.
    _reason(
        "service",
        "definition of service .* not found",
        "correct service (PGSERVICE), or add it to the service file",
    ),
    _reason("url", r"invalid \S+ value|invalid (?:integer|port)", "correct it in the database URL"),
    _reason(
        "host",
        "failed to resolve host|could not translate host name",
        "correct the host of the database URL, or the name service",
        may_pass=True,
    ),
    _reason(
        "refused",
        "Connection refused",
        "start the server, or correct the host and the port of the database URL",
        may_pass=True,
    ),
    _reason(
        "socket",
        r"No such file or directory",
        "start the server, or name its unix_socket_directories as host in the database URL",
        may_pass=True,
    ),
    _reason(
        "timeout",
        "timeout expired|timed out|did not answer|No route to host|unreachable",
        "check the host, the port, the firewall and whether the server is overloaded or its "
        "pooler is paused",
        may_pass=True,
    ),
    _reason(
        "pooler-other",
        "^The pooler has ended the connection",
        "try again, and see the log of PgBouncer",
        may_pass=True,
    ),
)

#: What libpq says then, if it says anything. "Too many open files" alone may be the server's.
_NO_SOCKET: Final = "could not create socket: Too many open files"

NO_DESCRIPTORS: Final = Reason(
    "descriptors",
    "",
    "this process has used up its file descriptors: raise their limit (`ulimit -n`), and look what "
    "keeps so many files and sockets open",
    may_pass=True,
)

#: For every other text.
UNKNOWN: Final = Reason(
    "unknown",
    "",
    "start the server, or correct the database URL",
    may_pass=True,
)


def reason_of(text: str) -> Reason:
    """Return the first reason that fits the text of an error of connecting."""
    found = next((reason for reason in REASONS if re.search(reason.pattern, text)), UNKNOWN)
    if _NO_SOCKET in text or (found is UNKNOWN and not _may_open()):
        return NO_DESCRIPTORS
    return found


def _may_open() -> bool:
    """Return False if this process, or its machine, has no file descriptor left."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return error.errno not in {errno.EMFILE, errno.ENFILE}
    return True
