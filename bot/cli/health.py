"""``python run.py health``: ask the running bot whether all is well, for a container's check."""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any, Final

from bot.settings import Settings

SECONDS: Final = 10.0
UNSET: Final = "METRICS is not set: the bot does not say how it is. Set METRICS=9464."


class _Unwell(urllib.request.HTTPErrorProcessor):
    """Reads an answer of 503 as any other."""

    def http_response(self, request: Any, response: Any) -> Any:
        """Return it as it is."""
        return response


def main(settings: Settings) -> int:
    """Print what the bot says; return 0 if all is well, 1 if not, 2 where it cannot be asked."""
    if settings.metrics is None:
        print(UNSET, file=sys.stderr)
        return 2
    host, port = settings.metrics
    # What listens everywhere listens here.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    address = f"http://[{host}]:{port}/healthz" if ":" in host else f"http://{host}:{port}/healthz"
    # It is on this machine: no proxy is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Unwell)
    try:
        with opener.open(address, timeout=SECONDS) as answer:
            said = json.load(answer)
    except (OSError, ValueError) as error:
        print(f"{address} does not answer: {error}", file=sys.stderr)
        return 1
    for name, part in said.items():
        if isinstance(part, dict):
            print(f"{name}: {part['state']}")
    return 0 if said["well"] else 1
