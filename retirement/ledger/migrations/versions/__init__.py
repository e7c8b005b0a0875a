"""One module a version, each written by hand and never changed once it was released."""
