"""The web side of the server: the ASGI application and what every request passes through."""
