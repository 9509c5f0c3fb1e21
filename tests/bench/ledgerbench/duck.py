"""DuckDB in a process of its own: `duck.py FOLDER VEHICLES REVISIONS` makes the analytic set as tables and as Parquet files, then
answers requests, a JSON line each: {"system", "sql", "times"} with {"ms": [...], "rows": [...]}."""

import json
import sys
import time

import duckdb

STATES = ("AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK "
          "OR PA RI SC SD TN TX UT VT VA WA WV WI WY").split()
COLUMNS = """'V' || i as vin, 'LP' || lpad(i::varchar, 8, '0') as license_plate, ({states})[(i * 31 % 50 + 1)::int] as state,
    'City' || i % 1000 as city, (((i * 37 + v * 1009) % 50000) / 100)::decimal(12, 2) as pending_penalty,
    (date '2017-01-01' + (i * 13 % 1500)::int) as valid_from, (date '2021-01-01' + (i * 13 % 1500)::int) as valid_to,
    '{{"PrimaryOwner": {{"PersonId": "P' || lpad(((i + 7 * v) % {np} + 1)::varchar, 21, '0') || '"}}, "SecondaryOwners": [{{"PersonId": "P'
      || lpad((i * 7 % {np} + 1)::varchar, 21, '0') || '"}}]}}' as owner"""


def main():
    folder, n, r = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    columns = COLUMNS.format(states=STATES, np=max(1, n // 10))
    native = duckdb.connect(f"{folder}/registry.duckdb")
    native.execute(f"create table vehicle_registration as select {columns} from (select range as i, {r - 1} as v from range(1, {n + 1}))")
    native.execute(f"""create table vehicle_registration_history as
        select v * {n} + i as hid, 1000 + v * {n} + i as txid,
          timestamp '2020-01-01 00:00:00' + to_microseconds((v * {n} + i) * ({94608000000000 // (n * r)})) as tx_time,
          case v when 0 then 'INSERT' else 'UPDATE' end as op, v as version, {columns}
        from (select a.range as v, b.range as i from range(0, {r}) a, range(1, {n + 1}) b) order by hid""")
    native.execute("checkpoint")
    parquet = duckdb.connect()
    for table in ["vehicle_registration", "vehicle_registration_history"]:
        native.execute(f"copy {table} to '{folder}/{table}.parquet' (format parquet)")
        parquet.execute(f"create view {table} as select * from read_parquet('{folder}/{table}.parquet')")
    print(json.dumps({"ready": True}), flush=True)
    systems = {"duckdb-native": native, "duckdb-parquet": parquet}
    for line in sys.stdin:
        request = json.loads(line)
        connection, ms, rows = systems[request["system"]], [], []
        for _ in range(request["times"]):
            began = time.perf_counter()
            rows = connection.execute(request["sql"]).fetchall()
            ms.append((time.perf_counter() - began) * 1000)
        print(json.dumps({"ms": ms, "rows": [[str(v) for v in row] for row in rows]}), flush=True)


main()
