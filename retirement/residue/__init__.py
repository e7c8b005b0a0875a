"""Residue: what is found in databases after COMPLETE, where no service can be asked about it.

`catalogue` lists the places; `search` looks into one database through a session that can only read, and says
where something is left and how much of it, never what. Facts: contract lms.md section 5, services.md section A.
"""

from retirement.residue.catalogue import DATABASES, PLACES, Identity, Place, Test
from retirement.residue.searching import Finding, State, Who, search

__all__ = ["DATABASES", "PLACES", "Finding", "Identity", "Place", "State", "Test", "Who", "search"]
