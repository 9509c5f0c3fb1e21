//! psql's describing commands: each answers, with an empty list where there is nothing of the kind.

use crate::harness::Server;

/// Every `\\d` command of psql 15 and its kin, with the words after which it lists more.
const COMMANDS: &[&str] = &[
    "\\d",
    "\\d p",
    "\\d p_pkey",
    "\\d pg_class",
    "\\d information_schema.tables",
    "\\dS",
    "\\dA",
    "\\dAc",
    "\\dAf",
    "\\dAo",
    "\\dAp",
    "\\da",
    "\\db",
    "\\dc",
    "\\dC",
    "\\dconfig",
    "\\dd",
    "\\dD",
    "\\ddp",
    "\\dE",
    "\\des",
    "\\det",
    "\\deu",
    "\\dew",
    "\\df",
    "\\dF",
    "\\dFd",
    "\\dFp",
    "\\dFt",
    "\\dg",
    "\\di",
    "\\dl",
    "\\dL",
    "\\dm",
    "\\dn",
    "\\do",
    "\\dO",
    "\\dp",
    "\\dP",
    "\\dPi",
    "\\dPt",
    "\\drds",
    "\\dRp",
    "\\dRs",
    "\\ds",
    "\\dt",
    "\\dT",
    "\\du",
    "\\dv",
    "\\dx",
    "\\dX",
    "\\dy",
    "\\l",
    "\\lo_list",
    "\\z",
];

#[test]
fn every_describing_command_answers() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE p (id int PRIMARY KEY, name text NOT NULL DEFAULT 'x', CHECK (id > 0))");
    let mut script = String::new();
    for command in COMMANDS {
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        for form in if name == "\\z" { &[""][..] } else { &["", "+"] } {
            script.push_str(&format!("\\echo {name}{form} {rest}\n{name}{form} {rest}\n"));
        }
    }
    let output = server.psql_with(&[], &script);
    let (answers, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!errors.contains("ERROR") && !errors.contains("invalid command"), "{errors}");
    assert!(answers.contains("Table \"public.p\"") && answers.contains("\"p_id_check\" CHECK (id > 0)"), "{answers}");
    assert!(answers.contains("List of tablespaces") && answers.contains("pg_default"), "{answers}");
}

#[test]
fn a_function_or_view_that_is_not_there_is_an_error_of_its_own() {
    let server = Server::start();
    server.psql_ok("CREATE TABLE p (id int PRIMARY KEY)");
    let error = server.psql_error("\\sf nowhere\n\\sv p\n\\sf now");
    assert!(error.contains("function \"nowhere\" does not exist") && error.contains("is not a view"), "{error}");
    assert!(!error.contains("not supported") && !error.contains("internal"), "{error}");
}

#[test]
fn regclass_is_a_name_on_the_wire() {
    let server = Server::start();
    let answer = server.psql_ok(
        "CREATE TABLE p (id int PRIMARY KEY);
         SELECT 'p'::regclass, 'p'::regclass::oid = (SELECT oid FROM pg_class WHERE relname = 'p'), 23::regtype;",
    );
    assert_eq!(answer, "p|t|integer");
}
