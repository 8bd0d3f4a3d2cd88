"""Connections of SQLAlchemy to the database of the tests, with each driver that our users have."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

import asyncpg
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

T = TypeVar("T")

#: SQLAlchemy's names of the drivers. The first is not async.
DRIVERS: Final = ("psycopg", "psycopg_async", "asyncpg")


class Database:
    """The database as an application sees it whose search_path is one schema."""

    def __init__(self, conninfo: str, schema: str) -> None:
        self.conninfo = make_conninfo(conninfo, options=f"-csearch_path={schema}")
        self._parameters = conninfo_to_dict(conninfo)
        self._schema = schema

    def run(self, driver: str, work: Callable[[Connection], T], **options: Any) -> T:
        """Run the work with a connection that is committed afterwards."""
        if driver == "psycopg":
            engine = create_engine(
                "postgresql+psycopg://",
                creator=lambda: psycopg.connect(self.conninfo),
                poolclass=NullPool,
                **options,
            )
            with engine.begin() as connection:
                return work(connection)
        return asyncio.run(self._run(driver, work, options))

    async def _run(
        self, driver: str, work: Callable[[Connection], T], options: dict[str, Any]
    ) -> T:
        engine = self.engine(driver, **options)
        async with engine.begin() as connection:
            return await connection.run_sync(work)

    def engine(self, driver: str, **options: Any) -> AsyncEngine:
        """Return an engine that keeps no connections."""
        connect = self._connect_asyncpg if driver == "asyncpg" else self._connect_psycopg
        return create_async_engine(
            f"postgresql+{driver}://", async_creator=connect, poolclass=NullPool, **options
        )

    async def _connect_psycopg(self) -> psycopg.AsyncConnection:
        return await psycopg.AsyncConnection.connect(self.conninfo)

    async def _connect_asyncpg(self) -> asyncpg.Connection:
        it = self._parameters
        return await asyncpg.connect(
            host=it.get("host"),
            port=it.get("port"),
            user=it.get("user"),
            password=it.get("password"),
            database=it.get("dbname"),
            server_settings={"search_path": self._schema},
        )
