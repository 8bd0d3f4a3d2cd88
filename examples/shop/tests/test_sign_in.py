# tests/test_sign_in.py
from fastapi.testclient import TestClient

from pgsession.testing import age, session_of

ANN = {"name": "ann", "password": "correct horse battery"}


def test_sign_in(client: TestClient) -> None:
    client.post("/sign-up", data=ANN)
    assert "Signed in as ann." in client.post("/sign-in", data=ANN).text
    assert "Sign in" in client.post("/sign-out").text


def test_wrong_password(client: TestClient) -> None:
    client.post("/sign-up", data=ANN)
    response = client.post("/sign-in", data={**ANN, "password": "guessed"})
    assert response.status_code == 401
    assert not client.cookies


def test_name_is_taken(client: TestClient) -> None:
    client.post("/sign-up", data=ANN)
    assert "This name is taken." in client.post("/sign-up", data=ANN).text


def test_remember_me(client: TestClient) -> None:
    client.post("/sign-up", data=ANN)
    client.post("/sign-in", data={**ANN, "remember": "on"})
    age(client, days=29)
    with session_of(client) as session:
        assert session.user_id is not None
