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

from fastapi import Depends, FastAPI, Path

from pgsession import Session, SessionMiddleware, SessionSettings, get_session

app = FastAPI(title="Cart")
app.add_middleware(SessionMiddleware, settings=SessionSettings.from_env())

Item = Annotated[str, Path(pattern=r"^[a-z]{1,20}$")]
SessionDep = Annotated[Session, Depends(get_session)]


@app.get("/cart")
async def show(session: SessionDep) -> dict[str, int]:
    """List the items in the cart."""
    return dict(session)


@app.post("/cart/{item}")
def add(item: Item, session: SessionDep) -> dict[str, int]:
    """Add one of an item to the cart.

    Each item is a top-level key of the session. So if two requests add
    different items at the same time, both are stored.
    """
    session[item] = session.get(item, 0) + 1
    return dict(session)


@app.delete("/cart/{item}")
def remove(item: Item, session: SessionDep) -> dict[str, int]:
    """Remove an item from the cart. Removing the last one ends the session."""
    session.pop(item, None)
    return dict(session)


@app.delete("/cart", status_code=204)
def empty(session: SessionDep) -> None:
    """Empty the cart. This deletes the row and the cookie."""
    session.clear()
