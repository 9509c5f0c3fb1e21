"""The server as PostgreSQL's clients see it, and cases that are functions: each gets its own database."""

import os
import sys

import psycopg

sys.path.append(f"{os.path.dirname(os.path.abspath(__file__))}/../shared")
import serving  # noqa: E402


class Server(serving.Server):
    def database(self, name):
        """A new database, as an address."""
        with psycopg.connect(self.address("main"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.address(name)

    def address(self, name):
        return f"postgresql://tester@127.0.0.1:{self.postgres}/{name}"


CASES = []


def case(function):
    """Marks a function as a case: it gets the address of an empty database."""
    CASES.append(function)
    return function


def main():
    """Runs every case, or those named after the folder; fails if one of them does."""
    binary, folder, *wanted = sys.argv[1:]
    server = Server(binary, folder)
    chosen = [case for case in CASES if not wanted or case.__name__ in wanted]
    failed = serving.hold(chosen, each=lambda number: server.database(f"case{number}"))
    assert server.stop() == 0, "the server did not end well"
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not chosen else 0)
