"""A browser that binds sessions, as Chromium was seen to do it."""

import re
from typing import Any

import httpx
from httpx import ASGITransport, AsyncClient, Response
from starlette.types import ASGIApp

from tests.dbsc.keys import Device

OFFER = re.compile(r'\(ES256 RS256\);path="([^"]+)";challenge="([^"]+)"')
CHALLENGE = re.compile(r'"([^"]+)";id="([^"]+)"')


class BindingBrowser(AsyncClient):
    """Registers a key where it is offered, and refreshes when it is told to."""

    def __init__(self, app: ASGIApp, *, registers: bool = True) -> None:
        transport = ASGITransport(app)
        super().__init__(transport=transport, base_url="https://testserver")
        self.device = Device()
        self.registers = registers
        self.instructions: dict[str, Any] = {}
        self.challenge = ""

    async def visit(self, path: str) -> Response:
        """Get a page; register if that is offered."""
        response = await self.get(path)
        if self.registers and (offer := response.headers.get("secure-session-registration")):
            await self.register(offer)
        return response

    async def register(self, offer: str) -> Response:
        """Register the key with the challenge of an offer."""
        match = OFFER.fullmatch(offer)
        assert match is not None
        response = await self.prove(match[1], match[2], registers=True)
        if response.status_code == 200:
            self.instructions = response.json()
        return response

    async def refresh(self) -> Response:
        """Prove that this browser still has the key; ask for a challenge before, if need be."""
        path = self.instructions["refresh_url"]
        identifier = self.instructions["session_identifier"]
        headers = {"sec-secure-session-id": identifier}
        if self.challenge:
            headers["secure-session-response"] = self.device.proof(self.challenge)
        response = await self.post(path, headers=headers)
        self._note(response)
        if response.status_code == 403:
            headers["secure-session-response"] = self.device.proof(self.challenge)
            response = await self.post(path, headers=headers)
            self._note(response)
        return response

    async def prove(self, path: str, challenge: str, **options: Any) -> Response:
        """Send a proof."""
        proof = self.device.proof(challenge, **options)
        response = await self.post(path, headers={"secure-session-response": proof})
        self._note(response)
        return response

    def copy_of_cookies(self) -> dict[str, str]:
        """The cookies, as a thief copies them."""
        return {cookie.name: cookie.value or "" for cookie in self.cookies.jar}

    def _note(self, response: httpx.Response) -> None:
        match = CHALLENGE.fullmatch(response.headers.get("secure-session-challenge", ""))
        if match is not None:
            self.challenge = match[1]
