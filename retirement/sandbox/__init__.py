"""A simulated Open edX platform: a real server, written from the contract, to rehearse and to test against.

The LMS and the services around it answer on ports of their own over one database, so that "the data is gone"
is a question to tables. Nothing here imports the pipeline: else the tests would agree with themselves.

    sandbox = Sandbox(seeds.demo(pipelines.states("default")))
    async with serving(sandbox) as urls:
        ...

In a test the applications run without sockets, `httpx.ASGITransport(sandbox.apps["lms"])`; a fault that
closes the connection then raises `httpx.RemoteProtocolError`, as the real thing does.

The rooms, each of which imports only from those before it:

- `wire`: requests and answers as values; `seeds`: learners to rehearse with
- `world`: what every service reads: tables, learners, clock, faults, journal, tokens
- `routing` and `gates`: routes, transactions and permissions, as Django has them
- `services`, `vendors`, `lms`: the simulated services
- `planting`: from a seed to rows; `residue` and `report`: the truth per learner; `pipelines`: steps to rehearse
- `platform`: the services over one world; `controls`: what the control endpoints do
- `web`: ASGI applications and sockets
"""

from __future__ import annotations

from retirement.sandbox.platform import Snapshot
from retirement.sandbox.web.sandbox import Sandbox
from retirement.sandbox.web.serving import serving

__all__ = ["Sandbox", "Snapshot", "serving"]
