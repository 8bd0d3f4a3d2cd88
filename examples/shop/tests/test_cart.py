# tests/test_cart.py
from concurrent.futures import ThreadPoolExecutor

from fastapi.testclient import TestClient

from pgsession.testing import session_of


def test_parallel_requests(client: TestClient) -> None:
    client.post("/cart/tea")
    with ThreadPoolExecutor(9) as threads:
        list(threads.map(client.post, 9 * ["/cart/tea"]))
    with session_of(client) as session:
        assert session["cart"] == {"tea": 10}


def test_unknown_item(client: TestClient) -> None:
    assert client.post("/cart/gold").status_code == 422
