# app/pages.py
"""The templates."""

from pathlib import Path

from fastapi import Request, Response
from fastapi.templating import Jinja2Templates

templates = Jinja2Templates(Path(__file__).parent / "templates")


def show(request: Request, name: str, *, status_code: int = 200, **context: object) -> Response:
    """Return a template as a response."""
    return templates.TemplateResponse(request, name, context, status_code=status_code)
