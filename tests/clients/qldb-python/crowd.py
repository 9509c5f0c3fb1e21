"""Five hundred sessions of one driver's pool move money between few accounts: `crowd.py BINARY FOLDER SECONDS`.

What must hold: no update is lost, no session is leaked, and whatever fails is what a driver tries again.
"""

import random
import sys
import threading
import time

from botocore.config import Config
from botocore.exceptions import ClientError
from harness import Server, run
from pyqldb.config.retry_config import RetryConfig

SESSIONS = 500
ACCOUNTS = 20


def transfer(transaction, source, target, amount):
    for account, change in [(source, -amount), (target, amount)]:
        (row,) = transaction.execute_statement("SELECT balance FROM Account WHERE n = ?", account)
        transaction.execute_statement("UPDATE Account SET balance = ? WHERE n = ?", row["balance"] + change, account)


def crowd(server, seconds):
    driver = server.driver(
        config=Config(max_pool_connections=SESSIONS, retries={"max_attempts": 0}),
        max_concurrent_transactions=SESSIONS,
        retry_config=RetryConfig(retry_limit=30, base=1),
    )
    until, moved, given_up, failed, attempts = time.time() + seconds, [], [], [], []

    def attempt(transaction, source, target):
        attempts.append(1)
        transfer(transaction, source, target, 1)

    def client(number):
        dice, mine = random.Random(number), 0
        while time.time() < until:
            source, target = dice.sample(range(ACCOUNTS), 2)
            try:
                driver.execute_lambda(lambda transaction: attempt(transaction, source, target))
                mine += 1
            except ClientError as error:
                # More conflicts than the driver has patience for.
                given_up.append(1) if error.response["Error"]["Code"] == "OccConflictException" else failed.append(error)
            except Exception as error:
                failed.append(error)
        moved.append(mine)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed, (len(failed), failed[0])
    assert len(moved) == SESSIONS and sum(moved) > 0
    driver.close()
    return sum(moved), len(attempts) - sum(moved), len(given_up)


def main(binary, folder, seconds):
    server = Server(binary, f"{folder}/crowd", "--limit", f"qldb_sessions={SESSIONS + 1}")
    driver = server.driver()
    run(driver, "CREATE TABLE Account")
    run(driver, "CREATE INDEX ON Account (n)")
    for n in range(ACCOUNTS):
        run(driver, "INSERT INTO Account ?", {"n": n, "balance": 1000})
    done = 0
    # A second crowd finds room only if the first has left no session behind.
    for turn in range(2):
        moved, conflicts, given_up = crowd(server, seconds / 2)
        assert conflicts > 0
        print(f"{moved} transfers by {SESSIONS} sessions, {conflicts} conflicts, {given_up} given up after 30", flush=True)
        done += moved
        total = sum(row["balance"] for row in run(driver, "SELECT balance FROM Account"))
        assert total == ACCOUNTS * 1000, total
    changes = run(driver, "SELECT COUNT(*) FROM history(Account) AS h WHERE h.metadata.version > 0")[0]["_1"]
    assert changes == 2 * done, (changes, done)
    print(f"{changes} revisions, two for each transfer, and the sum is what it was")
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
