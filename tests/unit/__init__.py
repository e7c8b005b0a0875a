"""Tests of the core: each module by itself, then against the simulated platform. No sockets, no real waiting."""
