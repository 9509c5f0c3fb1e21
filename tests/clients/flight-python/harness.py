"""The real server on free ports, and what every case needs."""

import atexit
import os
import signal
import socket
import subprocess
import time
import traceback
import urllib.request

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow.flight as flight


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The real server on free ports."""

    def __init__(self, binary, folder, *arguments):
        self.binary, self.folder = binary, folder
        self.http, self.postgres = free_port(), free_port()
        os.makedirs(folder)
        # A case that fails leaves no server behind.
        atexit.register(lambda: self.process.kill())
        command = [binary, "serve", "--data", f"{folder}/data", "--keys", f"{folder}/keys"]
        command += ["--http", f"127.0.0.1:{self.http}", "--postgres", f"127.0.0.1:{self.postgres}", *arguments]
        self.log = open(f"{folder}/log", "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        for _ in range(1200):
            assert self.process.poll() is None, open(f"{folder}/log").read()
            if self.is_healthy():
                return
            time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def is_healthy(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz").status == 200
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        self.log.close()

    def peak_memory_bytes(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise AssertionError("no VmHWM")

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
