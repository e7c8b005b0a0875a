"""The operators' door: sign-in, permissions, and what people and programs may do over HTTP."""
