"""The servers under measurement: started here, on the same disk and with free ports, and spoken to with psql."""

import glob
import itertools
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

BENCH = pathlib.Path(__file__).resolve().parent.parent
ROOT = BENCH.parent.parent
POSTGRES = {"postgres-plain": "plain", "postgres-audit": "audit", "postgres-chain": "chain"}
DUCKDB = ["duckdb-native", "duckdb-parquet"]
SYSTEMS = ["ledgerstone", *POSTGRES]
DUCKDB_VERSION = "1.3.2"


class Servers:
    """One PostgreSQL with a database for each variant, and as many ledger servers as are asked for."""

    def __init__(self, folder):
        self.folder, self.processes, self.ports, self.places = folder, [], {}, {}
        self.ledgers, self.http = {}, {}
        folder.chmod(0o755)

    def start_postgres(self):
        binaries = postgres_binaries()
        data = self.folder / "postgres"
        data.mkdir()
        port = free_port()
        owner = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres" if any(p.pw_name == "postgres" for p in pwd.getpwall()) else "nobody")
            os.chown(data, user.pw_uid, user.pw_gid)
            owner = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        subprocess.run([*owner, str(binaries / "initdb"), "-D", str(data), "-U", "bench", "-A", "trust", "-E", "UTF8", "--locale=C"],
                       check=True, stdout=subprocess.DEVNULL, cwd="/")
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "shared_buffers": "2GB",
                    "max_wal_size": "8GB", "checkpoint_timeout": "30min", "max_connections": 200, "timezone": "UTC",
                    "work_mem": "256MB"}
        flags = [f for name, value in settings.items() for f in ("-c", f"{name}={value}")]
        log = (self.folder / "postgres.log").open("w")
        self.processes.append(subprocess.Popen([*owner, str(binaries / "postgres"), "-D", str(data), *flags], stdout=log, stderr=log, cwd="/"))
        self.ports["postgres"] = port
        for _ in range(100):
            if subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(port), "-U", "bench", "-qc", "select 1", "postgres"],
                              capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        sys.exit(f"PostgreSQL did not start:\n{(self.folder / 'postgres.log').read_text()}")

    def create(self, system, database):
        """A database of this name, which `system` stands for from now on."""
        subprocess.run(["psql", "-h", "127.0.0.1", "-p", str(self.ports["postgres"]), "-U", "bench", "-qc", f"create database {database}", "postgres"], check=True)
        self.places[system] = (self.ports["postgres"], database)

    def start_ledgerstone(self, system="ledgerstone", folder=None, limits={}):
        """A server over `folder`/data, an empty one without. Returns its process."""
        folder = folder or self.folder / system
        folder.mkdir(exist_ok=True)
        port, http = free_port(), free_port()
        log_path = self.folder / f"{system}.log"
        log = log_path.open("w")
        server = subprocess.Popen([str(binary("ledgerstone")), "serve", "--data", str(folder / "data"), "--keys", str(folder / "keys"),
                                   "--postgres", f"127.0.0.1:{port}", "--http", f"127.0.0.1:{http}",
                                   *[part for name, value in limits.items() for part in ("--limit", f"{name}={value}")]], stdout=log, stderr=log)
        self.processes.append(server)
        self.ledgers[system], self.http[system] = server, f"http://127.0.0.1:{http}"
        self.places[system] = (port, "main")
        for _ in range(6000):
            if server.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{http}/healthz", timeout=1)
                return server
            except OSError:
                time.sleep(0.02)
        sys.exit(f"ledgerstone did not start:\n{log_path.read_text()}")

    def stop_ledgerstone(self, system):
        self.ledgers[system].send_signal(signal.SIGINT)
        self.ledgers[system].wait()

    def kill_ledgerstone(self, system):
        self.ledgers[system].kill()
        self.ledgers[system].wait()

    def stop(self):
        for server in reversed(self.processes):
            server.send_signal(signal.SIGINT)
        for server in self.processes:
            try:
                server.wait(timeout=60)
            except subprocess.TimeoutExpired:
                server.kill()

    def address(self, system):
        port, database = self.places[system]
        return ["-h", "127.0.0.1", "-p", str(port), "-U", "bench", database]

    def environment(self, **more):
        return {**os.environ, "PGOPTIONS": "", "PGSSLMODE": "disable", **more}

    def psql(self, system, *command):
        subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", *map(str, command), *self.address(system)], check=True,
                       stdout=subprocess.DEVNULL, env=self.environment())

    def query(self, system, sql, times):
        """Runs a statement so many times in one session: the rows of the last, and the milliseconds that psql saw of each."""
        script = "\\timing on\n" + f"{sql};\n" * times
        done = subprocess.run(["psql", "-X", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", *self.address(system)], input=script,
                              capture_output=True, text=True, env=self.environment())
        if done.returncode:
            return None, done.stderr.strip()
        ms, rows, last = [], [], []
        for line in done.stdout.splitlines():
            timing = re.match(r"Time: ([0-9.]+) ms", line)
            if timing:
                ms.append(float(timing[1]))
                rows, last = [], rows
            elif line and not line.startswith("Timing is"):
                rows.append(line.split("\t"))
        return (last, ms), None

    def copy(self, system, table, file):
        if system != "postgres-chain":
            self.psql(system, "-c", f"\\copy {table} from '{file}' with (format csv, header)")
            return
        # Every row of one transaction adds a dead version of the chain's one-row head, which makes a long
        # transaction quadratic: this variant loads a thousand rows at a time.
        with file.open() as rows:
            next(rows)
            psql = subprocess.Popen(["psql", "-qX", "-v", "ON_ERROR_STOP=1", *self.address(system)], stdin=subprocess.PIPE, text=True,
                                    stdout=subprocess.DEVNULL, env=self.environment())
            while chunk := list(itertools.islice(rows, 1000)):
                psql.stdin.write(f"copy {table} from stdin with (format csv);\n{''.join(chunk)}\\.\n")
            psql.stdin.close()
            if psql.wait():
                sys.exit(f"cannot load {table} into {system}")


def binary(name):
    """A release build of the server or of the tools."""
    given = os.environ.get("LEDGERSTONE_BINARY")
    if given:
        found = pathlib.Path(given).resolve().parent / name
        if found.exists():
            return found
        sys.exit(f"{found} does not exist; cargo build --release -p ledgerstone -p ledgerstone-bench-tools")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
    if not (target / name).exists():
        subprocess.run(["cargo", "build", "--release", "-p", "ledgerstone", "-p", "ledgerstone-bench-tools"], cwd=ROOT, check=True)
    return target / name


def postgres_binaries():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb")) or [p for p in [shutil.which("initdb")] if p]
    if not found or not shutil.which("pgbench"):
        sys.exit("PostgreSQL's server or pgbench is not installed (Debian: apt-get install postgresql)")
    return pathlib.Path(found[-1]).resolve().parent


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
