"""Tests of the simulated platform: it must behave as the contract says, whoever uses it."""
