"""Connectors: our code for each service, and the names that a connector of third parties is written with.

The kit below `retirement.connectors.kit` says what they mean. A connector registers under the entry-point group
`retirement.connectors`.
"""

from retirement.connectors.kit.connector import (
    BatchSettings,
    Connector,
    ServiceSettings,
    offline,
    registry,
)
from retirement.connectors.kit.declaration import Destroys, Identity, Operation, Repeats, Route, operation
from retirement.connectors.kit.judging import empty_only, json_404_only, private_route
from retirement.connectors.kit.outcomes import Erasure, FollowUp, Outcome, Verdict
from retirement.wire.limits import Limits, Rate
from retirement.wire.success import Success, a_list, an_object, nothing

__all__ = [
    "BatchSettings",
    "Connector",
    "Destroys",
    "Erasure",
    "FollowUp",
    "Identity",
    "Limits",
    "Operation",
    "Outcome",
    "Rate",
    "Repeats",
    "Route",
    "ServiceSettings",
    "Success",
    "Verdict",
    "a_list",
    "an_object",
    "empty_only",
    "json_404_only",
    "nothing",
    "offline",
    "operation",
    "private_route",
    "registry",
]
