"""W1 to W5, W9, W10, one hot row, YCSB and SmallBank: pgbench drives every system with the same statements."""

import glob
import re
import shutil
import subprocess
import time

from . import data
from .systems import BENCH, POSTGRES

REGISTRY = ["W1", "W2", "W3", "W4", "W5", "W9", "HOT"]
YCSB = {"YCSB-A": "read 1, update 1", "YCSB-B": "read 19, update 1", "YCSB-C": "read 1", "YCSB-F": "read 1, modify 1"}
SMALLBANK = "balance 15, deposit 15, savings 15, amalgamate 15, check 25, payment 15"
#: The mixtures of scripts of a workload, with their weights.
MIXTURES = {**{name: f"ycsb/{mix.replace(', ', ', ycsb/')}" for name, mix in YCSB.items()},
            "SMALLBANK": f"smallbank/{SMALLBANK.replace(', ', ', smallbank/')}"}
OLTP = [*REGISTRY, *MIXTURES]
#: Those whose every transaction gives some registration of the first load one more revision.
REVISING = ["W3", "W4"]
REVISING_CLIENTS = 8
#: There is no audit trail of these tables.
PLAIN_ONLY = list(MIXTURES)
#: A transaction that met a conflict is tried again so often, as an application would.
TRIES = 50


class Transactions:
    def __init__(self, options, servers, folder, result):
        self.options, self.servers, self.folder, self.result = options, servers, folder, result
        #: How many revisions each system's registrations have been given since they were loaded.
        self.revised = dict.fromkeys(options.systems, 0)

    def load(self):
        files = {"person": data.write_persons, "vehicle_registration": data.write_registrations}
        counts = {"person": self.options.rows // 10, "vehicle_registration": self.options.rows}
        if any(w in PLAIN_ONLY for w in self.options.workloads):
            files |= {"usertable": data.write_usertable, "account": data.write_accounts}
            counts |= {"usertable": self.options.rows, "account": self.options.rows}
        for table, write in files.items():
            write(self.folder / f"{table}.csv", counts[table])
        for system in self.options.systems:
            if system in POSTGRES:
                self.servers.create(system, POSTGRES[system])
            began = time.time()
            self.servers.psql(system, "-f", BENCH / "sql" / "schema.sql")
            self.servers.psql(system, "-f", BENCH / "sql" / "schema-ycsb-smallbank.sql")
            extra = BENCH / "sql" / f"{system}.sql"
            if extra.exists():
                self.servers.psql(system, "-f", extra)
            for table in files:
                if table in ("person", "vehicle_registration") or system in ("ledgerstone", "postgres-plain"):
                    self.servers.copy(system, table, self.folder / f"{table}.csv")
            print(f"loaded {self.options.rows} registrations into {system} in {time.time() - began:.1f} s", flush=True)

    def run(self, repeat):
        for workload in [w for w in self.options.workloads if w in OLTP]:
            if workload == "W5":
                self.revise_equally()
            for clients in self.options.clients:
                for system in turns(self.options.systems, repeat):
                    if workload == "W5" and system == "postgres-plain":
                        continue
                    if workload in PLAIN_ONLY and system not in ("ledgerstone", "postgres-plain"):
                        continue
                    self.cell(workload, system, clients, repeat)
        if "W10" in self.options.workloads:
            self.bulk(repeat)

    def revise_equally(self):
        """Gives every system as many revisions as the fastest has made by now: histories of one length are compared."""
        systems = [system for system in self.options.systems if system != "postgres-plain"]
        most = max((self.revised[system] for system in systems), default=0)
        for system in systems:
            each = (most - self.revised[system]) // REVISING_CLIENTS
            if each > 0:
                subprocess.run(command(self.servers, system, "W3", REVISING_CLIENTS, 0, self.options.rows, None, each=each),
                               check=True, capture_output=True, env=self.servers.environment())
                self.revised[system] += each * REVISING_CLIENTS

    def cell(self, workload, system, clients, repeat):
        if system in POSTGRES:
            self.servers.psql(system, "-c", "checkpoint")
        run = pgbench(self.servers, system, workload, clients, self.options.seconds, self.options.rows, self.folder)
        done = run.pop("transactions")
        if workload in REVISING:
            self.revised[system] += done
        if workload == "W9":
            run["tps"] *= 1000
        self.result(workload=workload, system=system, clients=clients, repeat=repeat, **run)

    def bulk(self, repeat):
        rows = self.folder / "bulk.csv"
        # Other keys in each repeat: deleting a million rows would be a workload of its own.
        data.write_registrations(rows, self.options.bulk_rows, f"B{repeat}V")
        for system in turns(self.options.systems, repeat):
            began = time.time()
            self.servers.copy(system, "vehicle_registration", rows)
            seconds = time.time() - began
            self.result(workload="W10", system=system, clients=1, tps=self.options.bulk_rows / seconds, ms=seconds * 1000, repeat=repeat)


def turns(systems, repeat):
    """The systems, in another order each time, so that none always follows the same one."""
    at = repeat % len(systems)
    return systems[at:] + systems[:at]


def command(servers, system, workload, clients, seconds, rows, logs, rate=None, each=None):
    """pgbench's command: for so many seconds, or `each` transactions of every client; latencies go to `logs`, if given."""
    files = []
    if workload in MIXTURES:
        for part in MIXTURES[workload].split(", "):
            script, weight = part.split(" ")
            files += ["-f", f"{BENCH / 'workloads' / script}.sql@{weight}"]
    else:
        script = BENCH / "workloads" / f"{workload}.sql"
        if not script.exists():
            kind = "ledgerstone" if system.startswith("ledgerstone") else "postgres"
            script = BENCH / "workloads" / f"{workload}-{kind}.sql"
        files = ["-f", str(script)]
    tries = TRIES if workload in MIXTURES else 1
    return ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(2, clients)), *(["-t", str(each)] if each else ["-T", str(max(1, int(seconds)))]),
            "-D", f"n={rows}", "-D", f"np={rows // 10}", *files, *(["-l", "--log-prefix", str(logs / "t")] if logs else []),
            "--max-tries", str(tries), *(["--rate", f"{rate:.2f}"] if rate else []), *servers.address(system)]


