# app/health.py
"""Ask the server of this container whether it is ready: python -m app.health."""

import os
from urllib.request import urlopen

urlopen(f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/ready", timeout=6).close()
