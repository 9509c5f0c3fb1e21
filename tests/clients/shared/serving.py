"""The real server on free ports, and how cases are run: what every suite of clients in Python needs."""

import atexit
import os
import signal
import socket
import subprocess
import time
import traceback
import urllib.request

# A start may take long on a busy machine.
START_SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """The real server on free ports; `arguments` are more of those of `serve`."""

    def __init__(self, binary, folder, *arguments, environment=None):
        self.binary, self.folder, self.arguments = binary, folder, arguments
        self.environment = {**os.environ, **(environment or {})}
        self.http, self.postgres = free_port(), free_port()
        os.makedirs(folder)
        # A case that fails leaves no server behind.
        atexit.register(lambda: self.process.kill())
        self.start()

    def start(self):
        command = [self.binary, "serve", "--data", f"{self.folder}/data", "--keys", f"{self.folder}/keys"]
        command += ["--http", f"127.0.0.1:{self.http}", "--postgres", f"127.0.0.1:{self.postgres}", *self.arguments]
        self.log = open(f"{self.folder}/log", "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=self.environment)
        started = time.monotonic()
        while not self.is_healthy():
            with open(f"{self.folder}/log") as log:
                assert self.process.poll() is None, log.read()
            assert time.monotonic() - started < START_SECONDS, "the server does not answer"
            time.sleep(0.05)

    def is_healthy(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/healthz").status == 200
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        """Stops it, and says how it ended."""
        self.process.send_signal(how)
        status = self.process.wait(timeout=60)
        self.log.close()
        return status

    def metrics(self):
        return urllib.request.urlopen(f"http://127.0.0.1:{self.http}/metrics").read().decode()

    def peak_memory_bytes(self):
        for line in open(f"/proc/{self.process.pid}/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise AssertionError("no VmHWM")


def hold(cases, *arguments, each=None):
    """Runs every case, with what `each` makes for it before; how many failed."""
    failed = 0
    for number, function in enumerate(cases):
        try:
            function(*arguments, *([each(number)] if each else []))
            print("ok    ", function.__name__, flush=True)
        except Exception:
            traceback.print_exc()
            failed += 1
            print("FAILED", function.__name__, flush=True)
    return failed
