//! TLS and passwords on the PostgreSQL port, with psql as the client and certificates made here by openssl. Without openssl
//! the tests are skipped, and say so.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::harness::{Server, binary};

/// A certificate authority, a server certificate it signed for `localhost` and 127.0.0.1, and a stranger's authority.
struct Certificates {
    directory: tempfile::TempDir,
}

impl Certificates {
    /// `None`: there is no openssl.
    fn make() -> Option<Certificates> {
        if Command::new("openssl").arg("version").output().is_err() {
            eprintln!("skipped: openssl is not installed");
            return None;
        }
        let made = Certificates { directory: tempfile::tempdir().unwrap() };
        for (name, subject) in [("ca", "/CN=a test authority"), ("stranger", "/CN=another authority")] {
            made.openssl(
                &format!(
                    "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj SUBJECT \
                 -keyout {name}.key -out {name}.crt"
                ),
                subject,
            );
        }
        made.openssl("req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj SUBJECT -keyout server.key -out server.csr", "/CN=localhost");
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n";
        std::fs::write(made.path("names"), names).unwrap();
        made.openssl(
            "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
            "",
        );
        Some(made)
    }

    fn openssl(&self, arguments: &str, subject: &str) {
        let arguments = arguments.split_whitespace().map(|word| if word == "SUBJECT" { subject } else { word });
        let output = Command::new("openssl").args(arguments).current_dir(self.directory.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

fn users_file(directory: &Path) -> PathBuf {
    let mut child = Command::new(binary())
        .args(["passwd", "ada"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"right horse\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let path = directory.join("users");
    std::fs::write(&path, output.stdout).unwrap();
    path
}

fn psql(server: &Server, options: &str, password: &str) -> Output {
    let port = server.postgres.port();
    Command::new("psql")
        .args(["-X", "-At", "-w", "-c", "SELECT current_user"])
        .arg("-d")
        .arg(format!("port={port} user=ada dbname=main connect_timeout=20 {options}"))
        .env("PGPASSWORD", password)
        .env_remove("PGSSLMODE")
        .output()
        .expect("psql is installed")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn psql_verifies_the_certificate_and_proves_its_password() {
    let Some(certificates) = Certificates::make() else { return };
    let users = users_file(certificates.directory.path());
    let (certificate, key) = (certificates.text("server.crt"), certificates.text("server.key"));
    let users = users.display().to_string();
    let server = Server::start_with(&["--tls-cert", &certificate, "--tls-key", &key, "--users", &users]);
    let ca = certificates.text("ca.crt");
    let verified = format!("host=localhost hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}");

    let output = psql(&server, &verified, "right horse");
    assert_eq!(said(&output).trim(), "ada");
    let wrong = said(&psql(&server, &verified, "wrong horse"));
    assert!(wrong.contains("password authentication failed for user \"ada\""), "{wrong}");
    let unknown = said(&psql(&server, &verified.replace("host=", "user=eve host="), "right horse"));
    assert!(unknown.contains("password authentication failed"), "{unknown}");
    let none = said(&psql(&server, &verified, ""));
    assert!(none.contains("password"), "{none}");

    let stranger = certificates.text("stranger.crt");
    let refused = said(&psql(&server, &verified.replace(&ca, &stranger), "right horse"));
    assert!(refused.contains("certificate verify failed"), "{refused}");
    let misnamed = "host=elsewhere.test hostaddr=127.0.0.1 sslmode=verify-full sslrootcert=".to_owned() + &ca;
    let refused = said(&psql(&server, &misnamed, "right horse"));
    assert!(refused.contains("does not match host name"), "{refused}");
    // Channel binding is not offered, and asking for it is refused by the client, not passed over.
    let bound = said(&psql(&server, &format!("{verified} channel_binding=require"), "right horse"));
    assert!(bound.contains("channel binding"), "{bound}");
}

#[tokio::test]
async fn a_wrong_password_is_28p01() {
    let directory = tempfile::tempdir().unwrap();
    let users = users_file(directory.path()).display().to_string();
    let server = Server::start_with(&["--users", &users]);
    let connect = async |user: &str, password: &str| {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(server.postgres.port()).user(user).password(password).dbname("main");
        config.connect(tokio_postgres::NoTls).await.map(|_| ())
    };
    connect("ada", "right horse").await.unwrap();
    for (user, password) in [("ada", "right horsf"), ("ada", ""), ("eve", "right horse")] {
        let error = connect(user, password).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("28P01"), "{user}: {error}");
    }
}

#[tokio::test]
async fn the_http_port_asks_for_the_same_password() {
    let directory = tempfile::tempdir().unwrap();
    let users = users_file(directory.path()).display().to_string();
    let server = Server::start_with(&["--users", &users]);
    let client = ledgerstone_client::Client::connect(&format!("http://{}", server.http)).await.unwrap();
    for stranger in [
        client.clone(),
        client.clone().with_password("ada", "wrong horse").unwrap(),
        client.clone().with_password("eve", "right horse").unwrap(),
    ] {
        let error = stranger.ledgers().await.unwrap_err();
        assert!(error.to_string().contains("password"), "{error}");
        assert!(stranger.session("main").await.is_err());
    }
    let ada = client.with_password("ada", "right horse").unwrap();
    assert_eq!(ada.ledgers().await.unwrap().len(), 1);
    let mut session = ada.session("main").await.unwrap();
    session.execute("SELECT 1", &[]).await.unwrap();
    let backup = |password: &str, name: &str| {
        let mut command = Command::new(binary());
        command.args(["backup", "--user", "ada", "--connect", &server.http.to_string()]);
        command.arg(directory.path().join(name)).env("PGPASSWORD", password).output().unwrap()
    };
    let refused = backup("wrong horse", "refused");
    assert!(refused.status.code() == Some(2) && said(&refused).contains("password"), "{}", said(&refused));
    let made = backup("right horse", "made");
    assert!(made.status.success(), "{}", said(&made));
}

#[test]
fn an_address_others_reach_needs_tls_and_passwords() {
    let Some(certificates) = Certificates::make() else { return };
    let users = users_file(certificates.directory.path()).display().to_string();
    let (certificate, key) = (certificates.text("server.crt"), certificates.text("server.key"));
    let data = certificates.text("data");
    let keys = certificates.text("keys");
    let serve = |more: &[&str]| {
        let output =
            Command::new(binary()).args(["serve", "--data", &data, "--keys", &keys]).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        said(&output)
    };
    let open = ["--postgres", "0.0.0.0:0", "--http", "127.0.0.1:0"];
    for more in [&[][..], &["--users", &users], &["--tls-cert", &certificate, "--tls-key", &key]] {
        let text = serve(&[&open, more].concat());
        assert!(text.contains("--users FILE, --tls-cert FILE and --tls-key FILE"), "{text}");
    }
    let everything = ["--users", &users, "--tls-cert", &certificate, "--tls-key", &key];
    let text = serve(&[&["--postgres", "127.0.0.1:0", "--http", "0.0.0.0:0"][..], &everything].concat());
    assert!(text.contains("--http 0.0.0.0:0 can be reached from other machines"), "{text}");
    let text = serve(&["--tls-cert", &certificate]);
    assert!(text.contains("belong together"), "{text}");
    assert!(!Path::new(&data).exists(), "nothing was made before the refusal");
}

#[test]
fn a_server_others_reach_refuses_plain_connections() {
    let Some(certificates) = Certificates::make() else { return };
    let users = users_file(certificates.directory.path()).display().to_string();
    let (certificate, key) = (certificates.text("server.crt"), certificates.text("server.key"));
    let everything = ["--users", &users, "--tls-cert", &certificate, "--tls-key", &key];
    let server = Server::start_everywhere(&everything);
    let plain = said(&psql(&server, "host=127.0.0.1 sslmode=disable", "right horse"));
    assert!(plain.contains("this server accepts only TLS connections"), "{plain}");
    let ca = certificates.text("ca.crt");
    let verified = format!("host=localhost hostaddr=127.0.0.1 sslmode=verify-full sslrootcert={ca}");
    assert_eq!(said(&psql(&server, &verified, "right horse")).trim(), "ada");
}

#[test]
fn files_that_others_can_use_are_refused_at_the_start_with_what_to_run() {
    let Some(certificates) = Certificates::make() else { return };
    let users = users_file(certificates.directory.path()).display().to_string();
    let (certificate, key) = (certificates.text("server.crt"), certificates.text("server.key"));
    let (policy, access, keys) = (certificates.text("policy"), certificates.text("access"), certificates.text("keys"));
    std::fs::write(&policy, "{}").unwrap();
    std::fs::write(&access, "AKIDTEST 0123456789abcdef clerk\n").unwrap();
    std::fs::create_dir(&keys).unwrap();
    let set_mode = |path: &str, mode: u32| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    let good = [(&users, 0o640), (&key, 0o600), (&policy, 0o644), (&access, 0o600), (&keys, 0o700)];
    good.iter().for_each(|(path, mode)| set_mode(path, *mode));
    let serve = |data: &str| {
        let mut command = Command::new(binary());
        command.args(["serve", "--data", data, "--keys", &keys, "--postgres", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        command.args(["--users", &users, "--tls-cert", &certificate, "--tls-key", &key, "--policy", &policy]);
        command.args(["--access-keys", &access]);
        command
    };
    // Root's secrets may be read by a group.
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&key).unwrap()) == 0;
    let secret = if root { "chmod 640" } else { "chmod 600" };
    for (path, good, bad, run) in [
        (&key, 0o600, 0o644, secret),
        (&key, 0o600, 0o660, secret),
        (&access, 0o600, 0o604, secret),
        (&users, 0o640, 0o660, "chmod go-w"),
        (&users, 0o640, 0o646, "chmod go-w"),
        (&policy, 0o644, 0o664, "chmod go-w"),
        (&policy, 0o644, 0o666, "chmod go-w"),
        (&keys, 0o700, 0o777, "chmod go-w"),
    ] {
        set_mode(path, bad);
        let output = serve(&certificates.text("data")).output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&format!("(mode {bad:04o}); run: {run} {path}")), "{text}");
        set_mode(path, good);
    }
    // And as they should be, it starts.
    let mut child = serve(&certificates.text("data")).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 11];
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut ready).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(&ready, b"Ledgerstone");
}
