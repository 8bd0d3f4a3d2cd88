"""The site of `streaming`, with the settings of its environment, for uvicorn."""

from pgsession import SessionSettings
from tests.concurrency.streaming import make_app

app = make_app(SessionSettings.from_env())
