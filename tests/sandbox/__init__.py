"""Tests of the simulated platform: it must behave as the contract says, whichever client uses it."""
