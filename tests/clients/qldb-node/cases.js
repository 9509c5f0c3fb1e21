// The QLDB driver and the AWS SDK for Node, unchanged, against a server of its own: `node cases.js BINARY FOLDER`.

const assert = require("node:assert");
const fs = require("node:fs");
const ion = require("ion-js");
const { createHash } = require("node:crypto");
const control = require("@aws-sdk/client-qldb");
const { QldbDriver, RetryConfig } = require("amazon-qldb-driver-nodejs");
const serving = require("./server.js");
const { pause } = serving;

const SECRET = "a-secret-of-forty-characters-for-a-test-";

class Server extends serving.Server {
  driver({ ledger = "main", secret = SECRET, sessions = 10, retries = 4 } = {}) {
    const client = {
      region: "us-east-1",
      endpoint: `http://127.0.0.1:${this.http}`,
      credentials: { accessKeyId: "AKIDTEST", secretAccessKey: secret },
    };
    return new QldbDriver(ledger, client, {}, sessions, new RetryConfig(retries, () => 1));
  }

  control(secret = SECRET) {
    return new control.QLDBClient({
      region: "us-east-1",
      endpoint: `http://127.0.0.1:${this.http}`,
      credentials: { accessKeyId: "AKIDTEST", secretAccessKey: secret },
    });
  }
}

// The values of one statement in a transaction of its own.
const run = (driver, statement, ...parameters) =>
  driver.executeLambda(async (transaction) => (await transaction.execute(statement, ...parameters)).getResultList());
const plain = (rows) => JSON.parse(JSON.stringify(rows));
const text = (value) => {
  const writer = ion.makeTextWriter();
  value.writeTo(writer);
  return ion.decodeUtf8(writer.getBytes());
};

async function refused(call, name) {
  try {
    await call();
  } catch (error) {
    if (name) assert.strictEqual(error.name, name, `${error}`);
    return error;
  }
  throw new Error("it was not refused");
}

/** What a verifier of QLDB computes: pairs joined in the order of their signed bytes, the last byte first. */
function fold(leaf, siblings) {
  return siblings.reduce((hash, sibling) => {
    let at = 31;
    while (at > 0 && hash[at] === sibling[at]) at--;
    const signed = (byte) => (byte << 24) >> 24;
    const pair = signed(hash[at]) < signed(sibling[at]) ? [hash, sibling] : [sibling, hash];
    return createHash("sha256").update(pair[0]).update(pair[1]).digest();
  }, leaf);
}

