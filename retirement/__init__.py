"""User retirement for Open edX: erase a learner everywhere, on time, and be able to prove it."""

__version__ = "0.1.0"
