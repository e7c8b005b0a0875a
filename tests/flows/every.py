"""The flows of the package, found and not listed, so that a new one is covered without a new test."""

import importlib
import pkgutil
from typing import Any

from prefect import Flow

from retirement import flows


def every_flow() -> dict[str, Flow[Any, Any]]:
    """The flows of the package by module and name."""
    found = {}
    for each in pkgutil.iter_modules(flows.__path__, f"{flows.__name__}."):
        module = importlib.import_module(each.name)
        for name, value in vars(module).items():
            if isinstance(value, Flow) and value.fn.__module__ == each.name and not name.startswith("_"):
                found[f"{each.name}:{name}"] = value
    return found


FLOWS = every_flow()
