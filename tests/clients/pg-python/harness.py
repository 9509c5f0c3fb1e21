"""A fresh server on free ports, and cases that are functions: each gets its own database."""

import atexit
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
import urllib.request

import psycopg


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, binary, folder):
        self.folder = folder
        self.http, self.postgres = free_port(), free_port()
        os.makedirs(folder)
        command = [binary, "serve", "--data", f"{folder}/data", "--keys", f"{folder}/keys"]
        command += ["--http", f"127.0.0.1:{self.http}", "--postgres", f"127.0.0.1:{self.postgres}"]
        self.log = open(f"{folder}/log", "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        # A case that fails leaves no server behind.
        atexit.register(self.process.kill)
        for _ in range(600):
            assert self.process.poll() is None, open(f"{folder}/log").read()
            try:
                if urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz").status == 200:
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    def database(self, name):
        """A new database, as an address."""
        with psycopg.connect(self.address("main"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self.address(name)

    def address(self, name):
        return f"postgresql://tester@127.0.0.1:{self.postgres}/{name}"

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0
        self.log.close()


CASES = []


def case(function):
    """Marks a function as a case: it gets the address of an empty database."""
    CASES.append(function)
    return function


def main():
    """Runs every case, or those named after the folder; ends with the number that failed."""
    binary, folder, *wanted = sys.argv[1:]
    server = Server(binary, folder)
    failed = []
    chosen = [case for case in CASES if not wanted or case.__name__ in wanted]
    for number, case in enumerate(chosen):
        try:
            case(server.database(f"case{number}"))
            print(f"ok      {case.__name__}", flush=True)
        except Exception:
            failed.append(case.__name__)
            print(f"FAILED  {case.__name__}\n{traceback.format_exc()}", flush=True)
    server.close()
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed or not chosen else 0)
