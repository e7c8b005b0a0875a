"""The LMS as the authority: the rows of learners, what it knows of accounts, and what it deletes at the end.

Erasing learner data that the LMS holds is `retirement.connectors.openedx`.
"""

from collections.abc import Sequence

from retirement.lms.accounts import Accounts
from retirement.lms.cleanup import Cleanup
from retirement.lms.listing import Listing
from retirement.lms.partner_queue import PartnerQueue
from retirement.lms.renaming import Renaming
from retirement.lms.requests import Requests
from retirement.lms.rows import Rows
from retirement.wire.api import Api

__all__ = ["Listing", "Lms"]


class Lms:
    """The retirement endpoints of one LMS, whose states are those of one pipeline."""

    def __init__(self, api: Api, states: Sequence[str]) -> None:
        self.host = api.host  #: which LMS this is: the host of its address
        self.rows = Rows(api, states)
        self.accounts = Accounts(api)
        self.renaming = Renaming(api)
        self.requests = Requests(api)
        self.partner_queue = PartnerQueue(api)
        self.cleanup = Cleanup(api)
