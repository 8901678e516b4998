"""``pocketcoder-relay``: serve, look after what is served, and a phone for the terminal."""

from relay_stub.cli.app import app, main

__all__ = ["app", "main"]
