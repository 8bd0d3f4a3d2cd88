"""A small Django project, as docs/how-to/from-django.md expects one."""

from pathlib import Path
from typing import Final

SETTINGS: Final = """
import os
from psycopg.conninfo import conninfo_to_dict

_database = conninfo_to_dict(os.environ["SESSION_DATABASE_URL"])
SECRET_KEY = "the key of a Django project"
SECRET_KEY_FALLBACKS = []
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "mysite.urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": _database.get("dbname"),
    "USER": _database.get("user"),
    "PASSWORD": _database.get("password"),
    "HOST": _database.get("host"),
    "PORT": _database.get("port"),
    "OPTIONS": {"options": _database["options"]},
}}
MIGRATION_MODULES = {"auth": None, "contenttypes": None, "sessions": None}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # a quick one
USE_TZ = True
SESSION_COOKIE_SECURE = True
"""

URLS: Final = """
from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.http import HttpResponse
from django.urls import path


def home(request):
    return HttpResponse(request.user.username or "nobody")


def sign_in(request):
    user = authenticate(request, username=request.GET["user"], password="sesame")
    login(request, user)
    return HttpResponse(str(user.pk))


def leave(request):
    logout(request)
    return HttpResponse("")


def change(request):
    request.user.set_password("sesame")  # with another salt
    request.user.save()
    update_session_auth_hash(request, request.user)
    return HttpResponse("")


urlpatterns = [
    path("", home), path("login", sign_in), path("logout", leave), path("change", change)
]
"""


def write_site(folder: Path, one_login: str, middleware: str) -> None:
    """Write the project `mysite`, with the two programs of the page for it."""
    site = folder / "mysite"
    site.mkdir()
    (site / "__init__.py").touch()
    for name, text in (
        ("settings", SETTINGS + middleware),
        ("urls", URLS),
        ("one_login", one_login),
    ):
        (site / f"{name}.py").write_text(text, encoding="utf-8")
