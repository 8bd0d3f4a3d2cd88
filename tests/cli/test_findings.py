"""The verdicts of a checkup for given facts."""

from dataclasses import replace
from typing import Any

import pytest

from pgsession.cli.findings import (
    Finding,
    Verdict,
    check_link,
    check_record,
    check_relation,
    check_sample,
    check_schemas,
    check_server,
    check_vacuum,
)
from pgsession.cli.index_findings import check_indexes
from pgsession.cli.indexes import Index
from pgsession.cli.inspection import Relation, Sample, Server
from pgsession.cli.places import Place
from pgsession.postgres.record import Record

SERVER = Server(
    address="localhost:5432",
    database="app",
    role="Web",
    version=180_004,
    version_text="18.4",
    is_read_only=False,
    is_standby=False,
    encoding="UTF8",
    synchronous_commit="on",
    has_autovacuum=True,
    ahead=0.2,
)
PARAMETERS = {"autovacuum_vacuum_scale_factor": "0.05", "vacuum_truncate": "false"}
RELATION = Relation(
    schema="web",
    table="session",
    has_pages=True,
    is_unlogged=False,
    options=PARAMETERS | {"fillfactor": "70"},
    toast_options=PARAMETERS,
    bare=[],
)
INDEX = Index(
    schema="web",
    name="i",
    method="btree",
    constraint=None,
    is_partitioned=False,
    is_valid=True,
    is_unique=False,
    predicate="(user_id IS NOT NULL)",
    may_be_built=False,
    first="user_id",
    columns=["user_id"],
)
KEYS = replace(INDEX, method="hash", first="session_key", predicate=None, columns=["session_key"])
CLIENTS = replace(
    INDEX,
    first="session_key",
    predicate="(login_client IS NOT NULL)",
    columns=["session_key", "login_client"],
)
DURABILITY = Place("synchronous_commit", "default", "ann", "app")
READ_ONLY = Place("default_transaction_read_only", "user", "ann", "app")


def verdicts(findings: list[Finding]) -> dict[str, str]:
    """Return the verdicts that are not ok; check that each of them has a remedy."""
    assert all(bool(each.remedy) is (each.verdict is not Verdict.OK) for each in findings)
    return {each.subject: each.verdict.value for each in findings if each.verdict is not Verdict.OK}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({}, {}, id="in order"),
        pytest.param({"version": 130_011}, {"server": "wrong"}, id="PostgreSQL 13"),
        pytest.param({"version": 140_000}, {}, id="PostgreSQL 14"),
        pytest.param({"is_read_only": True}, {"primary": "wrong"}, id="read-only"),
        pytest.param(
            {"is_read_only": True, "is_standby": True}, {"primary": "wrong"}, id="standby"
        ),
        pytest.param({"encoding": "SQL_ASCII"}, {"encoding": "wrong"}, id="encoding"),
        pytest.param({"ahead": 5.1}, {"clock": "warning"}, id="clock ahead"),
        pytest.param({"ahead": -3600.0}, {"clock": "warning"}, id="clock behind"),
        pytest.param({"synchronous_commit": "off"}, {"durability": "warning"}, id="not durable"),
        pytest.param({"synchronous_commit": "local"}, {}, id="durable here"),
    ],
)
def test_server(change: dict[str, Any], told: dict[str, str]) -> None:
    """The verdict on a server depends on its version, writes, encoding, clock and durability."""
    assert verdicts(list(check_server(replace(SERVER, **change), DURABILITY, READ_ONLY))) == told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param({}, {}, id="in order"),
        pytest.param({"is_unlogged": True}, {"storage": "wrong"}, id="unlogged"),
        pytest.param({"options": PARAMETERS | {"fillfactor": "90"}}, {}, id="room"),
        pytest.param(
            {"options": PARAMETERS | {"fillfactor": "91"}},
            {"fill factor": "wrong"},
            id="little room",
        ),
        pytest.param({"options": {}, "has_pages": False}, {}, id="partitioned"),
        pytest.param({"toast_options": {}}, {"storage parameters": "warning"}, id="toast"),
        pytest.param({"bare": ["seen_on"]}, {"defaults": "wrong"}, id="no default"),
    ],
)
def test_relation(change: dict[str, Any], told: dict[str, str]) -> None:
    """The verdict on a table depends on its storage and its defaults."""
    assert verdicts(list(check_relation(replace(RELATION, **change)))) == told


@pytest.mark.parametrize(
    ("change", "version", "told"),
    [
        pytest.param({}, 140_000, ["indexes"], id="in order"),
        pytest.param({"predicate": None}, 180_000, ["indexes"], id="all users"),
        pytest.param(
            {"columns": ["session_data", "user_id"]}, 180_000, ["indexes.value"], id="value"
        ),
        pytest.param({"first": None}, 180_000, ["indexes.users"], id="no users"),
        pytest.param({"method": "brin"}, 180_000, ["indexes.users"], id="users by BRIN"),
        pytest.param(
            {"predicate": "(user_id = 'ann'::text)"}, 180_000, ["indexes.users"], id="some users"
        ),
        pytest.param(
            {"is_valid": False}, 180_000, ["indexes.invalid", "indexes.users"], id="not valid"
        ),
        pytest.param(
            {"is_valid": False, "may_be_built": True}, 180_000, ["indexes.building"], id="built now"
        ),
        pytest.param(
            {"is_unique": True}, 180_000, ["indexes.unique", "indexes.users"], id="unique"
        ),
        pytest.param(
            {"columns": ["seen_on"]}, 180_000, ["indexes.renewals", "indexes.users"], id="B-tree"
        ),
        pytest.param(
            {"columns": ["seen_on"], "method": "brin"}, 160_000, ["indexes.users"], id="BRIN"
        ),
        pytest.param(
            {"columns": ["seen_on"], "method": "brin"},
            150_000,
            ["indexes.renewals", "indexes.users"],
            id="BRIN before 16",
        ),
    ],
)
def test_indexes(change: dict[str, Any], version: int, told: list[str]) -> None:
    """The findings about an index depend on its columns, method, rows and state, and the server."""
    indexes = [replace(INDEX, **change), KEYS, CLIENTS]

    assert [each.code for each in check_indexes(indexes, RELATION, version=version)] == told