const cases = {
  async tables_are_listed({ driver }) {
    assert.deepStrictEqual((await driver.getTableNames()).sort(), ["Empty", "Vehicle"]);
  },
  async a_definition_answers_with_the_tables_id({ driver }) {
    const [made] = plain(await run(driver, "CREATE TABLE Made"));
    assert.strictEqual(made.tableId.length, 22);
    assert.deepStrictEqual(plain(await run(driver, "CREATE INDEX ON Made (field)")), [made]);
    assert.deepStrictEqual(plain(await run(driver, "DROP TABLE Made")), [made]);
  },
  async a_table_that_is_there_is_a_bad_request({ driver }) {
    await refused(() => run(driver, "CREATE TABLE Vehicle"), "BadRequestException");
  },
  async an_insert_answers_with_the_documents_id({ driver }) {
    const [row] = plain(await run(driver, "INSERT INTO Vehicle ?", { VIN: "A1", Year: 2011 }));
    assert.strictEqual(row.documentId.length, 22);
  },
  async an_update_answers_with_the_documents_id({ driver }) {
    const rows = await run(driver, "UPDATE Vehicle SET Year = ? WHERE VIN = ?", 2012, "A1");
    assert.strictEqual(plain(rows)[0].documentId.length, 22);
    assert.deepStrictEqual(plain(await run(driver, "SELECT VIN, Year FROM Vehicle WHERE VIN = ?", "A1")), [
      { VIN: "A1", Year: 2012 },
    ]);
  },
  async from_set_changes_and_remove_removes({ driver }) {
    await run(driver, "FROM Vehicle AS v WHERE v.VIN = 'A1' SET v.Color = 'red'");
    await run(driver, "FROM Vehicle AS v WHERE v.VIN = 'A1' REMOVE v.Year");
    assert.deepStrictEqual(plain(await run(driver, "SELECT * FROM Vehicle WHERE VIN = 'A1'")), [{ VIN: "A1", Color: "red" }]);
  },
  async a_delete_answers_with_the_documents_id({ driver }) {
    assert.strictEqual(plain(await run(driver, "DELETE FROM Vehicle WHERE VIN = 'A1'"))[0].documentId.length, 22);
    assert.deepStrictEqual(plain(await run(driver, "SELECT * FROM Vehicle WHERE VIN = 'A1'")), []);
  },
  async several_documents_in_one_statement({ driver }) {
    const rows = await run(driver, "INSERT INTO Vehicle << {'VIN': 'M1'}, ?, {'VIN': 'M3'} >>", { VIN: "M2" });
    assert.strictEqual(new Set(plain(rows).map((row) => row.documentId)).size, 3);
  },
  async every_type_and_every_typed_null_comes_back_as_it_went({ driver }) {
    const values = [
      ...["null", "null.bool", "null.int", "null.float", "null.decimal", "null.timestamp", "null.string", "null.symbol"],
      ...["null.blob", "null.clob", "null.list", "null.sexp", "null.struct", "true", "false", "0", "-1"],
      ...["123456789012345678901234567890", "0e0", "1.5e+300", "0.", "1.50", "12345678901234567.890", "2019T", "2019-03T"],
      ...["2019-03-04T", "2019-03-04T05:06:07.890-08:30", '""', '"text é"', "symbol", "{{aGVsbG8=}}", '{{"clob"}}'],
      ...["[]", '[1,"a",[null.int]]', "(a b)", "{}", "{a:1,b:{c:[2.0]}}", 'annotated::"x"'],
    ];
    for (const [number, value] of values.entries()) {
      const document = ion.load(`{VIN: "T${number}", V: ${value}}`);
      await run(driver, "INSERT INTO Vehicle ?", document);
      const [found] = await run(driver, "SELECT VALUE v.V FROM Vehicle AS v WHERE v.VIN = ?", `T${number}`);
      assert.strictEqual(text(found), text(ion.load(value)), value);
    }
  },
  async parameters_find_their_like({ driver }) {
    for (const [number, value] of ["1", "1.50", "2.5e0", "true", '"x"', "2019-03-04T05:06:07Z", "[1,2]", "{a:1}"].entries()) {
      await run(driver, "INSERT INTO Vehicle ?", ion.load(`{VIN: "P${number}", Same: ${value}}`));
      const found = await run(driver, "SELECT VIN FROM Vehicle WHERE VIN = ? AND Same = ?", `P${number}`, ion.load(value));
      assert.strictEqual(found.length, 1, value);
    }
  },
  async a_null_parameter_is_null({ driver }) {
    await run(driver, "INSERT INTO Vehicle ?", { VIN: "N1", Gone: null });
    assert.strictEqual((await run(driver, "SELECT VIN FROM Vehicle WHERE VIN = 'N1' AND Gone IS NULL")).length, 1);
  },
  async pages_hold_what_does_not_fit_one({ driver }) {
    await driver.executeLambda(async (transaction) => {
      for (let n = 0; n < 701; n++) await transaction.execute("INSERT INTO Vehicle ?", { VIN: `PAGE${n}`, Page: true });
    });
    const found = plain(await run(driver, "SELECT VALUE VIN FROM Vehicle WHERE Page = true"));
    assert.strictEqual(new Set(found).size, 701);
  },
  async a_stream_reads_page_by_page({ driver }) {
    const count = await driver.executeLambda(async (transaction) => {
      const stream = await transaction.executeAndStreamResults("SELECT * FROM Vehicle WHERE Page = true");
      let count = 0;
      for await (const row of stream) count += row.get("VIN") ? 1 : 0;
      return count;
    });
    assert.strictEqual(count, 701);
  },
  async an_aborted_transaction_leaves_nothing({ driver }) {
    await refused(() =>
      driver.executeLambda(async (transaction) => {
        await transaction.execute("INSERT INTO Vehicle {'VIN': 'ABORTED'}");
        await transaction.abort();
      }),
    );
    assert.strictEqual((await run(driver, "SELECT * FROM Vehicle WHERE VIN = 'ABORTED'")).length, 0);
  },
  async a_conflict_is_tried_again_and_nothing_is_lost({ driver, server }) {
    await run(driver, "INSERT INTO Vehicle ?", { VIN: "COUNT", Number: 0 });
    let attempts = 0;
    const patient = server.driver({ retries: 200 });
    const add = async (transaction) => {
      attempts++;
      const [row] = (await transaction.execute("SELECT Number FROM Vehicle WHERE VIN = 'COUNT'")).getResultList();
      await transaction.execute("UPDATE Vehicle SET Number = ? WHERE VIN = 'COUNT'", row.get("Number").numberValue() + 1);
    };
    const work = async () => {
      for (let n = 0; n < 20; n++) await patient.executeLambda(add);
    };
    await Promise.all([work(), work(), work(), work()]);
    assert.deepStrictEqual(plain(await run(driver, "SELECT VALUE Number FROM Vehicle WHERE VIN = 'COUNT'")), [80]);
    assert(attempts > 80, `${attempts} attempts`);
  },
  async conflicts_end_after_the_limit_with_their_name({ driver, server }) {
    const error = await refused(
      () =>
        server.driver({ retries: 2 }).executeLambda(async (transaction) => {
          await transaction.execute("SELECT * FROM Empty");
          await run(driver, "INSERT INTO Empty {'n': 1}");
        }),
      "OccConflictException",
    );
    assert.match(error.message, /./);
    await run(driver, "DELETE FROM Empty");
  },
  async a_lookup_that_found_nothing_conflicts_with_who_inserts_it({ driver }) {
    const attempts = [];
    await driver.executeLambda(async (transaction) => {
      const found = (await transaction.execute("SELECT VIN FROM Vehicle WHERE VIN = 'NEW'")).getResultList();
      if (attempts.length === 0) await run(driver, "INSERT INTO Vehicle {'VIN': 'NEW'}");
      attempts.push(found.length);
      if (found.length === 0) await transaction.execute("INSERT INTO Vehicle {'VIN': 'NEW'}");
    });
    assert.deepStrictEqual(attempts, [0, 1]);
  },
  async a_syntax_error_is_a_bad_request_and_not_tried_again({ driver }) {
    let attempts = 0;
    const error = await refused(
      () =>
        driver.executeLambda((transaction) => {
          attempts++;
          return transaction.execute("SELEC * FROM Vehicle");
        }),
      "BadRequestException",
    );
    assert.match(error.message, /syntax error/);
    assert.strictEqual(attempts, 1);
  },
  async an_unknown_table_is_a_bad_request({ driver }) {
    assert.match((await refused(() => run(driver, "SELECT * FROM Nowhere"), "BadRequestException")).message, /Nowhere/);
  },
  async a_missing_parameter_is_a_bad_request({ driver }) {
    await refused(() => run(driver, "SELECT * FROM Vehicle WHERE VIN = ?"), "BadRequestException");
  },
  async after_a_statement_that_failed_the_transaction_goes_on({ driver }) {
    await driver.executeLambda(async (transaction) => {
      await refused(() => transaction.execute("INSERT INTO Nowhere {'n': 1}"), "BadRequestException");
      await transaction.execute("INSERT INTO Vehicle {'VIN': 'AFTER'}");
    });
    assert.strictEqual((await run(driver, "SELECT * FROM Vehicle WHERE VIN = 'AFTER'")).length, 1);
  },
  async an_unknown_ledger_is_a_bad_request({ server }) {
    await refused(() => server.driver({ ledger: "nowhere" }).getTableNames(), "BadRequestException");
  },
  async statistics_are_those_of_the_work({ driver }) {
    await run(driver, "INSERT INTO Vehicle ?", { VIN: "STAT" });
    await driver.executeLambda(async (transaction) => {
      const one = await transaction.execute("SELECT * FROM Vehicle WHERE VIN = 'STAT'");
      assert.strictEqual(one.getConsumedIOs().getReadIOs(), 1);
      assert(one.getTimingInformation().getProcessingTimeMilliseconds() >= 1);
      const every = await transaction.execute("SELECT * FROM Vehicle");
      assert.strictEqual(every.getConsumedIOs().getReadIOs(), every.getResultList().length);
    });
  },
  async history_has_every_revision({ driver }) {
    await run(driver, "INSERT INTO Vehicle ?", { VIN: "HIST", n: 1 });
    await run(driver, "UPDATE Vehicle SET n = 2 WHERE VIN = 'HIST'");
    const rows = await run(driver, "SELECT * FROM history(Vehicle) AS h WHERE h.data.VIN = 'HIST'");
    assert.deepStrictEqual(rows.map((row) => row.get("metadata", "version").numberValue()).sort(), [0, 1]);
    assert.strictEqual(rows[0].get("hash").uInt8ArrayValue().length, 32);
  },
  async a_transaction_that_took_too_long_is_not_tried_again({ impatient }) {
    const driver = impatient.driver();
    let attempts = 0;
    const error = await refused(
      () =>
        driver.executeLambda(async (transaction) => {
          attempts++;
          await transaction.execute("CREATE TABLE Slow");
          await pause(3500);
          await transaction.execute("CREATE TABLE Slower");
        }),
      "InvalidSessionException",
    );
    assert.match(error.message, /Transaction .* has expired/);
    assert.strictEqual(attempts, 1);
    assert.deepStrictEqual(await driver.getTableNames(), []);
  },
  async an_idle_session_is_replaced_without_a_word({ impatient }) {
    const driver = impatient.driver();
    assert.deepStrictEqual(await driver.getTableNames(), []);
    await pause(3600);
    assert.deepStrictEqual(await driver.getTableNames(), []);
  },
  async an_exhausted_pool_is_the_drivers_own_error({ server }) {
    const small = server.driver({ sessions: 1 });
    await small.executeLambda(async () => {
      await refused(() => run(small, "SELECT * FROM Empty"), "SessionPoolEmptyError");
    });
  },
  async a_server_that_dies_in_the_middle_is_met_with_the_whole_transaction_again({ server, driver }) {
    let attempts = 0;
    await driver.executeLambda(async (transaction) => {
      attempts++;
      await transaction.execute("INSERT INTO Vehicle {'VIN': 'MIDDLE'}");
      if (attempts === 1) {
        await server.stop("SIGKILL");
        await server.start();
      }
      await transaction.execute("INSERT INTO Vehicle {'VIN': 'MIDDLE'}");
    });
    assert(attempts >= 2);
    assert.strictEqual((await run(driver, "SELECT * FROM Vehicle WHERE VIN = 'MIDDLE'")).length, 2);
  },
  async the_control_api_makes_describes_and_deletes_a_ledger({ server }) {
    const api = server.control();
    const made = await api.send(new control.CreateLedgerCommand({ Name: "titles", PermissionsMode: "ALLOW_ALL" }));
    assert.strictEqual(made.State, "ACTIVE");
    const described = await api.send(new control.DescribeLedgerCommand({ Name: "titles" }));
    assert.deepStrictEqual(described.CreationDateTime, made.CreationDateTime);
    await api.send(new control.TagResourceCommand({ ResourceArn: made.Arn, Tags: { "a b": "c/d" } }));
    const tagged = await api.send(new control.ListTagsForResourceCommand({ ResourceArn: made.Arn }));
    assert.deepStrictEqual(tagged.Tags, { "a b": "c/d" });
    const drop = () => api.send(new control.DeleteLedgerCommand({ Name: "titles" }));
    await refused(drop, "ResourcePreconditionNotMetException");
    await api.send(new control.UpdateLedgerCommand({ Name: "titles", DeletionProtection: false }));
    await drop();
    await refused(drop, "ResourceNotFoundException");
    const page = await api.send(new control.ListLedgersCommand({ MaxResults: 1 }));
    assert.deepStrictEqual(page.Ledgers.map((ledger) => ledger.Name), ["main"]);
  },
  async a_block_leads_to_the_digest({ server, driver }) {
    await run(driver, "INSERT INTO Vehicle {'VIN': 'PROVED'}");
    const api = server.control();
    const digest = await api.send(new control.GetDigestCommand({ Name: "main" }));
    const [row] = await run(driver, "SELECT * FROM _ql_committed_Vehicle WHERE data.VIN = 'PROVED'");
    const answer = await api.send(
      new control.GetBlockCommand({
        Name: "main",
        BlockAddress: { IonText: text(row.get("blockAddress")) },
        DigestTipAddress: digest.DigestTipAddress,
      }),
    );
    const hash = ion.load(answer.Block.IonText).get("blockHash").uInt8ArrayValue();
    const siblings = ion.load(answer.Proof.IonText).elements().map((sibling) => sibling.uInt8ArrayValue());
    assert.deepStrictEqual(fold(hash, siblings), Buffer.from(digest.Digest));
    for (let at = 0; at < siblings.length; at++) {
      const changed = siblings.map((sibling) => Uint8Array.from(sibling));
      changed[at][3] ^= 1;
      assert.notDeepStrictEqual(fold(hash, changed), Buffer.from(digest.Digest));
    }
  },
  async signatures_are_verified_with_access_keys({ server, folder }) {
    fs.writeFileSync(`${folder}/access-keys`, `AKIDTEST ${SECRET} clerk\n`, { mode: 0o600 });
    const closed = new Server(server.binary, `${folder}/closed`, "--access-keys", `${folder}/access-keys`);
    await closed.start();
    await run(closed.driver(), "CREATE TABLE T");
    await refused(() => closed.driver({ secret: "x".repeat(40) }).getTableNames(), "InvalidSignatureException");
    const stranger = closed.control("x".repeat(40));
    await refused(() => stranger.send(new control.ListLedgersCommand({})), "InvalidSignatureException");
    const arn = (await closed.control().send(new control.DescribeLedgerCommand({ Name: "main" }))).Arn;
    await closed.control().send(new control.UntagResourceCommand({ ResourceArn: arn, TagKeys: ["a b", "c"] }));
    await closed.stop();
  },
};

(async () => {
  const [binary, folder] = process.argv.slice(2);
  const server = await new Server(binary, `${folder}/open`).start();
  const short = ["--limit", "qldb_transaction_seconds=3", "--limit", "qldb_session_idle_seconds=3"];
  const impatient = await new Server(binary, `${folder}/impatient`, ...short).start();
  const driver = server.driver();
  for (const statement of ["CREATE TABLE Vehicle", "CREATE INDEX ON Vehicle (VIN)", "CREATE TABLE Empty"]) {
    await run(driver, statement);
  }
  const failed = [];
  for (const [name, work] of Object.entries(cases)) {
    try {
      await work({ server, impatient, driver, folder });
      console.log(`ok     ${name}`);
    } catch (error) {
      failed.push(name);
      console.log(`FAILED ${name}\n${error.stack}`);
    }
  }
  await server.stop();
  await impatient.stop();
  console.log(`${Object.keys(cases).length - failed.length} of ${Object.keys(cases).length} cases hold`);
  process.exit(failed.length ? 1 : 0);
})();
