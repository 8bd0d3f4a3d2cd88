# app/migrate.py
"""Create the table of accounts: python -m app.migrate."""

import os
from pathlib import Path

import psycopg

ACCOUNT = Path(__file__).with_name("account.sql")


def create_tables(url: str) -> None:
    """Create what is missing."""
    with psycopg.connect(url) as connection:
        connection.execute(ACCOUNT.read_bytes())


if __name__ == "__main__":
    create_tables(os.environ["SESSION_DATABASE_URL"])
    print("The table of accounts is there.")
