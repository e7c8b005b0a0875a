"""What people may be permitted to do, and where: the words of the permissions, in one place for file and ledger."""

from enum import StrEnum


class Area(StrEnum):
    """Where a permission holds."""

    SYSTEM = "system"  #: for the whole installation
    ORGANIZATION = "organization"  #: for one organisation of the site


class Action(StrEnum):
    """What a permission permits."""

    VIEW = "view"  #: look at queue, learners, runs, receipts
    RETIRE = "retire"  #: start the retirement of a learner or of the queue
    APPROVE = "approve"  #: answer a run that asks
    HOLD = "hold"  #: place holds and release them
    REDRIVE = "redrive"  #: bring ERRORED learners back
    CONFIRM = "confirm"  #: enter what a service has confirmed elsewhere
    REPORT = "report"  #: reports to course partners
    ARCHIVE = "archive"  #: have the LMS delete the rows of retired learners
    MONITOR = "monitor"  #: breakers, schedules, health
    SET_PERMISSIONS = "setPermissions"  #: grant and revoke all these


#: What an administrator may do.
EVERYTHING = tuple(Action)
