//! Who may do what: the question that every statement asks of a ledger in the permissions mode STANDARD, by the names of
//! QLDB's actions, and the policy that answers it ("Standard permissions mode" in QLDB's developer guide).
//!
//! The policy is the server's; here it is only asked. Where there is none, and in ledgers in the mode ALLOW_ALL, whoever
//! has come in may do everything.

use std::sync::Arc;

use ledgerstone_digest::Id;

use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};

/// What someone does to a table or a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Select,
    /// Reads revisions that were superseded.
    HistoryFunction,
    Insert,
    Update,
    Delete,
    Redact,
    CreateTable,
    DropTable,
    UndropTable,
    /// Not in QLDB, which had no columns.
    AlterTable,
    CreateIndex,
    DropIndex,
    /// Opens a session.
    SendCommand,
    /// Reads a revision with its proof, whatever table it is of.
    GetRevision,
    /// Reads a whole block.
    GetBlock,
    GetDigest,
    CreateLedger,
    DescribeLedger,
    ListLedgers,
    UpdateLedger,
    UpdatePermissionsMode,
    DeleteLedger,
    TagResource,
    UntagResource,
    ListTagsForResource,
    StreamJournal,
    DescribeStream,
    CancelStream,
    ListStreams,
    ExportJournal,
    DescribeJournalExport,
    /// Those of all ledgers.
    ListJournalExports,
    ListJournalExportsForLedger,
    Backup,
    RotateKey,
    /// Says that the wall clock is right after it has jumped.
    AcceptClock,
}

/// What it is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    Ledger,
    Table {
        id: Id,
        name: &'a str,
    },
    /// A table that is to be made.
    NewTable,
    /// What is known of all tables.
    Catalogue,
    /// A journal stream.
    Stream {
        id: Id,
    },
    /// A stream that is to be made, or all there are.
    Streams,
}

/// Says who may do what.
pub trait Policy: Send + Sync {
    fn allows(&self, user: &str, ledger: &str, action: Action, resource: Resource<'_>) -> bool;
}

/// A user who may do in a ledger what the policy says.
#[derive(Clone)]
pub struct Permit {
    pub(crate) policy: Arc<dyn Policy>,
    pub(crate) user: Arc<str>,
    pub(crate) ledger: Arc<str>,
}

impl Action {
    /// All there are, in the order of the enumeration.
    pub const ALL: [Action; 36] = [
        Action::Select,
        Action::HistoryFunction,
        Action::Insert,
        Action::Update,
        Action::Delete,
        Action::Redact,
        Action::CreateTable,
        Action::DropTable,
        Action::UndropTable,
        Action::AlterTable,
        Action::CreateIndex,
        Action::DropIndex,
        Action::SendCommand,
        Action::GetRevision,
        Action::GetBlock,
        Action::GetDigest,
        Action::CreateLedger,
        Action::DescribeLedger,
        Action::ListLedgers,
        Action::UpdateLedger,
        Action::UpdatePermissionsMode,
        Action::DeleteLedger,
        Action::TagResource,
        Action::UntagResource,
        Action::ListTagsForResource,
        Action::StreamJournal,
        Action::DescribeStream,
        Action::CancelStream,
        Action::ListStreams,
        Action::ExportJournal,
        Action::DescribeJournalExport,
        Action::ListJournalExports,
        Action::ListJournalExportsForLedger,
        Action::Backup,
        Action::RotateKey,
        Action::AcceptClock,
    ];

    /// As policies name it.
    pub fn name(self) -> &'static str {
        match self {
            Action::Select => "qldb:PartiQLSelect",
            Action::HistoryFunction => "qldb:PartiQLHistoryFunction",
            Action::Insert => "qldb:PartiQLInsert",
            Action::Update => "qldb:PartiQLUpdate",
            Action::Delete => "qldb:PartiQLDelete",
            Action::Redact => "qldb:PartiQLRedact",
            Action::CreateTable => "qldb:PartiQLCreateTable",
            Action::DropTable => "qldb:PartiQLDropTable",
            Action::UndropTable => "qldb:PartiQLUndropTable",
            Action::AlterTable => "ledgerstone:AlterTable",
            Action::CreateIndex => "qldb:PartiQLCreateIndex",
            Action::DropIndex => "qldb:PartiQLDropIndex",
            Action::SendCommand => "qldb:SendCommand",
            Action::GetRevision => "qldb:GetRevision",
            Action::GetBlock => "qldb:GetBlock",
            Action::GetDigest => "qldb:GetDigest",
            Action::CreateLedger => "qldb:CreateLedger",
            Action::DescribeLedger => "qldb:DescribeLedger",
            Action::ListLedgers => "qldb:ListLedgers",
            Action::UpdateLedger => "qldb:UpdateLedger",
            Action::UpdatePermissionsMode => "qldb:UpdateLedgerPermissionsMode",
            Action::DeleteLedger => "qldb:DeleteLedger",
            Action::TagResource => "qldb:TagResource",
            Action::UntagResource => "qldb:UntagResource",
            Action::ListTagsForResource => "qldb:ListTagsForResource",
            Action::StreamJournal => "qldb:StreamJournalToKinesis",
            Action::DescribeStream => "qldb:DescribeJournalKinesisStream",
            Action::CancelStream => "qldb:CancelJournalKinesisStream",
            Action::ListStreams => "qldb:ListJournalKinesisStreamsForLedger",
            Action::ExportJournal => "qldb:ExportJournalToS3",
            Action::DescribeJournalExport => "qldb:DescribeJournalS3Export",
            Action::ListJournalExports => "qldb:ListJournalS3Exports",
            Action::ListJournalExportsForLedger => "qldb:ListJournalS3ExportsForLedger",
            Action::Backup => "ledgerstone:Backup",
            Action::RotateKey => "ledgerstone:RotateKey",
            Action::AcceptClock => "ledgerstone:AcceptClock",
        }
    }
}

impl Permit {
    fn allows(&self, action: Action, resource: Resource<'_>) -> bool {
        self.policy.allows(&self.user, &self.ledger, action, resource)
    }

    /// Whether its user may know all tables by name.
    pub(crate) fn sees_catalogue(&self) -> bool {
        self.allows(Action::Select, Resource::Catalogue)
    }

    /// Whether its user may know of a table that nobody has named: from the catalogue, or because they may read it.
    pub(crate) fn sees(&self, table: &Table) -> bool {
        self.sees_catalogue() || self.allows(Action::Select, Resource::Table { id: table.id, name: &table.name })
    }

    /// An error (42501) unless the policy allows it.
    pub fn check(&self, action: Action, resource: Resource<'_>) -> Result<()> {
        if self.allows(action, resource) {
            return Ok(());
        }
        let what = match resource {
            Resource::Ledger => format!("ledger \"{}\"", self.ledger),
            Resource::Table { name, .. } => format!("table \"{name}\""),
            Resource::NewTable => "a new table".to_owned(),
            Resource::Catalogue => "the catalogue".to_owned(),
            Resource::Stream { id } => format!("stream {id} of ledger \"{}\"", self.ledger),
            Resource::Streams => format!("the streams of ledger \"{}\"", self.ledger),
        };
        Err(QueryError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("access denied: user \"{}\" lacks the permission {} on {what}", self.user, action.name()),
        )
        .hint("Whoever runs the server grants it in the file of serve --policy."))
    }

    pub(crate) fn check_table(&self, action: Action, table: &Table) -> Result<()> {
        self.check(action, Resource::Table { id: table.id, name: &table.name })
    }
}

impl std::fmt::Debug for Permit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Permit({} in {})", self.user, self.ledger)
    }
}
