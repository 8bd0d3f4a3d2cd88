"""Reads the sessions from before a switch: of Starlette, starsessions, Flask-Session and Django.

Give one to `SessionSettings.predecessor`. Nothing here unpickles.
"""

from pgsession.predecessors.django_table import DjangoTable
from pgsession.predecessors.flask_redis import FlaskRedis
from pgsession.predecessors.starlette_cookie import StarletteCookie
from pgsession.predecessors.starsessions_store import StarsessionsStore

__all__ = ["DjangoTable", "FlaskRedis", "StarletteCookie", "StarsessionsStore"]
