"""SCALE: ledgers of growing size, each with five revisions of a registration: the time of a start after `kill -9` in the midst of
transfers at full rate, the speed of point reads, the time of W7, and memory, against those of the smallest."""

import json
import pathlib
import random
import shutil
import statistics
import subprocess
import time

from . import transactions
from .analytics import QUERIES
from .systems import binary

WORKLOAD = "SCALE"
REVISIONS = 5
#: Revisions committed together when a ledger is made; alone each would take pages of its own until they are packed.
TOGETHER = 10
CLIENTS = 8
KILLS = 10
#: Reads before those that are measured, at every size: after a start caches fill for a while, and memory that a process has never had is
#: zeroed page by page. What reads are like until then is told beside.
WARM_UP_S = 40


class Scale:
    def __init__(self, options, servers, folder, result):
        self.options, self.servers, self.folder, self.result = options, servers, folder, result
        self.rng = random.Random(7)

    def load(self):
        pass

    def run(self, repeat):
        if repeat or "ledgerstone" not in self.options.systems:
            return
        smallest = None
        for size in self.options.sizes:
            place, n = f"scale-{size}", max(1, size // REVISIONS)
            began = time.time()
            subprocess.run([str(binary("ledgerstone-bench-tools")), "history", str(self.folder / place), "--vehicles", str(n), "--revisions", str(REVISIONS), "--together", str(TOGETHER)],
                           check=True, stderr=subprocess.DEVNULL)
            row = {"revisions": size, "made_s": round(time.time() - began, 1), **self.measure(place, n)}
            shutil.rmtree(self.folder / place)
            smallest = smallest or row
            ratios = {"early_reads": row["early_reads_per_second"] / smallest["early_reads_per_second"], "reads": row["reads_per_second"] / smallest["reads_per_second"], "w7_ms_per_revision": row["w7_ms"] / size / (smallest["w7_ms"] / smallest["revisions"])}
            print(f"{WORKLOAD} {json.dumps(row)}; to the smallest: {json.dumps({k: round(v, 2) for k, v in ratios.items()})}", flush=True)
            self.result(workload=WORKLOAD, system="ledgerstone", clients=CLIENTS, repeat=repeat, tps=row["reads_per_second"], **row)

    def measure(self, place, n):
        process = self.servers.start_ledgerstone(place)
        read = lambda seconds: transactions.pgbench(self.servers, place, "W2", CLIENTS, seconds, n, self.folder)["tps"]
        read(self.options.seconds)
        early = statistics.median(read(self.options.seconds) for _ in range(3))
        read(WARM_UP_S)
        reads = statistics.median(read(self.options.seconds) for _ in range(3))
        began = time.time()
        self.servers.query(place, QUERIES["ledgerstone"]["W7"], 1)
        first = time.time() - began
        (_, ms), problem = self.servers.query(place, QUERIES["ledgerstone"]["W7"], 4)
        if problem:
            raise SystemExit(f"W7 over {place}: {problem}")
        peak = peak_bytes(process.pid)
        starts = [self.killed(place, n) for _ in range(KILLS)]
        self.servers.stop_ledgerstone(place)
        return {"early_reads_per_second": round(early), "reads_per_second": round(reads), "w7_first_s": round(first, 1), "w7_ms": round(statistics.median(ms), 1),
                "start_s_worst": round(max(starts), 2), "start_s_median": round(statistics.median(starts), 2), "peak_mib": peak >> 20}

    def killed(self, place, n):
        """Seconds from the start until it answers, after a kill in the midst of transfers."""
        command = transactions.command(self.servers, place, "W3", CLIENTS, 3600, n, None)
        load = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.servers.environment())
        time.sleep(1 + self.rng.random() * self.options.seconds)
        self.servers.kill_ledgerstone(place)
        load.wait()
        began = time.time()
        self.servers.start_ledgerstone(place)
        self.servers.query(place, "select 1", 1)
        return time.time() - began


def peak_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
