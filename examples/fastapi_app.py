"""A shopping cart with FastAPI.

    export SESSION_DATABASE_URL=postgresql://localhost/app
    export SESSION_SECRET_KEY="$(pgsession secret)"
    pgsession migrate
    uvicorn --app-dir examples fastapi_app:app

Then open /docs, or:

    curl -c jar -b jar -X POST http://127.0.0.1:8000/cart/apple
    curl -c jar -b jar http://127.0.0.1:8000/cart
"""

from typing import Annotated

from fastapi import FastAPI, Path, Request

from pgsession import SessionMiddleware, SessionSettings

app = FastAPI(title="Cart")
app.add_middleware(SessionMiddleware, settings=SessionSettings.from_env())

Item = Annotated[str, Path(pattern=r"^[a-z]{1,20}$")]


@app.get("/cart")
async def show(request: Request) -> dict[str, int]:
    """List the items in the cart."""
    return dict(request.session)


@app.post("/cart/{item}")
def add(item: Item, request: Request) -> dict[str, int]:
    """Add one of an item to the cart.

    Each item is a top-level key of the session. So if two requests add
    different items at the same time, both are stored.
    """
    request.session[item] = request.session.get(item, 0) + 1
    return dict(request.session)


@app.delete("/cart/{item}")
def remove(item: Item, request: Request) -> dict[str, int]:
    """Remove an item from the cart. Removing the last one ends the session."""
    request.session.pop(item, None)
    return dict(request.session)


@app.delete("/cart", status_code=204)
def empty(request: Request) -> None:
    """Empty the cart. This deletes the row and the cookie."""
    request.session.clear()
