"""Another site, whose pages lead to the address in the query: with a form, a link or a frame."""

from html import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

FIELDS = '<input type="hidden" name="user" value="bob"><button>Go</button>'
PAGES = {
    "/form": f'<form method="post" action="{{}}">{FIELDS}</form>',
    "/link": '<a href="{}">Go</a>',
    "/frame": '<iframe src="{}"></iframe>',
    "/framed-form": f"""<iframe name="frame"></iframe>
        <form method="post" action="{{}}" target="frame">{FIELDS}</form>""",
}


async def page(request: Request) -> HTMLResponse:
    """Show the form, the link or the frame."""
    body = PAGES[request.url.path].format(escape(request.query_params["to"]))
    return HTMLResponse(f"<!doctype html><title>Elsewhere</title>{body}")


app = Starlette(routes=[Route(path, page) for path in PAGES])
