"""Device-bound sessions: what is exchanged with a browser that binds a session to its device.

The protocol is that of Device Bound Session Credentials (W3C). At a sign-in the server offers a
registration. The browser makes a key pair in the machine's secure hardware, and proves that it
holds it: at the registration, and whenever the short-lived bound cookie is about to end.

Nothing here knows ASGI or a database.
"""
