//! The demonstration, step by step. Each shows the command or the SQL that it runs, so that anybody can repeat it, and
//! each check is a process of its own that knows nothing but the files it is given.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ledgerstone_journal::keys::read_key;
use ledgerstone_sample_data::Scale;
use tokio_postgres::Client;

use super::forge::{Lie, forge};
use super::load::{Loaded, load};
use super::process::{self, Server, copy_directory};
use crate::cli::table::Table;
use crate::cli::terminal::{Progress, Style, colours, say, thousands, width};
use crate::cli::verify::ledger_id;
use crate::cli::wire;

/// How many steps there are.
const STEPS: usize = 10;
/// Revisions of a history that are shown.
const HISTORY_ROWS_MAX: usize = 12;

pub struct Story {
    binary: PathBuf,
    folder: PathBuf,
    kept: bool,
    style: Style,
    step: usize,
    started: Instant,
}

/// The title that the story is about.
struct Title {
    vin: String,
    document: String,
    version: String,
    position: u64,
    table: Option<String>,
    seller: String,
    buyer: String,
}

type Told<T> = Result<T, String>;

impl Story {
    pub fn new(binary: PathBuf, folder: PathBuf, kept: bool, style: Style) -> Story {
        Story { binary, folder, kept, style, step: 0, started: Instant::now() }
    }

    /// All of it.
    pub async fn tell(mut self, scale: Scale) -> Told<()> {
        say!("{}", self.style.bold("Ledgerstone: a vehicle registry that nobody can rewrite unseen."));
        say!("Everything happens in {}", self.folder.display());
        if self.binary.file_name().is_some_and(|name| name == "ledgerstone") {
            say!("ledgerstone is {}", self.binary.display());
        }
        let server = self.start_server()?;
        let address = server.postgres.to_string();
        let client = wire::connect(&address, "main", "clerk").await.map_err(|error| error.to_string())?;
        let loaded = self.load(&client, scale).await?;
        let title = self.transfer(&client, &loaded).await?;
        self.history(&client, &title).await?;
        self.checkpoint(&client).await?;
        self.receipt(&client, &title).await?;
        self.verify_receipt(&title)?;
        drop(client);
        self.export(server)?;
        self.tamper_crudely(&title)?;
        self.tamper_well(&title)?;
        self.end();
        Ok(())
    }

    fn start_server(&mut self) -> Told<Server> {
        self.begin("Start a server: a process of its own, with an empty ledger named main");
        let server = Server::start(&self.binary, &self.folder)?;
        let (data, keys) = (self.shown("data"), self.shown("keys"));
        self.command(&format!("ledgerstone serve --data {data} --keys {keys} --postgres {}", server.postgres));
        self.say(&format!(
            "It listens. While this runs, look in with any PostgreSQL client:\n  psql -h {} -p {} main",
            server.postgres.ip(),
            server.postgres.port()
        ));
        Ok(server)
    }

    async fn load(&mut self, client: &Client, scale: Scale) -> Told<Loaded> {
        self.begin("Load a vehicle registry through the PostgreSQL wire");
        self.sql("CREATE TABLE vehicle_registration (vin text PRIMARY KEY, … owner jsonb NOT NULL);");
        self.sql("INSERT INTO vehicle_registration VALUES (…);  UPDATE …;  DELETE …;");
        let started = Instant::now();
        let loaded = load(client, scale).await?;
        let seconds = started.elapsed().as_secs_f64();
        self.say(&format!(
            "{} revisions of people, licences, vehicles and titles in {} transactions, {seconds:.1} s ({} revisions/s)",
            thousands(loaded.revisions),
            thousands(loaded.transactions),
            thousands((loaded.revisions as f64 / seconds.max(0.001)) as u64)
        ));
        Ok(loaded)
    }

    async fn transfer(&mut self, client: &Client, loaded: &Loaded) -> Told<Title> {
        self.begin("Transfer a title");
        let vin = &loaded.vin;
        let owner = "owner.\"PrimaryOwner\".\"PersonId\"";
        let seller = value(client, &format!("SELECT {owner} FROM vehicle_registration WHERE vin = '{vin}'")).await?;
        let seller = seller.trim_matches('"').to_owned();
        let buyer = if seller == "P0000001" { "P0000000" } else { "P0000001" }.to_owned();
        debug_assert!(loaded.person_count >= 2);
        let update = format!(
            "UPDATE vehicle_registration\n   SET owner = '{{\"PrimaryOwner\": {{\"PersonId\": \"{buyer}\"}}, \"SecondaryOwners\": []}}', \
             pending_penalty = 0\n WHERE vin = '{vin}'"
        );
        self.sql(&format!("{update};"));
        client.batch_execute(&update).await.map_err(|error| wire::explain(&error, &update))?;
        let commit = value(client, "SHOW ledgerstone.last_commit").await?;
        self.say(&format!("{seller} sold it to {buyer}. The server answers with the place in the ledger:\n  {commit}"));
        let find = |what: &str| format!("SELECT {what} FROM vehicle_registration WHERE vin = '{vin}'");
        let position = value(client, &find("_ql_position")).await?;
        Ok(Title {
            document: value(client, &find("_ql_id")).await?,
            version: value(client, &find("_ql_version")).await?,
            position: position.parse().map_err(|_| format!("{position} is no position"))?,
            table: table_id(client).await,
            vin: vin.clone(),
            seller,
            buyer,
        })
    }

