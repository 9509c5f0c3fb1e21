"""DISK: what the rows of W10 and as many transfers of title as `--updates` says take on the disk, part by part."""

import re
import subprocess
import time
import urllib.request

from . import data, transactions
from .systems import BENCH

WORKLOAD = "DISK"
CLIENTS = 32
#: A server that packs its segments at once, not within a minute, has nothing left to do when it is measured.
LIMITS = {"pack_pause_seconds": 1}
PATIENCE_S = 900


class Disk:
    def __init__(self, options, servers, folder, result):
        self.options, self.servers, self.folder, self.result = options, servers, folder, result
        self.systems = [s for s in ["ledgerstone", "postgres-plain", "postgres-audit"] if s in options.systems]

    def load(self):
        rows = self.folder / "disk.csv"
        data.write_registrations(rows, self.options.bulk_rows)
        for system in self.systems:
            place, began = self.place(system), time.time()
            if system == "ledgerstone":
                self.servers.start_ledgerstone(place, limits=LIMITS)
            else:
                self.servers.create(place, place.replace("-", "_"))
            self.servers.psql(place, "-f", BENCH / "sql" / "schema.sql")
            if system == "postgres-audit":
                self.servers.psql(place, "-f", BENCH / "sql" / "postgres-audit.sql")
            self.servers.copy(place, "vehicle_registration", rows)
            self.update(place)
            print(f"loaded {self.options.bulk_rows} registrations and {self.options.updates} transfers into {place} in {time.time() - began:.1f} s", flush=True)

    def update(self, place):
        command = transactions.command(self.servers, place, "W3", CLIENTS, None, self.options.bulk_rows, None,
                                       each=max(1, self.options.updates // CLIENTS))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=self.servers.environment())

    def run(self, repeat):
        if repeat:
            return  # It is a size, not a speed.
        for system in self.systems:
            parts = self.of_ledger() if system == "ledgerstone" else self.of_postgres(system)
            total = sum(parts.values())
            told = ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in sorted(parts.items(), key=lambda p: -p[1]))
            print(f"{WORKLOAD} {system}: {total / 2**20:.0f} MiB: {told}", flush=True)
            self.result(workload=WORKLOAD, system=system, clients=1, bytes=total, parts=parts, repeat=repeat)

    @staticmethod
    def place(system):
        return f"{system}-disk"

    def of_ledger(self):
        """Sealed: the columns are made, full segments are packed, the server is stopped."""
        place = self.place("ledgerstone")
        self.servers.query(place, "select count(*), sum(pending_penalty) from vehicle_registration", 1)
        before = None
        for _ in range(PATIENCE_S // 5):
            time.sleep(5)
            now = self.metric(place, "packed_segments_total"), sizes(self.folder / place / "data")
            if now == before:
                break
            before = now
        self.servers.stop_ledgerstone(place)
        return sizes(self.folder / place / "data")

    def metric(self, place, name):
        page = urllib.request.urlopen(f"{self.servers.http[place]}/metrics", timeout=10).read().decode()
        return float(re.search(rf"^ledgerstone_{name} ([0-9.]+)", page, re.M)[1])

    def of_postgres(self, system):
        place = self.place(system)
        ask = lambda sql: int(self.servers.query(place, sql, 1)[0][0][0][0])
        self.servers.psql(place, "-c", "checkpoint")
        parts = {}
        for table in ["vehicle_registration"] + ["vehicle_registration_history"] * (system == "postgres-audit"):
            parts[table] = ask(f"select pg_table_size('{table}')")
            parts[f"indexes of {table}"] = ask(f"select pg_indexes_size('{table}')")
        return parts


def sizes(folder):
    """Bytes that the disk gives to each part of a ledger: blocks, not lengths."""
    parts = {}
    for file in folder.rglob("*"):
        if file.is_file():
            within = file.relative_to(folder).parts
            # The ledger's folder comes first.
            part = within[1] if len(within) > 2 else "other"
            try:
                parts[part] = parts.get(part, 0) + file.stat().st_blocks * 512
            except FileNotFoundError:
                pass
    return parts
