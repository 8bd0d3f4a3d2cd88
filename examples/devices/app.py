"""The application, for a server that is started in the root of the repository.

export SESSION_DATABASE_URL=postgresql://localhost/app
export SESSION_SECRET_KEY="$(pgsession secret)"
export SESSION_SCHEMA=devices
pgsession migrate
uvicorn examples.devices.app:app

DEVICES_ADMIN_PASSWORD creates the account "admin", who may end the sessions of all users.
Over HTTPS, SESSION_DEVICE_BINDING=10m binds sessions to their device. It needs pgsession[dbsc].
"""

import logging
import os

from pgsession import SessionSettings

from .site import make_app

log = logging.getLogger(__package__)
if not log.hasHandlers():  # nobody else has set up the log
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)  # who has ended sessions of whom

app = make_app(SessionSettings.from_env(), admin_password=os.environ.get("DEVICES_ADMIN_PASSWORD"))
