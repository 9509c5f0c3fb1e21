//! `ledgerstone shell -c`: what programs that read its rows get.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::harness::{Server, binary};

fn shell(server: &Server, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(binary())
        .args(["shell", "--connect", &server.postgres.to_string()])
        .args(arguments)
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).expect("UTF-8"))
}

#[test]
fn rows_keep_the_types_of_their_columns() {
    let server = Server::start();
    let rows = "SELECT 7 AS i, 12345678901234567.890 AS d, 0.5::float8 AS f, true AS b, '7' AS t, NULL AS n, \
                '{\"k\": [1.50]}'::jsonb AS j";
    let json = r#"{"i": 7, "d": 12345678901234567.890, "f": 0.5, "b": true, "t": "7", "n": null, "j": {"k": [1.50]}}"#;
    assert_eq!(shell(&server, &["--format", "json", "-c", rows]), (true, format!("{json}\n")));
    let ion = r#"{i:7,d:12345678901234567.890,f:5e-1,b:true,t:"7",n:null,j:{k:[1.50]}}"#;
    assert_eq!(shell(&server, &["--format", "ion", "-c", rows]), (true, format!("{ion}\n")));
    // Documents as they are, and statements with and without rows side by side.
    for text in ["CREATE TABLE p", "INSERT INTO p VALUE {'name': 'Ada', 'age': 36, 'paid': 1.50}"] {
        let (ok, said) = shell(&server, &["--partiql", "-c", text]);
        assert!(ok, "{said}");
    }
    let of = |format, text| shell(&server, &["--partiql", "--format", format, "-c", text]).1;
    assert_eq!(of("json", "SELECT name, age, paid FROM p"), "{\"name\": \"Ada\", \"age\": 36, \"paid\": 1.50}\n");
    assert_eq!(of("ion", "SELECT name, age, paid FROM p"), "{name:\"Ada\",age:36,paid:1.50}\n");
    assert_eq!(of("ion", "SELECT VALUE p FROM p AS p"), "{name:\"Ada\",age:36,paid:1.50}\n");
    let (ok, said) = shell(&server, &["--format", "json", "-c", "SELECT nothing FROM nowhere"]);
    assert!(!ok && said.contains("ERROR 42P01") && said.contains('^'), "{said}");
}

#[test]
fn a_table_in_a_pipe_is_whole_whatever_the_width_of_a_terminal() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE t (a text); INSERT INTO t VALUES ('short')");
    let long = "é".repeat(300);
    let query = format!("SELECT a, '{long}' AS b, 7 AS c FROM t");
    for columns in ["40", "80", "none"] {
        let output = Command::new(binary())
            .args(["shell", "--connect", &server.postgres.to_string(), "-c", &query])
            .env("COLUMNS", columns)
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(said.contains(&format!(" short │ {long} │ 7\n(1 row)\n")), "{said}");
    }
    assert_eq!(shell(&server, &["-c", "UPDATE t SET a = 'b'"]), (true, "ok, 1 row\n".to_owned()));
    assert_eq!(shell(&server, &["-c", "DELETE FROM t WHERE a = 'c'"]), (true, "ok, 0 rows\n".to_owned()));
}

#[test]
fn a_last_statement_without_a_semicolon_is_run_too() {
    let server = Server::start();
    let mut child = Command::new(binary())
        .args(["shell", "--connect", &server.postgres.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("it runs");
    let text = b"CREATE TABLE t (a int);\nINSERT INTO t\n  VALUES (1);\nINSERT INTO t VALUES (2)";
    child.stdin.take().expect("a pipe").write_all(text).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(server.psql_ok("SELECT count(*) FROM t"), "2");
}

#[test]
fn a_document_is_verified_where_it_was_asked_for() {
    let server = Server::start();
    for text in ["CREATE TABLE Vehicle", "INSERT INTO Vehicle {'VIN': '1N4AL11D75C109151', 'Make': 'Audi'}"] {
        let (ok, said) = shell(&server, &["--partiql", "-c", text]);
        assert!(ok, "{said}");
    }
    let of = |arguments: &[&str]| {
        let (ok, said) = shell(&server, arguments);
        (ok, said.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    let (_, found) = of(&["--partiql", "--format", "ion", "-c", "SELECT id FROM Vehicle BY id"]);
    let id = found.split('"').nth(1).expect("an id").to_owned();
    for partiql in [&["--partiql"][..], &[]] {
        for command in [format!("\\verify Vehicle {id}"), format!("verify {id}"), format!("\\verify Vehicle {id} 0;")] {
            let (ok, said) = of(&[partiql, &["-c", &command]].concat());
            assert!(
                ok && said.contains("Audi") && said.contains("stand in the ledger that signs with this key"),
                "{said}"
            );
        }
    }
    // With a key from elsewhere it is that one that counts.
    let other = Server::start();
    let (_, vkey) = shell(&other, &["--format", "json", "-c", "SELECT ledgerstone_vkey() AS k"]);
    let vkey = vkey.split('"').nth(3).expect("a key").to_owned();
    let (ok, said) = of(&["--key", &vkey, "-c", &format!("\\verify Vehicle {id}")]);
    assert!(!ok && !said.contains("stand in the ledger"), "{said}");
    let (ok, said) = of(&["-c", "\\verify Vehicle 0000000000000000000000"]);
    assert!(!ok && said.contains("has no document"), "{said}");
    assert!(!of(&["-c", "\\nonsense"]).0);
}
