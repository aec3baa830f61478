"""Place: where the server under test is, as every script here is told it: HOST PORT [PORT2 | -] [USER PASSWORD]."""

import sys

import redis


class Place:
    def __init__(self, args):
        self.host = args[0]
        second = args[2] if len(args) > 2 else "-"
        self.ports = [int(args[1]), int(args[1] if second == "-" else second)]
        self.user, self.password = (args[3], args[4]) if len(args) > 4 else (None, None)

    def url(self, at, db=None):
        credentials = f"{self.user}:{self.password}@" if self.password else ""
        return f"redis://{credentials}{self.host}:{self.ports[at]}" + ("" if db is None else f"/{db}")

    def client(self, at, **more):
        """A client of redis-py as an app makes it."""
        return redis.Redis(host=self.host, port=self.ports[at], username=self.user, password=self.password, **more)

    def aio(self, at):
        return redis.asyncio.Redis(
            host=self.host, port=self.ports[at], username=self.user, password=self.password
        )


def place(own=0):
    """This script's own arguments, and the place."""
    args = sys.argv[1:]
    return [*args[:own], Place(args[own:])]