    async fn history(&mut self, client: &Client, title: &Title) -> Told<()> {
        self.begin("Show its history: every revision is kept");
        let text = format!(
            "SELECT _ql_version AS version, _ql_txtime AS time, _ql_block AS block,\n       \
             owner.\"PrimaryOwner\".\"PersonId\" AS owner, pending_penalty, valid_to\n  \
             FROM history(vehicle_registration) AS h WHERE vin = '{}' ORDER BY _ql_version",
            title.vin
        );
        self.sql(&format!("{text};"));
        let answers = wire::query(client, &text).await.map_err(|error| wire::explain(&error, &text))?;
        let mut answer = answers.into_iter().last().unwrap_or_default();
        let left_out = answer.rows.len().saturating_sub(HISTORY_ROWS_MAX);
        answer.rows.drain(..left_out);
        if left_out > 0 {
            self.say(&format!("the last {HISTORY_ROWS_MAX} of {} revisions:", left_out + HISTORY_ROWS_MAX));
        }
        // `say` puts five spaces before it.
        self.say(&Table::of(&answer).to_text(width().map(|width| width.saturating_sub(5))));
        Ok(())
    }

    async fn checkpoint(&mut self, client: &Client) -> Told<()> {
        self.begin("Take a checkpoint and the ledger's key, and keep them elsewhere");
        fs::create_dir_all(self.folder.join("auditor")).map_err(|error| error.to_string())?;
        self.sql("SELECT ledgerstone_digest();");
        let note = value(client, "SELECT ledgerstone_digest()").await?;
        self.keep("checkpoint", &note)?;
        self.sql("SELECT ledgerstone_vkey();");
        let vkey = value(client, "SELECT ledgerstone_vkey()").await?;
        self.keep("vkey", &format!("{vkey}\n"))?;
        self.say(note.trim_end());
        self.say(&format!(
            "The size of the ledger, the root of all of it, and a signature. {} plays the auditor's own disk.",
            self.shown("auditor")
        ));
        Ok(())
    }

    async fn receipt(&mut self, client: &Client, title: &Title) -> Told<()> {
        self.begin("Fetch a receipt for the new title");
        let text = format!("SELECT ledgerstone_receipt('vehicle_registration', '{}')", title.vin);
        self.sql(&format!("{text};"));
        let receipt = value(client, &text).await?;
        self.keep("receipt", &format!("{receipt}\n"))?;
        let size = receipt.trim_start_matches("\\x").len() / 2;
        self.say(&format!("{} bytes, kept as {}", thousands(size as u64), self.shown("auditor/receipt")));
        Ok(())
    }

    fn verify_receipt(&mut self, title: &Title) -> Told<()> {
        self.begin("Verify it offline: another process, which has only the auditor's files");
        let mut arguments = vec!["verify".to_owned(), self.shown("auditor/receipt")];
        arguments.extend(self.trusted());
        arguments.extend(["--document".to_owned(), title.document.clone()]);
        arguments.extend(["--version".to_owned(), title.version.clone()]);
        if let Some(table) = &title.table {
            arguments.extend(["--table".to_owned(), table.clone()]);
        }
        self.check(&arguments, 0)
    }

    fn export(&mut self, server: Server) -> Told<()> {
        self.begin("Stop the server, export everything to Parquet, and verify the export");
        server.stop()?;
        let (data, keys, out) = (self.shown("data"), self.shown("keys"), self.shown("export"));
        self.check(&["export", "--data", &data, "--keys", &keys, &out].map(str::to_owned), 0)?;
        let mut arguments = vec!["verify".to_owned(), out];
        arguments.extend(self.trusted());
        self.check(&arguments, 0)
    }

    fn tamper_crudely(&mut self, title: &Title) -> Told<()> {
        self.begin("Tamper with a copy of the journal, crudely: one letter on the disk");
        let copy = self.folder.join("tampered");
        copy_directory(&self.folder.join("data/main"), &copy).map_err(|error| format!("cannot copy: {error}"))?;
        let (file, offset) = flip(&copy.join("journal"), &title.vin)?;
        self.say(&format!("One bit of the vehicle's number is changed, at byte {offset} of {}", self.relative(&file)));
        self.check(&["verify".to_owned(), self.shown("tampered")], 1)
    }

