"""The operators' door: who is let in, to what, and every way in which a request is refused."""
