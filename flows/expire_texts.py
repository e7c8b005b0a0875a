"""The end of texts in the ledger as an entrypoint of `prefect deploy`; the flow is `retirement.flows.expire_texts`."""

from retirement.flows.expire_texts import expire_texts

__all__ = ["expire_texts"]
