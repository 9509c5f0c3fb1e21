//! `ledgerstone demo`: from nothing to a verified proof, and what happens to those who rewrite the past.
//!
//! | module | what lives there |
//! |---|---|
//! | `story` | the steps, in order |
//! | `load` | the sample registry, through the PostgreSQL wire |
//! | `forge` | somebody who rewrites a ledger without leaving a contradiction in it |
//! | `process` | the server, and the commands that check, as processes of their own |

mod forge;
mod load;
pub(super) mod process;
mod story;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ledgerstone_sample_data::Scale;

use super::terminal::Style;
use story::Story;

#[derive(Debug, clap::Args)]
#[command(after_help = "Everything happens in one folder, which is removed at the end unless --keep names it.")]
pub struct Demo {
    /// Load more than 50,000 revisions.
    #[arg(long, conflicts_with = "vehicles")]
    scale: bool,
    /// Use this folder, which must not exist yet, and keep it.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// How many vehicles to register.
    #[arg(long, value_name = "N", default_value_t = 150, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    vehicles: u32,
}

impl Demo {
    pub fn run(self) -> ExitCode {
        match self.tell() {
            Ok(()) => ExitCode::SUCCESS,
            Err(what) => {
                eprintln!("\nledgerstone demo: {what}");
                ExitCode::from(2)
            }
        }
    }

    fn tell(&self) -> Result<(), String> {
        let folder = Folder::make(self.keep.as_deref())?;
        let scale = if self.scale {
            Scale::LARGE
        } else {
            Scale {
                people: (self.vehicles / 3 * 2).max(2),
                vehicles: self.vehicles,
                changes: self.vehicles.saturating_mul(8) / 3,
            }
        };
        let binary = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let story = Story::new(binary, folder.path.clone(), self.keep.is_some(), Style::stdout());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start: {error}"))?;
        runtime.block_on(story.tell(scale))
    }
}

/// The folder of the demonstration; removed when dropped, unless it is kept.
pub(super) struct Folder {
    pub path: PathBuf,
    kept: bool,
}

impl Folder {
    pub fn make(keep: Option<&Path>) -> Result<Folder, String> {
        let path = match keep {
            Some(path) => std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?,
            None => std::env::temp_dir().join(format!("ledgerstone-demo-{}", std::process::id())),
        };
        if path.exists() {
            return Err(format!("{} exists already; name a folder that does not", path.display()));
        }
        std::fs::create_dir_all(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        Ok(Folder { path, kept: keep.is_some() })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.kept {
            // Best effort: it is among temporary files.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