    fn tamper_well(&mut self, title: &Title) -> Told<()> {
        self.begin("Tamper well: rewrite the whole ledger with another owner, and sign it again");
        let data = self.folder.join("data/main");
        let id = ledger_id(&data).ok_or("the ledger's header cannot be read")?;
        let key = read_key(&self.folder.join(format!("keys/{id}.key"))).map_err(|error| error.to_string())?;
        let lie = Lie { position: title.position, from: title.buyer.clone(), to: title.seller.clone() };
        let mut bar = Progress::new("     forging", "blocks");
        let forged = forge(&data, key, &self.folder.join("forged"), &lie, &mut |done| bar.at(done, 0));
        drop(bar);
        let forged = forged.map_err(|error| format!("the forger failed: {error}"))?;
        self.say(&format!(
            "In the forged ledger {} never sold: all {} blocks are written anew, every hash is right,\nand a key of the \
             forger's under the same name signs it: {}",
            title.seller,
            thousands(forged.blocks),
            forged.vkey
        ));
        self.say("Alone it cannot be told from a true one:");
        self.check(&["verify".to_owned(), self.shown("forged")], 0)?;
        self.say("Against the checkpoint that was kept elsewhere it can:");
        let mut arguments = vec!["verify".to_owned(), self.shown("forged")];
        arguments.extend(self.trusted());
        self.check(&arguments, 1)?;
        self.say("And the true one still holds:");
        let mut arguments = vec!["verify".to_owned(), self.shown("data")];
        arguments.extend(self.trusted());
        self.check(&arguments, 0)
    }

    fn end(&self) {
        say!("\n{}", self.style.bold("That was it."));
        let (data, keys) = match self.kept {
            true => (self.shown("data"), self.shown("keys")),
            false => ("ledgerstone-data".to_owned(), "ledgerstone-keys".to_owned()),
        };
        self.say(&format!(
            "Both rewritings were found: the crude one by the journal itself, the other by the kept checkpoint.\n\
             {:.1} s in all.",
            self.started.elapsed().as_secs_f64()
        ));
        let whose = if self.kept { "this ledger" } else { "a ledger of your own" };
        say!("\nGo on with {whose}:");
        self.command(&format!("ledgerstone serve --data {data} --keys {keys}"));
        self.command("psql -h 127.0.0.1 -p 7432 main        # or: ledgerstone shell");
        if !self.kept {
            say!("\n{} is removed; `ledgerstone demo --keep DIR` keeps it.", self.folder.display());
        }
    }

    /// What an auditor trusts.
    fn trusted(&self) -> Vec<String> {
        let kept = |name: &str| self.shown(&format!("auditor/{name}"));
        vec!["--key".to_owned(), kept("vkey"), "--checkpoint".to_owned(), kept("checkpoint")]
    }

    /// Runs a command of this binary, shows it and what it says, and insists on its exit status.
    fn check(&self, arguments: &[String], expected: i32) -> Told<()> {
        self.command(&format!("ledgerstone {}", arguments.join(" ")));
        let output = process::run(&self.binary, arguments, colours())?;
        for line in output.text.lines() {
            say!("{}", format!("     {line}").trim_end());
        }
        self.command(&format!("echo $?   # {}", output.status));
        if output.status == expected {
            return Ok(());
        }
        Err(format!("this should have ended with exit status {expected}, not {}", output.status))
    }

    fn begin(&mut self, what: &str) {
        self.step += 1;
        say!("\n{} {}", self.style.bold(&format!("[{}/{STEPS}]", self.step)), self.style.bold(what));
    }

    fn command(&self, text: &str) {
        say!("   {} {text}", self.style.dim("$"));
    }

    fn sql(&self, text: &str) {
        for (number, line) in text.lines().enumerate() {
            let prompt = if number == 0 { "main=>" } else { "main->" };
            say!("   {} {line}", self.style.dim(prompt));
        }
    }

    fn say(&self, text: &str) {
        text.lines().for_each(|line| say!("{}", format!("     {line}").trim_end()));
    }

    fn keep(&self, name: &str, text: &str) -> Told<()> {
        let path = self.folder.join("auditor").join(name);
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
    }

    fn shown(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder).unwrap_or(path).display().to_string()
    }
}

async fn value(client: &Client, text: &str) -> Told<String> {
    wire::value(client, text).await.map_err(|error| error.to_string())
}

/// The table's id, if the server's catalogue shows it.
async fn table_id(client: &Client) -> Option<String> {
    let text = "SELECT \"tableId\" FROM information_schema.user_tables WHERE name = 'vehicle_registration'";
    value(client, text).await.ok()
}

/// Changes one bit of the last place in the journal that has this text.
fn flip(journal: &Path, text: &str) -> Told<(PathBuf, usize)> {
    let mut segments: Vec<PathBuf> =
        fs::read_dir(journal).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path()).collect();
    segments.sort();
    for segment in segments.into_iter().rev() {
        let mut bytes = fs::read(&segment).map_err(|error| error.to_string())?;
        let found = bytes.windows(text.len()).rposition(|window| window == text.as_bytes());
        if let Some(at) = found
            && let Some(byte) = bytes.get_mut(at)
        {
            *byte ^= 1;
            fs::write(&segment, &bytes).map_err(|error| error.to_string())?;
            return Ok((segment, at));
        }
    }
    Err(format!("{text} is not in the journal"))
}
