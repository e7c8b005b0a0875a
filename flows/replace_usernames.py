"""The replacement of usernames as an entrypoint of `prefect deploy`; the flow is in `retirement.flows`."""

from retirement.flows.replace_usernames import replace_usernames

__all__ = ["replace_usernames"]