def pgbench(servers, system, workload, clients, seconds, rows, folder):
    """One cell: transactions per second, latencies, and what failed or had to be tried again."""
    logs = folder / "log"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    # What is compared is serializable on both sides.
    serializable = "-c default_transaction_isolation=serializable" if workload == "SMALLBANK" and system in POSTGRES else ""
    done = subprocess.run(command(servers, system, workload, clients, seconds, rows, logs), capture_output=True, text=True,
                          env=servers.environment(PGOPTIONS=serializable))
    times = sorted(read_latencies(logs))
    if done.returncode != 0 or not times:
        print(f"{workload} {system} {clients} clients FAILED: {done.stderr.strip()[-600:]}", flush=True)
        return {"tps": 0.0, "p50_ms": None, "p99_ms": None, "transactions": 0}
    share = lambda what: float((re.search(rf"number of transactions {what}: \d+ \(([0-9.]+)%\)", done.stdout) or [0, 0])[1])
    failed = float((re.search(r"number of failed transactions: \d+ \(([0-9.]+)%\)", done.stdout) or [0, 0])[1])
    tps = next(float(line.split("=")[1].split()[0]) for line in done.stdout.splitlines() if line.startswith("tps"))
    return {"tps": tps, "p50_ms": times[len(times) // 2] / 1000, "p99_ms": times[int(len(times) * 0.99)] / 1000,
            "transactions": len(times), "failed_percent": failed, "retried_percent": share("retried")}


def read_latencies(logs):
    """Microseconds of the transactions that succeeded."""
    for name in glob.glob(str(logs / "*")):
        with open(name) as lines:
            for line in lines:
                field = line.split(" ", 3)[2]
                if field.isdigit():
                    yield int(field)
