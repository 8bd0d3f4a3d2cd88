"""The pages about what a session holds: typed content, and flash messages."""

from tests.guides.conftest import client
from tests.project.conftest import Names
from tests.project.documents import Document

(TYPED_CONTENT,) = Document("docs/how-to/typed-content.md").programs
FLASH, FLASH_STARLETTE = Document("docs/how-to/flash.md").programs


def test_typed_content(names: Names) -> None:
    """The cart grows from request to request, and a theme is a member of its own."""
    item = {"name": "pen", "price": "1.20"}
    with client(names(TYPED_CONTENT)) as visitor:
        visitor.put("/theme", params={"theme": "dark"})
        carts = [visitor.post("/cart", json=item).json() for _ in range(2)]

    assert [cart["items"] for cart in carts] == [[item], [item, item]]


def test_flash(names: Names) -> None:
    """A message is shown once, after a redirect; with Starlette too."""
    with client(names(FLASH)) as visitor:
        pages = [visitor.post("/profile").text, visitor.get("/").text]
    with client(names(FLASH_STARLETTE)) as visitor:
        pages.append(visitor.get("/").text)

    shown = [page.rpartition("</form>")[2].strip() for page in pages]
    assert shown == ['<p class="success">Saved.</p>', "", ""]
