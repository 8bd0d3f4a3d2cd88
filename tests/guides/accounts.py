"""The database of a page, and accounts in it."""

import re
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from tests.project.documents import Document


def accounts_of(page: Document) -> str:
    """Return the statement of a page that makes the accounts of root and ann."""
    (statement,) = re.findall(r'-c "(INSERT .*?)"', page.text)
    return str(statement)


def url_of(database_url: str, schema: str) -> str:
    """Return a URL, as the pages need one, with the schema in its search_path."""
    options = {**conninfo_to_dict(database_url), "options": f"-csearch_path={schema}"}
    return f"postgresql://?{urlencode(options)}"


def execute(url: str, statement: str) -> None:
    """Execute a statement on the database of a page."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
