"""The platform behind HTTP: ASGI applications, control endpoints, sockets."""
