"""The real server on free ports, and what every file of cases needs."""

import atexit
import os
import signal
import socket
import subprocess
import time
import traceback
import urllib.request

from botocore.exceptions import ClientError
from pyqldb.driver.qldb_driver import QldbDriver

SECRET = "a-secret-of-forty-characters-for-a-test-"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The real server on free ports."""

    def __init__(self, binary, folder, *arguments, environment=None):
        self.binary, self.folder, self.arguments = binary, folder, arguments
        self.environment = {**os.environ, **(environment or {})}
        self.http, self.postgres, self.other = free_port(), free_port(), None
        os.makedirs(folder)
        # A case that fails leaves no server behind.
        atexit.register(lambda: self.process.kill())
        self.start()

    def start(self):
        command = [self.binary, "serve", "--data", f"{self.folder}/data", "--keys", f"{self.folder}/keys"]
        command += ["--http", f"127.0.0.1:{self.http}", "--postgres", f"127.0.0.1:{self.postgres}", *self.arguments]
        self.log = open(f"{self.folder}/log", "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=self.environment)
        for _ in range(600):
            assert self.process.poll() is None, open(f"{self.folder}/log").read()
            try:
                if urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(timeout=60)
        self.log.close()

    def close(self):
        self.stop()
        if self.other is not None:
            self.other.stop()

    def metrics(self):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics").read().decode()

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


def hold(cases, *arguments):
    """Runs every case; how many failed."""
    failed = 0
    for function in cases:
        try:
            function(*arguments)
            print("ok    ", function.__name__, flush=True)
        except Exception:
            traceback.print_exc()
            failed += 1
            print("FAILED", function.__name__, flush=True)
    return failed
