"""The server as Flight SQL's clients see it, and what every case needs."""

import os
import sys

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow.flight as flight

sys.path.append(f"{os.path.dirname(os.path.abspath(__file__))}/../shared")
import serving  # noqa: E402
from serving import hold  # noqa: E402, F401


class Server(serving.Server):
    def connect(self, user=None, password="any", autocommit=True, **headers):
        """An ADBC connection; headers such as `database`."""
        options = {f"adbc.flight.sql.rpc.call_header.{name.replace('_', '-')}": value for name, value in headers.items()}
        if user is not None:
            options |= {"username": user, "password": password}
        return flightsql.connect(f"grpc+tcp://127.0.0.1:{self.http}", db_kwargs=options, autocommit=autocommit)

    def raw(self):
        """Flight without SQL."""
        return flight.FlightClient(f"grpc+tcp://127.0.0.1:{self.http}")


def run(connection, statement, parameters=None):
    """The rows of one statement; none of one that has no rows."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def refused(call, *texts):
    """The message of an error, which holds these texts."""
    try:
        call()
    except Exception as error:
        for text in texts:
            assert text in str(error), error
        return str(error)
    raise AssertionError("it was not refused")