def test_other_index_on_key() -> None:
    """The primary key's own index is no hash index, and none of the rows with a client alone."""
    primary = replace(KEYS, method="btree")
    found = check_indexes([INDEX, primary], RELATION, version=180_000)

    assert [each.code for each in found] == ["indexes.keys", "indexes.clients"]
    keys, clients = (each.remedy for each in found)
    assert keys == (
        "CREATE INDEX CONCURRENTLY session_key_hash_idx ON web.session USING hash (session_key);"
    )
    assert clients == (
        "CREATE INDEX CONCURRENTLY session_client_idx ON web.session USING btree (session_key) "
        "WHERE login_client IS NOT NULL;"
    )


def test_autovacuum() -> None:
    """Without autovacuum on the server or the table something is wrong; the remedy says where."""
    off = replace(RELATION, options={"autovacuum_enabled": "off"})
    on_server = check_vacuum(off, replace(SERVER, has_autovacuum=False))
    on_table = check_vacuum(off, SERVER)

    assert verdicts([check_vacuum(RELATION, SERVER)]) == {}
    assert verdicts([on_server]) == verdicts([on_table]) == {"autovacuum": "wrong"}
    assert "postgresql.conf" in on_server.remedy
    assert on_table.remedy == "ALTER TABLE web.session RESET (autovacuum_enabled);"


@pytest.mark.parametrize(
    ("sample", "verdict"),
    [
        pytest.param(Sample(rows=0, neglected=0), Verdict.OK, id="empty"),
        pytest.param(Sample(rows=999, neglected=999), Verdict.OK, id="too few to judge by"),
        pytest.param(Sample(rows=1000, neglected=100), Verdict.OK, id="a tenth"),
        pytest.param(Sample(rows=1000, neglected=101), Verdict.WRONG, id="more"),
    ],
)
def test_sample(sample: Sample, verdict: Verdict) -> None:
    """Sweeping is wrong if more than a tenth of the rows expired more than a day ago."""
    finding = check_sample(sample, is_scheduled=True)

    assert finding.verdict is verdict
    assert bool(finding.remedy) is (verdict is Verdict.WRONG)


def test_sample_of_cron() -> None:
    """If the settings turn sweeping off, the finding says that cron has to sweep."""
    finding = check_sample(Sample(rows=1, neglected=0), is_scheduled=False)

    assert "cron" in finding.text


@pytest.mark.parametrize(
    ("record", "verdict", "said"),
    [
        pytest.param(
            {"0001": None, "0002": None},
            Verdict.OK,
            "web.session is as this version needs it, 0002",
            id="complete",
        ),
        pytest.param(None, Verdict.OK, "migrations are not visible", id="not to be read"),
        pytest.param({"0001": None}, Verdict.WRONG, "lacks the migration 0002", id="older"),
        pytest.param(
            {"0001": None, "0002": None, "0003": "may run"},
            Verdict.OK,
            "newer migration 0003, and this version may run",
            id="newer",
        ),
        pytest.param(
            {"0001": None, "0002": None, "0003": "must not run: keys differ", "0004": "may run"},
            Verdict.WRONG,
            "0003, and older versions must not run: keys differ",
            id="too new",
        ),
        pytest.param(
            {"0001": None, "0003": "may run"}, Verdict.WRONG, "lacks the migration 0002", id="gap"
        ),
    ],
)
def test_record(record: dict[str, str | None] | None, verdict: Verdict, said: str) -> None:
    """The recorded migrations must be those that this version knows, or let it run beside them."""
    finding = check_record(
        None if record is None else Record(record), ["0001", "0002"], table="web.session"
    )

    assert finding.verdict is verdict
    assert said in finding.text


def test_place() -> None:
    """The first finding about the server says which database it is, and as whom."""
    [place, *_] = check_server(SERVER, DURABILITY, READ_ONLY)

    assert (place.subject, place.text) == ("database", 'app at localhost:5432, as "Web"')


def test_link() -> None:
    """A pooler is reported, and is not a fault."""
    assert "through a pooler" in check_link(is_pooled=True).text
    assert check_link(is_pooled=False).text == "direct"
    assert verdicts([check_link(is_pooled=True), check_link(is_pooled=False)]) == {}


def test_schemas() -> None:
    """A schema in which every role may create is a warning that names the remedy, quoted."""
    found = check_schemas(["public", 'a" from public; drop table session; --'])

    assert found.verdict is Verdict.WARNING
    assert found.remedy.startswith(
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC; "
        'REVOKE CREATE ON SCHEMA "a"" from public; drop table session; --" FROM PUBLIC; '
    )
    assert check_schemas([]).verdict is Verdict.OK
