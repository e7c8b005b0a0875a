"""Code that several connectors share, and that is no connector."""
