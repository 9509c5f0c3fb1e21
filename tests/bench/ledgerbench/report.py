"""Results as ratios: on the terminal, as Markdown, as plots."""

import collections
import statistics

from . import disk, plot, scale
from .analytics import ANALYTIC
from .systems import DUCKDB, POSTGRES
from .transactions import OLTP

RATE = [*OLTP, "W10"]
TIME = [w + beside for w in ANALYTIC for beside in ("", " beside W3")]


def tables(results, limits):
    """Markdown: transactions, then analytics, then what the machine can do."""
    parts = [of_rates(results), of_times(results), of_disk(results), of_scale(results), of_limits(results, limits)]
    return "\n\n".join(part for part in parts if part)


def ratios(results, workload, clients, other, measure, of="ledgerstone"):
    """Ours divided by the other's, of the same repeat each."""
    cell = lambda system: {r["repeat"]: r[measure] for r in results
                           if (r["workload"], r["clients"], r["system"]) == (workload, clients, system) and r.get(measure)}
    ours, theirs = cell(of), cell(other)
    return [ours[repeat] / theirs[repeat] for repeat in ours if repeat in theirs]


def spread(values):
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def of_rates(results):
    cells = sorted({(RATE.index(r["workload"]), r["clients"]) for r in results if r["workload"] in RATE})
    others = [s for s in POSTGRES if any(r["system"] == s for r in results)]
    if not cells:
        return ""
    lines = ["| workload | clients | " + " | ".join(f"to {name(o)}" for o in others) + " | p99 to audit trail | tried again, here / plain |",
             "|---|---:|" + "---:|" * (len(others) + 2)]
    for at, clients in cells:
        workload = RATE[at]
        row = [workload, str(clients)] + [spread(ratios(results, workload, clients, o, "tps")) for o in others]
        tails = ratios(results, workload, clients, "postgres-audit", "p99_ms")
        row.append(f"{statistics.median(tails):.2f}" if tails else "")
        row.append(again(results, workload, clients))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def again(results, workload, clients):
    """Percent of the transactions that were repeated by the client, and failed in the end."""
    told = []
    for system in ["ledgerstone", "postgres-plain"]:
        rows = [r for r in results if (r["workload"], r["clients"], r["system"]) == (workload, clients, system)]
        retried = [r["retried_percent"] for r in rows if r.get("retried_percent") is not None]
        failed = [r["failed_percent"] for r in rows if r.get("failed_percent")]
        if retried and any(retried) or failed:
            told.append(f"{statistics.median(retried or [0]):.1f} %" + (f", {max(failed):.1f} % failed" if failed else ""))
        else:
            told.append("0" if rows else "")
    return " / ".join(told) if any(t not in ("", "0") for t in told) else ""


def of_times(results):
    others = [s for s in ["postgres-audit", *DUCKDB] if any(r["system"] == s and r["workload"] in TIME for r in results)]
    present = [w for w in TIME if any(r["workload"] == w for r in results)]
    if not present:
        return ""
    lines = ["| workload | " + " | ".join(f"time to {name(o)}" for o in others) + " |", "|---|" + "---:|" * len(others)]
    for workload in present:
        lines.append(f"| {workload} | " + " | ".join(spread(ratios(results, workload, 1, o, "ms")) for o in others) + " |")
    return "\n".join(lines)


def of_disk(results):
    """Each part of ours, as a share of what the other takes in all."""
    taken = {r["system"]: r for r in results if r["workload"] == disk.WORKLOAD}
    ours = taken.pop("ledgerstone", None)
    if not ours or not taken:
        return ""
    lines = ["| disk | " + " | ".join(f"to {name(o)}" for o in taken) + " |", "|---|" + "---:|" * len(taken)]
    for part, size in [*sorted(ours["parts"].items(), key=lambda p: -p[1]), ("all of it", ours["bytes"])]:
        lines.append(f"| {part} | " + " | ".join(f"{size / o['bytes']:.2f}" for o in taken.values()) + " |")
    return "\n".join(lines)


def of_scale(results):
    """Against the smallest ledger; a start is compared with nothing, and told in seconds."""
    rows = [r for r in results if r["workload"] == scale.WORKLOAD]
    if not rows:
        return ""
    least = rows[0]
    lines = ["| revisions | point reads | soon after the start | W7, time for each revision | start after a kill, s, worst (median) of ten | peak memory |", "|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        lines.append(f"| {row['revisions']:,} | {row['reads_per_second'] / least['reads_per_second']:.2f} | "
                     f"{row['early_reads_per_second'] / least['early_reads_per_second']:.2f} | "
                     f"{row['w7_ms'] / row['revisions'] / (least['w7_ms'] / least['revisions']):.2f} | "
                     f"{row['start_s_worst']} ({row['start_s_median']}) | {row['peak_mib'] / least['peak_mib']:.1f} |")
    return "\n".join(lines)


def of_limits(results, limits):
    """What part of the machine's limits the workloads use."""
    if not limits:
        return ""
    lines = ["| limit of the machine | clients | used by |", "|---|---:|---|"]
    for limit in limits:
        workload = {"fdatasync of 4 KiB": "W1", "loopback round trips": "W2"}.get(limit["limit"])
        rates = [r["tps"] for r in results if (r["workload"], r["system"]) == (workload, "ledgerstone") and r.get("tps")
                 and r["clients"] == limit["clients"]]
        used = f"{workload}: {statistics.median(rates) / limit['per_second']:.2f} transactions for each" if rates else ""
        lines.append(f"| {limit['limit']} | {limit['clients']} | {used} |")
    return "\n".join(lines)


def name(system):
    return {"postgres-plain": "plain", "postgres-audit": "audit trail", "postgres-chain": "hash chain", "duckdb-native": "DuckDB's tables",
            "duckdb-parquet": "DuckDB on Parquet"}.get(system, system)


def plots(results, folder):
    """An SVG for transactions by client count and one for analytics."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    by_clients = collections.defaultdict(dict)
    for result in results:
        if result["workload"] in RATE:
            for other in POSTGRES:
                values = ratios(results, result["workload"], result["clients"], other, "tps")
                if values:
                    by_clients[result["workload"], result["clients"]][name(other)] = statistics.median(values)
    if by_clients:
        groups = {f"{workload}, {clients}": by_clients[workload, clients] for workload, clients
                  in sorted(by_clients, key=lambda k: (RATE.index(k[0]), k[1]))}
        written.append(plot.bars(folder / "transactions.svg", "Ledgerstone's transactions for each of PostgreSQL's", groups, [name(s) for s in POSTGRES]))
    times = {}
    for workload in TIME:
        values = {name(o): ratios(results, workload, 1, o, "ms") for o in ["postgres-audit", *DUCKDB]}
        if any(values.values()):
            times[workload] = {o: 1 / statistics.median(v) for o, v in values.items() if v}
    if times:
        written.append(plot.bars(folder / "analytics.svg", "How many times as fast as the other", times, [name(o) for o in ["postgres-audit", *DUCKDB]]))
    return written
