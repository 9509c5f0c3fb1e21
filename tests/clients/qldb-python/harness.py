"""The server as the QLDB driver sees it, and what every file of cases needs."""

import os
import sys

from botocore.exceptions import ClientError
from pyqldb.driver.qldb_driver import QldbDriver

sys.path.append(f"{os.path.dirname(os.path.abspath(__file__))}/../shared")
import serving  # noqa: E402
from serving import free_port, hold  # noqa: E402, F401

SECRET = "a-secret-of-forty-characters-for-a-test-"


class Server(serving.Server):
    other = None

    def close(self):
        self.stop()
        if self.other is not None:
            self.other.stop()

    def impatient(self):
        """Another server, on which nothing may take long."""
        if self.other is None:
            limits = ["--limit", "qldb_transaction_seconds=3", "--limit", "qldb_session_idle_seconds=3"]
            self.other = Server(self.binary, f"{self.folder}/impatient", *limits)
        return self.other

    def driver(self, ledger="main", key="AKIDTEST", secret=SECRET, **options):
        return QldbDriver(
            ledger,
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self.http}",
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            **options,
        )


def run(driver, statement, *parameters):
    """The values of one statement in a transaction of its own."""
    return driver.execute_lambda(lambda transaction: list(transaction.execute_statement(statement, *parameters)))


def refused(call, name=None):
    try:
        call()
    except ClientError as error:
        if name is not None:
            assert error.response["Error"]["Code"] == name, error
        return error
    raise AssertionError("it was not refused")
