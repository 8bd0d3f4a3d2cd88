# tests/test_devices.py
from fastapi.testclient import TestClient

ANN = {"name": "ann", "password": "correct horse battery"}


def test_sign_out_others(client: TestClient) -> None:
    client.post("/sign-up", data=ANN)
    client.post("/sign-in", data=ANN)
    other = TestClient(client.app, base_url="https://testserver")
    other.portal = client.portal  # the same event loop
    other.post("/sign-in", data=ANN)
    assert other.get("/devices").text.count("Sign out<") == 2

    client.post("/devices/sign-out-others")
    assert other.get("/devices").url.path == "/sign-in"
    assert client.get("/devices").text.count("Sign out<") == 1


def test_forged_form(client: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert client.post("/sign-in", data=ANN, headers=headers).status_code == 403
