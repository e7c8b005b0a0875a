"""The Prefect server that stands behind the door: where it is, and what it asks for. Imports nothing of Prefect."""

import base64
import os
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from retirement.errors import EngineLost
from retirement.flows.kit.environment import LOOPBACK


@dataclass(frozen=True, slots=True)
class Behind:
    """A server of this machine."""

    origin: str
    credential: str = field(repr=False)

    @property
    def host(self) -> str:
        """What its `Host` header has to be."""
        return urlsplit(self.origin).netloc

    @property
    def authorization(self) -> str:
        """What its `Authorization` header has to be."""
        return f"Basic {base64.b64encode(self.credential.encode()).decode()}"


def behind() -> Behind:
    """The server that this process works with (`server.running`). Raises `EngineLost` where that is another machine's.

    To a server elsewhere a proxy passes requests on, which asks the door first.
    """
    address, credential = os.environ.get("PREFECT_API_URL", ""), os.environ.get("PREFECT_API_AUTH_STRING", "")
    if urlsplit(address).hostname not in LOOPBACK or not credential:
        raise EngineLost("no locked Prefect server of this machine stands behind the door")
    return Behind(address.removesuffix("/api"), credential)
