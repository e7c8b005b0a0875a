"""Closing a receipt by what a person has seen: for a manual step, or a service without an API to ask."""

from typing import Any

from retirement.errors import ConfigError
from retirement.followup.verify import CONFIRMED
from retirement.ledger import Ledger, Receipt


async def confirm(ledger: Ledger, number: int, evidence: str, by: str) -> dict[str, Any]:
    """Enters the evidence; what came of it. Raises `ConfigError` where there is no such receipt, or it is settled."""
    found = next((each for each in await ledger.receipts.find() if each.id == number and each.operation), None)
    if found is None:
        raise ConfigError(f"receipt: there is no receipt {number}; `retirement verify --all` lists the open ones")
    if not await ledger.receipts.checked(number, result=CONFIRMED, confirmed=True, evidence=(evidence, by)):
        raise ConfigError(f"receipt: receipt {number} is settled already{_by_whom(found)}")
    return {"receipt": number, "result": CONFIRMED}


def _by_whom(receipt: Receipt) -> str:
    return f", by {receipt.evidence_by}" if receipt.evidence_by else ""
