"""W6 to W8 over the analytic set: current aggregate, aggregate of the whole history, aggregate as of a moment; at rest and
beside transfers of title at half the rate that the system can do."""

import decimal
import json
import shutil
import statistics
import subprocess
import sys
import time
import venv

from . import transactions
from .systems import BENCH, DUCKDB, DUCKDB_VERSION, binary

ANALYTIC = ["W6", "W7", "W8"]
MOMENT = "2021-10-01 00:00:00"
#: Runs of a statement in a cell; the first fills caches and is left out.
TIMES = 4
LOAD_CLIENTS = 8

GROUP_BY_STATE = "select state, count(*), sum(pending_penalty) from vehicle_registration group by state"
QUERIES = {
    "ledgerstone": {
        "W6": GROUP_BY_STATE,
        "W7": "select date_trunc('month', _ql_txtime), state, count(*) from history(vehicle_registration) group by 1, 2",
        "W8": f"select count(*), sum(pending_penalty) from vehicle_registration as of timestamp '{MOMENT}Z'",
    },
    "postgres-audit": {
        "W6": GROUP_BY_STATE,
        "W7": "select date_trunc('month', tx_time), row_image->>'state', count(*) from vehicle_registration_history group by 1, 2",
        "W8": "select count(*), sum((row_image->>'pending_penalty')::numeric) from (select distinct on (vin) op, row_image from "
              f"vehicle_registration_history where tx_time <= '{MOMENT}+00' order by vin, version desc) as last where op <> 'DELETE'",
    },
    "duckdb": {
        "W6": GROUP_BY_STATE,
        "W7": "select date_trunc('month', tx_time), state, count(*) from vehicle_registration_history group by 1, 2",
        "W8": "select count(*), sum(penalty) from (select arg_max(pending_penalty, hid) as penalty, arg_max(op, hid) as op from "
              f"vehicle_registration_history where tx_time <= timestamp '{MOMENT}' group by vin) where op <> 'DELETE'",
    },
}


class Analytics:
    def __init__(self, options, servers, folder, result):
        self.options, self.servers, self.folder, self.result = options, servers, folder, result
        self.answers, self.duck, self.rate = {}, None, {}
        self.systems = [s for s in ["ledgerstone", "postgres-audit"] if s in options.systems] + [s for s in DUCKDB if s in options.systems]

    def load(self):
        n, r = self.options.vehicles, self.options.revisions
        for system in self.systems:
            began = time.time()
            if system == "ledgerstone":
                place = self.options.history or self.folder / "history"
                if not (place / "data").exists():
                    subprocess.run([str(binary("ledgerstone-bench-tools")), "history", str(place), "--vehicles", str(n), "--revisions", str(r)], check=True)
                if self.options.history:
                    # The copy is written to; what was made once serves the next run too.
                    shutil.copytree(place, self.folder / "history", symlinks=True)
                self.servers.start_ledgerstone("ledgerstone-history", self.folder / "history")
            elif system == "postgres-audit":
                self.servers.create("postgres-history", "history")
                self.servers.psql("postgres-history", "-f", BENCH / "sql" / "schema.sql", "-f", BENCH / "sql" / "postgres-audit.sql")
                self.servers.psql("postgres-history", "-v", f"n={n}", "-v", f"r={r}", "-f", BENCH / "sql" / "history-postgres.sql")
            elif self.duck is None:
                self.start_duck(n, r)
            print(f"made {n * r} revisions of {n} registrations for {system} in {time.time() - began:.1f} s", flush=True)

    def start_duck(self, n, r):
        place = self.folder / "venv"
        venv.create(place, with_pip=True)
        subprocess.run([str(place / "bin" / "pip"), "install", "--quiet", f"duckdb=={DUCKDB_VERSION}"], check=True)
        self.duck = subprocess.Popen([str(place / "bin" / "python"), str(BENCH / "ledgerbench" / "duck.py"), str(self.folder), str(n), str(r)],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if not self.duck.stdout.readline():
            sys.exit("DuckDB did not start")

    def stop(self):
        if self.duck:
            self.duck.stdin.close()
            self.duck.wait()

    def run(self, repeat):
        workloads = [w for w in self.options.workloads if w in ANALYTIC]
        # At rest first: the transfers change what the answers are.
        for ask in [self.cell, self.beside_load] if self.options.load else [self.cell]:
            for workload in workloads:
                for system in transactions.turns(self.systems, repeat):
                    ask(workload, system, repeat)

    def cell(self, workload, system, repeat, beside=""):
        (rows, ms), problem = self.ask(workload, system)
        if problem:
            print(f"{workload}{beside} {system} FAILED: {problem}", flush=True)
            return
        if not beside and repeat == 0 and not self.agrees(workload, system, rows):
            return
        self.result(workload=workload + beside, system=system, clients=1, ms=statistics.median(ms[1:]), repeat=repeat)

    def ask(self, workload, system):
        if system in DUCKDB:
            self.duck.stdin.write(json.dumps({"system": system, "sql": QUERIES["duckdb"][workload], "times": TIMES}) + "\n")
            self.duck.stdin.flush()
            answer = json.loads(self.duck.stdout.readline())
            return (answer["rows"], answer["ms"]), None
        place = {"ledgerstone": "ledgerstone-history", "postgres-audit": "postgres-history"}[system]
        answer, problem = self.servers.query(place, QUERIES[system][workload], TIMES)
        return answer or (None, None), problem

    def agrees(self, workload, system, rows):
        """A fast wrong answer is no result."""
        mine = sorted(tuple(canonical(workload, at, text) for at, text in enumerate(row)) for row in rows)
        first, expected = self.answers.setdefault(workload, (system, mine))
        if mine == expected:
            return True
        print(f"{workload} {system} FAILED: its {len(mine)} rows are not the {len(expected)} of {first}: "
              f"{next(iter(set(mine) ^ set(expected)), '')}", flush=True)
        return False

    def beside_load(self, workload, system, repeat):
        # DuckDB has no transfers of its own: it is asked beside those of the ledger, which are the machine's load then.
        place = "postgres-history" if system == "postgres-audit" else "ledgerstone-history"
        if place not in self.servers.places:
            return
        if place not in self.rate:
            full = transactions.pgbench(self.servers, place, "W3", LOAD_CLIENTS, max(3, self.options.seconds / 3), self.options.vehicles, self.folder)
            self.rate[place] = full["tps"] / 2
        if not self.rate[place]:
            return
        logs = self.folder / "load"
        shutil.rmtree(logs, ignore_errors=True)
        logs.mkdir()
        command = transactions.command(self.servers, place, "W3", LOAD_CLIENTS, 3600, self.options.vehicles, logs, self.rate[place])
        load = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.servers.environment())
        try:
            time.sleep(2)
            self.cell(workload, system, repeat, " beside W3")
            if load.poll() is not None:
                print(f"the load beside {workload} of {system} ended early", flush=True)
        finally:
            load.terminate()
            load.wait()


def canonical(workload, at, text):
    if workload == "W7" and at == 0:
        return text[:7]
    try:
        return str(decimal.Decimal(text).quantize(decimal.Decimal("0.01")))
    except decimal.InvalidOperation:
        return text
