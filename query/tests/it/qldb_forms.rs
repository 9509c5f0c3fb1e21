//! Every statement form of QLDB's dialect: the shape of what it answers, and how it refuses (docs/compatibility.md).
//!
//! `CASES` is a script: a statement and what it must answer, row by row in any order, or `!` and the SQLSTATE with a part
//! of the message. Ids are shown as `ID`, times as `TIME`, hashes as `HASH`; all else is as a client reads it.

use crate::support::{Memory, clerk, told};
use ledgerstone_query::session::{Dialect, Session};

enum Answer {
    Rows(&'static [&'static str]),
    /// SQLSTATE and a part of the message.
    Error(&'static str, &'static str),
}
use Answer::{Error, Rows};

const CASES: &[(&str, Answer)] = &[
    ("CREATE TABLE Vehicle", Rows(&[r#"{"tableId": "ID"}"#])),
    ("CREATE TABLE Vehicle", Error("42P07", r#"relation "Vehicle" already exists"#)),
    ("create table Person", Rows(&[r#"{"tableId": "ID"}"#])),
    ("CREATE TABLE _ql_mine", Error("42939", r#"the name "_ql_mine" is reserved"#)),
    ("CREATE TABLE 9lives", Error("42601", r#""9lives" is neither a number nor a name"#)),
    (r#"CREATE TABLE "Übung""#, Rows(&[r#"{"tableId": "ID"}"#])),
    ("CREATE INDEX ON Vehicle (VIN)", Rows(&[r#"{"tableId": "ID"}"#])),
    ("CREATE INDEX ON Vehicle (VIN)", Error("42710", r#"table "Vehicle" has an index on (VIN) already"#)),
    ("CREATE INDEX ON Vehicle (VIN, Make)", Rows(&[r#"{"tableId": "ID"}"#])),
    ("CREATE INDEX ON Nowhere (VIN)", Error("42P01", r#"relation "Nowhere" does not exist"#)),
    (
        "INSERT INTO Vehicle {'VIN': '1N4', 'Make': 'Audi', 'Owners': {'PrimaryOwner': {'PersonId': 'a'}, 'SecondaryOwners': [{'PersonId': 'b'}, {'PersonId': 'c'}]}}",
        Rows(&[r#"{"documentId": "ID"}"#]),
    ),
    (
        "INSERT INTO Vehicle << {'VIN': 'KM8', 'Make': 'Tesla', 'Year': 2015}, {'VIN': '3HG', 'Make': 'Ducati', 'Year': null} >>",
        Rows(&[r#"{"documentId": "ID"}"#, r#"{"documentId": "ID"}"#]),
    ),
    ("INSERT INTO Vehicle VALUE {'VIN': '1HV', 'Make': 'Ford', 'n': `null.int`}", Rows(&[r#"{"documentId": "ID"}"#])),
    (
        r#"INSERT INTO Vehicle `{VIN: "1C4", Make: sym, d: 1.50, t: 2019-01-01T, l: [1, (a b)]}`"#,
        Rows(&[r#"{"documentId": "ID"}"#]),
    ),
    ("INSERT INTO Vehicle 7", Error("42804", "a document must be a struct, not int")),
    ("INSERT INTO Vehicle << 1, 2 >>", Error("42804", "a document must be a struct, not int")),
    ("INSERT INTO Nowhere {'a': 1}", Error("42P01", r#"no such table: "Nowhere""#)),
    (
        "SELECT * FROM Vehicle WHERE VIN = '1N4'",
        Rows(&[
            r#"{"VIN": "1N4", "Make": "Audi", "Owners": {"PrimaryOwner": {"PersonId": "a"}, "SecondaryOwners": [{"PersonId": "b"}, {"PersonId": "c"}]}}"#,
        ]),
    ),
    ("SELECT VIN, Make FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&[r#"{"VIN": "KM8", "Make": "Tesla"}"#])),
    (
        "SELECT v.VIN AS a, v.Make b FROM Vehicle v WHERE v.VIN IN ('KM8', '3HG')",
        Rows(&[r#"{"a": "3HG", "b": "Ducati"}"#, r#"{"a": "KM8", "b": "Tesla"}"#]),
    ),
    ("SELECT VALUE v.VIN FROM Vehicle AS v WHERE v.Make = 'Ford'", Rows(&[r#""1HV""#])),
    ("SELECT VALUE {'vin': v.VIN} FROM Vehicle AS v WHERE v.VIN = '1HV'", Rows(&[r#"{"vin": "1HV"}"#])),
    ("SELECT VALUE [v.VIN, v.Make] FROM Vehicle AS v WHERE v.VIN = '1HV'", Rows(&[r#"["1HV", "Ford"]"#])),
    ("SELECT COUNT(*) FROM Vehicle", Rows(&[r#"{"_1": 5}"#])),
    ("SELECT COUNT(*), MAX(Year), 1 + 1 FROM Vehicle", Rows(&[r#"{"_1": 5, "_2": 2015, "_3": 2}"#])),
    ("SELECT COUNT(*) AS n FROM Vehicle WHERE Year IS NULL", Rows(&[r#"{"n": 4}"#])),
    (
        "SELECT VIN FROM Vehicle WHERE Year IS MISSING",
        Rows(&[r#"{"VIN": "1C4"}"#, r#"{"VIN": "1HV"}"#, r#"{"VIN": "1N4"}"#]),
    ),
    ("SELECT VIN FROM Vehicle WHERE Year IS NOT MISSING", Rows(&[r#"{"VIN": "3HG"}"#, r#"{"VIN": "KM8"}"#])),
    (
        "SELECT VIN FROM Vehicle WHERE n IS NULL",
        Rows(&[
            r#"{"VIN": "1C4"}"#,
            r#"{"VIN": "1HV"}"#,
            r#"{"VIN": "1N4"}"#,
            r#"{"VIN": "3HG"}"#,
            r#"{"VIN": "KM8"}"#,
        ]),
    ),
    ("SELECT VALUE v.n FROM Vehicle AS v WHERE v.VIN = '1HV'", Rows(&["null"])),
    ("SELECT v.Owners.PrimaryOwner.PersonId FROM Vehicle AS v WHERE v.VIN = '1N4'", Rows(&[r#"{"PersonId": "a"}"#])),
    (
        "SELECT s.PersonId FROM Vehicle AS v, v.Owners.SecondaryOwners AS s WHERE v.VIN = '1N4'",
        Rows(&[r#"{"PersonId": "b"}"#, r#"{"PersonId": "c"}"#]),
    ),
    (
        "SELECT s.PersonId, i FROM Vehicle AS v, v.Owners.SecondaryOwners AS s AT i WHERE v.VIN = '1N4'",
        Rows(&[r#"{"PersonId": "b", "i": 0}"#, r#"{"PersonId": "c", "i": 1}"#]),
    ),
    (
        "SELECT VALUE s FROM Vehicle AS v, @v.Owners.SecondaryOwners AS s WHERE v.VIN = '1N4'",
        Rows(&[r#"{"PersonId": "b"}"#, r#"{"PersonId": "c"}"#]),
    ),
    (
        "SELECT k, x FROM Vehicle AS v, UNPIVOT v.Owners.PrimaryOwner AS x AT k WHERE v.VIN = '1N4'",
        Rows(&[r#"{"k": "PersonId", "x": "a"}"#]),
    ),
    ("SELECT VALUE v.Owners.SecondaryOwners[1].PersonId FROM Vehicle AS v WHERE v.VIN = '1N4'", Rows(&[r#""c""#])),
    ("SELECT VALUE v['Make'] FROM Vehicle AS v WHERE v.VIN = '1N4'", Rows(&[r#""Audi""#])),
    ("SELECT id FROM Vehicle BY id WHERE VIN = '1N4'", Rows(&[r#"{"id": "ID"}"#])),
    ("SELECT VIN FROM Vehicle BY id WHERE id = '0000000000000000000000'", Rows(&[])),
    (
        "INSERT INTO Person << {'GovId': 'g1', 'VIN': '1N4', 'Name': 'Raul'}, {'GovId': 'g2', 'VIN': 'KM8', 'Name': 'Brent'}, {'GovId': 'g3', 'Name': 'Alexis'} >>",
        Rows(&[r#"{"documentId": "ID"}"#, r#"{"documentId": "ID"}"#, r#"{"documentId": "ID"}"#]),
    ),
    (
        "SELECT * FROM Vehicle AS v, Person AS p WHERE v.VIN = p.VIN AND p.GovId = 'g2'",
        Rows(&[r#"{"VIN": "KM8", "Make": "Tesla", "Year": 2015, "GovId": "g2", "VIN": "KM8", "Name": "Brent"}"#]),
    ),
    (
        "SELECT v.Make, p.Name FROM Vehicle AS v INNER JOIN Person AS p ON v.VIN = p.VIN",
        Rows(&[r#"{"Make": "Audi", "Name": "Raul"}"#, r#"{"Make": "Tesla", "Name": "Brent"}"#]),
    ),
    (
        "SELECT v.Make, p.Name FROM Vehicle AS v JOIN Person AS p ON v.VIN = p.VIN WHERE p.Name = 'Raul'",
        Rows(&[r#"{"Make": "Audi", "Name": "Raul"}"#]),
    ),
    (
        "SELECT p.Name, v.Make FROM Person AS p LEFT JOIN Vehicle AS v ON v.VIN = p.VIN",
        Rows(&[
            r#"{"Name": "Alexis"}"#,
            r#"{"Name": "Brent", "Make": "Tesla"}"#,
            r#"{"Name": "Raul", "Make": "Audi"}"#,
        ]),
    ),
    (
        "SELECT n.Make FROM (SELECT v.Make, v.VIN FROM Vehicle AS v WHERE v.VIN = '1N4') AS n",
        Rows(&[r#"{"Make": "Audi"}"#]),
    ),
    (
        "SELECT VIN FROM Vehicle WHERE EXISTS(SELECT 1 FROM Person AS p WHERE p.VIN = Vehicle.VIN)",
        Rows(&[r#"{"VIN": "1N4"}"#, r#"{"VIN": "KM8"}"#]),
    ),
    ("SELECT Make FROM Vehicle ORDER BY VIN DESC LIMIT 2", Rows(&[r#"{"Make": "Ducati"}"#, r#"{"Make": "Tesla"}"#])),
    (
        "SELECT Make FROM Vehicle GROUP BY Make",
        Rows(&[
            r#"{"Make": "Audi"}"#,
            r#"{"Make": "Ducati"}"#,
            r#"{"Make": "Ford"}"#,
            r#"{"Make": "Tesla"}"#,
            r#"{"Make": "sym"}"#,
        ]),
    ),
    (
        "SELECT DISTINCT Make FROM Vehicle",
        Rows(&[
            r#"{"Make": "Audi"}"#,
            r#"{"Make": "Ducati"}"#,
            r#"{"Make": "Ford"}"#,
            r#"{"Make": "Tesla"}"#,
            r#"{"Make": "sym"}"#,
        ]),
    ),
    ("UPDATE Vehicle SET Make = 'Mercedes' WHERE VIN = '1C4'", Rows(&[r#"{"documentId": "ID"}"#])),
    (
        "UPDATE Vehicle AS v BY id SET v.Color = 'Red', v.Year = 2019 WHERE v.VIN = '1C4'",
        Rows(&[r#"{"documentId": "ID"}"#]),
    ),
    (
        "UPDATE Vehicle AS v SET v.Owners.PrimaryOwner.PersonId = 'z' WHERE v.VIN = '1N4'",
        Rows(&[r#"{"documentId": "ID"}"#]),
    ),
    (
        "UPDATE Vehicle AS v INSERT INTO v.Owners.SecondaryOwners VALUE {'PersonId': 'd'} WHERE v.VIN = '1N4'",
        Rows(&[r#"{"documentId": "ID"}"#]),
    ),
    ("UPDATE Vehicle AS v REMOVE v.Owners.SecondaryOwners[0] WHERE v.VIN = '1N4'", Rows(&[r#"{"documentId": "ID"}"#])),
    ("UPDATE Vehicle SET Make = 'x' WHERE VIN = 'nobody'", Rows(&[])),
    ("FROM Vehicle AS v WHERE v.VIN = '1N4' SET v.Make = 'BMW'", Rows(&[r#"{"documentId": "ID"}"#])),
    (
        "FROM Vehicle AS v WHERE v.VIN = '1N4' INSERT INTO v.Owners.SecondaryOwners VALUE {'PersonId': 'e'} AT 0",
        Rows(&[r#"{"documentId": "ID"}"#]),
    ),
    ("FROM Vehicle AS v WHERE v.VIN = '1N4' INSERT INTO v VALUE 'mint' AT 'State'", Rows(&[r#"{"documentId": "ID"}"#])),
    ("FROM Vehicle AS v WHERE v.VIN = '1N4' REMOVE v.State", Rows(&[r#"{"documentId": "ID"}"#])),
    (
        "FROM Vehicle AS v, v.Owners.SecondaryOwners AS s WHERE v.VIN = '1N4' AND s.PersonId = 'c' SET s.PersonId = 'cc'",
        Rows(&[r#"{"documentId": "ID"}"#]),
    ),
    ("FROM Vehicle BY vid WHERE vid = 'x' SET Make = 'y'", Rows(&[])),
    (
        "SELECT VALUE v.Owners FROM Vehicle AS v WHERE v.VIN = '1N4'",
        Rows(&[
            r#"{"PrimaryOwner": {"PersonId": "z"}, "SecondaryOwners": [{"PersonId": "e"}, {"PersonId": "cc"}, {"PersonId": "d"}]}"#,
        ]),
    ),
    ("FROM Vehicle AS v WHERE v.VIN = '1HV' REMOVE v", Rows(&[r#"{"documentId": "ID"}"#])),
    ("DELETE FROM Vehicle AS v WHERE v.VIN = '3HG'", Rows(&[r#"{"documentId": "ID"}"#])),
    ("DELETE FROM Vehicle BY id WHERE id = 'x'", Rows(&[])),
    ("DELETE FROM Nowhere", Error("42P01", r#"no such table: "Nowhere""#)),
    (
        "SELECT * FROM _ql_committed_Vehicle AS c WHERE c.data.VIN = 'KM8'",
        Rows(&[
            r#"{"blockAddress": {"strandId": "ID", "sequenceNo": 6}, "hash": "HASH", "data": {"VIN": "KM8", "Make": "Tesla", "Year": 2015}, "metadata": {"id": "ID", "version": 0, "txTime": "TIME", "txId": "ID"}}"#,
        ]),
    ),
    ("SELECT VALUE c.metadata.version FROM _ql_committed_Vehicle AS c WHERE c.data.VIN = '1N4'", Rows(&["8"])),
    (
        "SELECT metadata.version FROM history(Vehicle) AS h WHERE h.data.VIN = '1C4'",
        Rows(&[r#"{"version": 0}"#, r#"{"version": 1}"#, r#"{"version": 2}"#]),
    ),
    (
        "SELECT h.data FROM history(Vehicle) AS h WHERE h.metadata.version = 1 AND h.data IS MISSING",
        Rows(&["{}", "{}"]),
    ),
    ("SELECT COUNT(*) FROM history(Vehicle, `2019-01-01T`, `2019-02-01T`)", Rows(&[r#"{"_1": 0}"#])),
    ("SELECT COUNT(*) FROM history(Vehicle, `2019-01-01T`)", Rows(&[r#"{"_1": 17}"#])),
    (
        "SELECT COUNT(*) FROM history(Vehicle, `2019-01-01T`, `2999-01-01T`)",
        Error("22023", "the time lies in the future: what was so then is not known yet"),
    ),
    ("SELECT COUNT(*) FROM history(Nowhere)", Error("42P01", r#"no such table: "Nowhere""#)),
    (
        "SELECT name, status FROM information_schema.user_tables",
        Rows(&[
            r#"{"name": "Person", "status": "ACTIVE"}"#,
            r#"{"name": "Vehicle", "status": "ACTIVE"}"#,
            r#"{"name": "Übung", "status": "ACTIVE"}"#,
        ]),
    ),
    (
        "SELECT VALUE i.expr FROM information_schema.user_tables AS t, t.indexes AS i",
        Rows(&[r#""[VIN, Make]""#, r#""[VIN]""#]),
    ),
    (
        "SELECT VALUE i.status FROM information_schema.user_tables AS t, t.indexes AS i",
        Rows(&[r#""ONLINE""#, r#""ONLINE""#]),
    ),
    (
        "SELECT VALUE name FROM information_schema.user_tables WHERE status = 'ACTIVE'",
        Rows(&[r#""Person""#, r#""Vehicle""#, r#""Übung""#]),
    ),
    ("DROP TABLE Person", Rows(&[r#"{"tableId": "ID"}"#])),
    ("DROP TABLE Person", Error("42P01", r#"relation "Person" does not exist"#)),
    ("SELECT * FROM Person", Error("42P01", r#"no such table: "Person""#)),
    (
        "SELECT name, status FROM information_schema.user_tables",
        Rows(&[
            r#"{"name": "Person", "status": "INACTIVE"}"#,
            r#"{"name": "Vehicle", "status": "ACTIVE"}"#,
            r#"{"name": "Übung", "status": "ACTIVE"}"#,
        ]),
    ),
    (
        r#"UNDROP TABLE "0000000000000000000000""#,
        Error("42P01", r#"there is no table with the id "0000000000000000000000""#),
    ),
    (
        r#"DROP INDEX "0000000000000000000000" ON Vehicle WITH (purge = true)"#,
        Error("42704", r#"index "0000000000000000000000" does not exist"#),
    ),
    (
        r#"EXEC REDACT_REVISION `{strandId:"0000000000000000000000",sequenceNo:1}`, '0000000000000000000000', '0000000000000000000000'"#,
        Error("22023", "strand 0000000000000000000000 is not of this ledger"),
    ),
    ("EXEC NOTHING 1", Error("0A000", "EXEC nothing is not supported")),
    ("SELECT", Error("42601", "syntax error at end of input")),
    ("SELECT * FROM Vehicle WHERE", Error("42601", "syntax error at end of input")),
    ("SELECT * FROM Nowhere", Error("42P01", r#"no such table: "Nowhere""#)),
    ("SELECT nothing(1) FROM Vehicle", Error("42883", "function nothing(ion) does not exist")),
    ("SELECT VALUE AVG(v.Year) FROM Vehicle AS v", Rows(&["2017.0000000000000000"])),
    ("SELECT VALUE SIZE(v.Owners.SecondaryOwners) FROM Vehicle AS v WHERE v.VIN = '1N4'", Rows(&["3"])),
    ("SELECT VALUE SUM(v.Year) FROM Vehicle AS v", Rows(&["4034"])),
    ("SELECT VALUE COALESCE(v.Nothing, v.n, 'x') FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&[r#""x""#])),
    ("SELECT VALUE NULLIF(v.VIN, 'KM8') FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["null"])),
    (
        "SELECT VALUE CASE WHEN v.Year > 2016 THEN 'new' ELSE 'old' END FROM Vehicle AS v WHERE v.VIN = 'KM8'",
        Rows(&[r#""old""#]),
    ),
    ("SELECT VALUE DATE_ADD(year, 5, `2010-01-01T`) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&[r#""2015-01-01""#])),
    ("SELECT VALUE DATE_DIFF(day, `2010-01-01T`, `2010-01-03T`) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["2"])),
    ("SELECT VALUE EXTRACT(month FROM `2010-03-01T`) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["3"])),
    ("SELECT VALUE CHAR_LENGTH('abc') FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["3"])),
    ("SELECT VALUE CHARACTER_LENGTH(v.Nothing) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["null"])),
    (
        "SELECT VALUE UPPER(LOWER('aB')) || TRIM('  x ') || SUBSTRING('12345', 2, 3) FROM Vehicle AS v WHERE v.VIN = 'KM8'",
        Rows(&[r#""ABx234""#]),
    ),
    ("SELECT VALUE TRIM(leading 'x' FROM 'xxab') FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&[r#""ab""#])),
    (
        "SELECT VALUE TO_STRING(`1969-07-20T20:18Z`, 'MMMM d, y') FROM Vehicle AS v WHERE v.VIN = 'KM8'",
        Rows(&[r#""July 20, 1969""#]),
    ),
    (
        "SELECT VALUE TO_TIMESTAMP('2007-02-23T12:14:33.079-08:00') FROM Vehicle AS v WHERE v.VIN = 'KM8'",
        Rows(&[r#""2007-02-23T12:14:33.079-08:00""#]),
    ),
    ("SELECT VALUE TXID() FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&[r#""ID""#])),
    ("SELECT VALUE UTCNOW() IS NULL FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["false"])),
    ("SELECT VALUE CAST('7' AS int) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["7"])),
    ("SELECT VALUE CAST('a' AS boolean) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["false"])),
    ("SELECT VALUE CAST('true' AS boolean) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["true"])),
    ("SELECT VALUE CAST(0 AS boolean) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["false"])),
    ("SELECT VALUE CAST(null AS int) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["null"])),
    ("SELECT CAST(v.Nothing AS int) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["{}"])),
    (
        "SELECT VALUE CAST('abc' AS int) FROM Vehicle AS v WHERE v.VIN = 'KM8'",
        Error("42846", "cannot convert string to INT"),
    ),
    (
        "SELECT VALUE CAST(1 AS null) FROM Vehicle AS v WHERE v.VIN = 'KM8'",
        Error("42846", "cannot convert int to NULL"),
    ),
    ("SELECT VALUE CAST(1.5 AS string) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&[r#""1.5""#])),
    ("SELECT VALUE CAST('2019-01-01T' AS timestamp) FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&[r#""2019-01-01""#])),
    ("SELECT VALUE 7 % 4 FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["3"])),
    ("SELECT VALUE 1 / 0 FROM Vehicle AS v WHERE v.VIN = 'KM8'", Error("22012", "division by zero")),
    ("SELECT VALUE v.VIN FROM Vehicle AS v WHERE v.VIN LIKE 'K%'", Rows(&[r#""KM8""#])),
    ("SELECT VALUE v.VIN FROM Vehicle AS v WHERE v.Year BETWEEN 2014 AND 2016", Rows(&[r#""KM8""#])),
    (
        "SELECT VALUE v.VIN FROM Vehicle AS v WHERE NOT v.Year < 2016 OR v.VIN != 'x' AND v.Year <> 2015",
        Rows(&[r#""1C4""#]),
    ),
    ("SELECT VALUE v.VIN FROM Vehicle AS v WHERE v.Year = '2015'", Rows(&[])),
    ("SELECT VALUE v.VIN FROM Vehicle AS v WHERE v.Year = 2015.0", Rows(&[r#""KM8""#])),
    ("SELECT VALUE `{a: 1}` = {'a': 1} FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["true"])),
    ("SELECT VALUE << 1, 2 >> FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["[1, 2]"])),
    ("SELECT VALUE v.Year IS INT FROM Vehicle AS v WHERE v.VIN = 'KM8'", Rows(&["true"])),
];

/// Ids, times and hashes replaced by their names.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-:.+/=".contains(c))).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        out.push_str(match word {
            _ if word.len() == 22 && word.chars().all(|c| c.is_ascii_alphanumeric()) => "ID",
            _ if word.len() == 44 && word.ends_with('=') => "HASH",
            _ if word.len() == 24 && word.ends_with('Z') && word.contains("-") && word.starts_with("20") => "TIME",
            _ => word,
        });
        let mut characters = after.chars();
        if let Some(c) = characters.next() {
            out.push(c);
        }
        rest = characters.as_str();
    }
    out
}

fn run(session: &mut Session, text: &str) -> Result<Vec<String>, String> {
    match told(session, text) {
        Ok(mut rows) => {
            rows.pop();
            let mut rows: Vec<String> = rows.iter().map(|row| plain(row)).collect();
            rows.sort();
            Ok(rows)
        }
        Err(error) => Err(format!("{} {}", error.code.as_str(), error.message)),
    }
}

#[test]
fn every_statement_form_answers_and_refuses_as_qldb_did() {
    let memory = Memory::new(1);
    let mut session = Session::over(memory.database.clone(), clerk(Dialect::PartiQl));
    let mut wrong = Vec::new();
    for (text, expected) in CASES {
        let found = run(&mut session, text);
        let holds = match (&found, expected) {
            (Ok(rows), Rows(expected)) => rows == expected,
            (Err(error), Error(code, part)) => error.starts_with(code) && error.contains(part),
            _ => false,
        };
        if !holds {
            wrong.push(format!("{text}\n    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
