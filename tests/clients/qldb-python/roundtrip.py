"""A ledger goes to S3 and comes back as a new one, and nobody could tell: `roundtrip.py BINARY FOLDER MOTO_SERVER REVISIONS`.

Blocks 0 to T-1 are the same, so are QLDB's digest over them, tables, constraints and indexes; exported again, the blocks are
equal. S3 is moto's server.
"""

import json
import os
import subprocess
import sys
import time

import boto3
from harness import SECRET, Server
from kinesis_peers import Moto

LEDGER = "fleet"


def shell(server, statement, ledger=LEDGER):
    command = [server.binary, "shell", "--connect", f"127.0.0.1:{server.postgres}", "--ledger", ledger, "--format", "json", "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, (statement, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def fill(server, revisions):
    """Declared and schemaless tables, constraints, indexes, deletions, a redaction, a dropped table."""
    shell(server, f'CREATE DATABASE "{LEDGER}"', "main")
    shell(server, "CREATE TABLE truck (id bigint PRIMARY KEY, plate text NOT NULL UNIQUE, km bigint CHECK (km >= 0), owner text)")
    shell(server, "CREATE INDEX by_owner ON truck (owner)")
    batch = min(2_000, revisions // 4)
    rows = 0
    while rows < revisions * 3 // 4:
        shell(server, f"INSERT INTO truck SELECT n, 'plate-' || n, n % 1000, 'owner-' || n % 97 FROM generate_series({rows + 1}, {rows + batch}) AS n")
        rows += batch
    done = rows
    while done < revisions:
        low = done % rows
        done += len(shell(server, f"UPDATE truck SET km = km + 1 WHERE id > {low} AND id <= {low + batch} RETURNING id"))
    shell(server, "DELETE FROM truck WHERE id % 50 = 7")
    shell(server, "CREATE TABLE notes")
    shell(server, "INSERT INTO notes VALUES (jsonb '{\"text\": \"ä\", \"deep\": [1, {\"x\": null}]}')")
    shell(server, "CREATE TABLE gone (id text PRIMARY KEY)")
    shell(server, "INSERT INTO gone VALUES ('a')")
    shell(server, "DROP TABLE gone")
    return done


def command(server, *arguments, environment):
    done = subprocess.run([server.binary, *arguments], capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, (arguments, done.stderr)
    return json.loads(done.stdout)


def lines(s3, prefix):
    """Every block as the text it was exported as, by its number."""
    blocks = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="journals", Prefix=prefix):
        for entry in page.get("Contents", []):
            if entry["Key"].endswith(".ion"):
                text = s3.get_object(Bucket="journals", Key=entry["Key"])["Body"].read().decode()
                first = int(entry["Key"].split(".")[1].split("-")[0])
                blocks.update(enumerate(text.splitlines(), first))
    return blocks


QUESTIONS = [
    "SELECT count(*) AS n, sum(km) AS km FROM truck",
    "SELECT count(*) AS n FROM history(truck)",
    "SELECT count(*) AS n FROM truck AS OF BLOCK 5",
    "SELECT id, km FROM truck WHERE owner = 'owner-13' ORDER BY id LIMIT 20",
    "SELECT id FROM truck WHERE plate = 'plate-17'",
    "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = 'truck' ORDER BY 1",
    "SELECT indexname, indexdef FROM pg_indexes ORDER BY 1",
    "SELECT conname FROM pg_constraint ORDER BY 1",
]


def main(binary, folder, moto_server, revisions):
    moto = Moto(moto_server, f"{folder}-moto.log")
    environment = dict(AWS_ENDPOINT_URL_S3=moto.url, AWS_ACCESS_KEY_ID="AKIDOWNER", AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="us-east-1")
    keys = dict(aws_access_key_id="AKIDOWNER", aws_secret_access_key=SECRET, region_name="us-east-1")
    s3 = boto3.client("s3", endpoint_url=moto.url, **keys)
    s3.create_bucket(Bucket="journals")
    server = Server(binary, folder)
    made = fill(server, revisions)
    qldb = lambda name: boto3.client("qldb", endpoint_url=f"http://127.0.0.1:{server.http}", **keys).get_digest(Name=name)
    before, digest = [shell(server, question) for question in QUESTIONS], qldb(LEDGER)
    server.stop()

    places = ["--data", f"{folder}/data", "--keys", f"{folder}/keys"]
    began = time.time()
    exported = command(server, "export", *places, "--ledger", LEDGER, "--format", "qldb-ion", "--json", "s3://journals/first/", environment=environment)
    print(f"ok     {made} revisions in {exported['blocks']} blocks exported to S3 in {time.time() - began:.1f} s")
    began = time.time()
    imported = command(server, "import", "qldb-export", *places, "--ledger", "back", "--json", "s3://journals/first/", environment=environment)
    assert imported["blocks"] == exported["blocks"] and imported["revisions"] >= made, imported
    print(f"ok     imported in {time.time() - began:.1f} s")

    server.start()
    assert qldb("back")["Digest"] == digest["Digest"], "the digest over the same blocks"
    assert [shell(server, question, "back") for question in QUESTIONS] == before
    print("ok     the same digest, and the same answers")
    server.stop()
    again = command(server, "export", *places, "--ledger", "back", "--format", "qldb-ion", "--json", "s3://journals/second/", environment=environment)
    assert again["blocks"] == exported["blocks"], "nothing was added"
    first, second = lines(s3, "first/"), lines(s3, "second/")
    assert len(first) == exported["blocks"] and first == second
    print("ok     exported again, every block is equal")

    server.start()
    shell(server, "INSERT INTO truck VALUES (0, 'plate-new', 1, 'owner-1')", "back")
    twice = subprocess.run([binary, "shell", "--connect", f"127.0.0.1:{server.postgres}", "--ledger", "back", "-c", "INSERT INTO truck VALUES (-1, 'plate-new', 1, 'x')"], capture_output=True, text=True)
    assert twice.returncode != 0 and "23505" in twice.stderr, twice
    server.close()
    moto.stop()
    shown = subprocess.run([binary, "verify", f"{folder}/data/back"], capture_output=True, text=True)
    assert shown.returncode == 0 and "imported from QLDB" in shown.stdout, shown
    print("ok     it goes on, its constraints hold, and all of it verifies")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
