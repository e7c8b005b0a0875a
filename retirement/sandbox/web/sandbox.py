"""A platform and its applications in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from retirement.sandbox.controls import Controls
from retirement.sandbox.web.asgi import ASGIApp, service_app
from retirement.sandbox.web.control import control_app


class Sandbox(Controls):
    """The platform, its applications, and what the control endpoints do; `databases` is a folder for their files."""

    def __init__(
        self, seed: dict[str, Any] | None = None, *, latency_ms: float = 0, databases: Path | None = None
    ) -> None:
        super().__init__(seed or {}, databases)
        self.services: dict[str, ASGIApp] = {
            name: service_app(self._platform, name, latency_ms / 1000) for name in self._platform.services
        }
        lms = control_app(self, otherwise=self.services["lms"])
        self.apps: dict[str, ASGIApp] = {**self.services, "lms": lms, "control": control_app(self)}
