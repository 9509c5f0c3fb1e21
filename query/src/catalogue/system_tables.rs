//! The system tables that hold definitions, and the shapes of their documents (docs/format.md, "System tables").
//!
//! A table's definition is a document of table 1 whose id is the table's id; an index's is a document of table 2 whose
//! id is the index's id. Dropping a table makes a revision with status INACTIVE, dropping an index deletes its document.

use std::sync::Arc;

use ledgerstone_digest::id::Id;
use ledgerstone_digest::ion::{Int, Struct, Value};
use ledgerstone_journal::PublishedRevision;

use super::{Catalogue, Check, Column, Index, IndexStatus, PathStep, Table, TableStatus};
use crate::ast::Identity;
use crate::error::{QueryError, Result, SqlState};
use crate::transaction::shown;
use crate::types::SqlType;

/// What a definition's revision means for the row index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinitionChange {
    IndexMade { table: Id, index: Id },
    IndexDropped { table: Id, index: Id },
    Other,
}

/// Whether revisions of this table are definitions.
pub fn is_definition(table: &Id) -> bool {
    *table == Id::TABLES || *table == Id::INDEXES || *table == Id::LEDGER
}

/// A system table as a table: schemaless, without indexes, reachable by id only.
pub fn system_table(id: Id) -> Option<Arc<Table>> {
    let name = match id {
        Id::TABLES => "_ql_tables",
        Id::INDEXES => "_ql_indexes",
        Id::REDACTIONS => "_ql_redactions",
        Id::KEYS => "_ql_keys",
        Id::PRINCIPALS => "_ql_principals",
        Id::LEDGER => "_ql_ledger",
        _ => return None,
    };
    Some(Arc::new(Table {
        id,
        name: name.into(),
        status: TableStatus::Active,
        columns: Vec::new(),
        indexes: Vec::new(),
        checks: Vec::new(),
        comment: None,
        salted: false,
        defined_at: 0,
        definition_version: 0,
    }))
}

/// The system table that a document must be of, by its fields: definitions exported from a ledger of ours name no table.
pub fn of_document(data: &Value) -> Option<Id> {
    let fields = data.as_struct()?;
    let has = |names: &[&str]| names.iter().all(|name| fields.get(name).is_some());
    if has(&["tableId", "name", "paths", "unique", "primary", "status"]) {
        Some(Id::INDEXES)
    } else if has(&["name", "status", "salted"]) {
        Some(Id::TABLES)
    } else if has(&["ledger"]) && fields.fields.len() <= 2 {
        Some(Id::LEDGER)
    } else {
        None
    }
}

/// The document of a table's definition.
pub fn table_document(table: &Table) -> Value {
    let columns = table.columns.iter().map(column_document).collect();
    let checks = table.checks.iter().map(|c| {
        let said = [("name", Value::string(c.name.clone())), ("expression", Value::string(c.text.clone()))];
        record(said.into_iter().chain(comment_field(&c.comment)))
    });
    let mut fields = vec![
        ("name", Value::string(table.name.clone())),
        ("status", Value::string(table.status.text())),
        ("salted", Value::Bool(table.salted)),
    ];
    if table.is_declared() {
        fields.push(("columns", Value::List(columns)));
    }
    if !table.checks.is_empty() {
        fields.push(("checks", Value::List(checks.collect())));
    }
    fields.extend(comment_field(&table.comment));
    record(fields)
}

/// The document of an index's definition.
pub fn index_document(index: &Index) -> Value {
    let step = |step: &PathStep| match step {
        PathStep::Field(name) => Value::string(name.clone()),
        PathStep::Element(at) => Value::int(i64::from(*at)),
    };
    let paths = index.paths.iter().map(|path| Value::List(path.iter().map(step).collect())).collect();
    let mut fields = vec![
        ("tableId", Value::string(index.table_id.to_string())),
        ("name", Value::string(index.name.clone())),
        ("paths", Value::List(paths)),
        ("unique", Value::Bool(index.unique)),
        ("primary", Value::Bool(index.primary)),
        ("status", Value::string(index.status.text())),
    ];
    if index.only_index {
        fields.push(("onlyIndex", Value::Bool(true)));
    }
    if let Some(message) = &index.message {
        fields.push(("message", Value::string(message.clone())));
    }
    fields.extend(comment_field(&index.comment));
    fields.extend(index.constraint_comment.as_ref().map(|text| ("constraintComment", Value::string(text.clone()))));
    record(fields)
}

/// The document of what is said of the ledger with this id.
pub fn ledger_document(ledger: Id, comment: &Option<Arc<str>>) -> Value {
    let mut fields = vec![("ledger", Value::string(ledger.to_string()))];
    fields.extend(comment_field(comment));
    record(fields)
}

fn comment_field(comment: &Option<Arc<str>>) -> Option<(&'static str, Value)> {
    comment.as_ref().map(|text| ("comment", Value::string(text.clone())))
}

/// Takes a definition's revision into a catalogue. `first_position` and `snapshot` are where its block begins and ends.
pub fn apply(
    catalogue: &mut Catalogue,
    revision: &PublishedRevision,
    first_position: u64,
    snapshot: u64,
) -> Result<DefinitionChange> {
    let data = revision.data.as_ref().map(shown).transpose()?.map(|(data, _)| data);
    match (revision.table_id, &data) {
        (Id::TABLES, Some(data)) => {
            let mut table = read_table(revision.document_id, data)?;
            table.defined_at = revision.position;
            table.definition_version = revision.version;
            if let Some(old) = catalogue.table_by_id(&table.id) {
                table.indexes.clone_from(&old.indexes);
            }
            catalogue.put_table(table);
            Ok(DefinitionChange::Other)
        }
        (Id::INDEXES, Some(data)) => {
            let mut index = read_index(revision.document_id, data)?;
            index.defined_at = revision.position;
            index.definition_version = revision.version;
            let Some(table) = catalogue.table_by_id(&index.table_id) else {
                return Err(malformed("index", revision.document_id, "its table is not there"));
            };
            let mut table = (**table).clone();
            let (id, table_id) = (index.id, index.table_id);
            match table.indexes.iter_mut().find(|i| i.id == id) {
                Some(old) => {
                    index.from_position = old.from_position;
                    *old = Arc::new(index);
                    catalogue.put_table(table);
                    Ok(DefinitionChange::Other)
                }
                None => {
                    // A table that begins in the same block had no documents before it, unless they were imported: then the
                    // index has to be built.
                    let begins = table.definition_version == 0 && table.defined_at >= first_position;
                    let with_table = begins && index.status != IndexStatus::Building;
                    index.from_position = if with_table { 0 } else { snapshot };
                    table.indexes.push(Arc::new(index));
                    catalogue.put_table(table);
                    Ok(DefinitionChange::IndexMade { table: table_id, index: id })
                }
            }
        }
        (Id::INDEXES, None) => {
            let index = revision.document_id;
            let Some((table, _)) = catalogue.index(&index) else { return Ok(DefinitionChange::Other) };
            let mut table = (**table).clone();
            table.indexes.retain(|i| i.id != index);
            let table_id = table.id;
            catalogue.put_table(table);
            Ok(DefinitionChange::IndexDropped { table: table_id, index })
        }
        (Id::LEDGER, data) => {
            let document = Reader {
                kind: "ledger",
                id: revision.document_id,
                fields: data.as_ref().and_then(|data| data.as_struct()),
            };
            catalogue.set_comment(document.text_if_there("comment"));
            Ok(DefinitionChange::Other)
        }
        _ => Ok(DefinitionChange::Other),
    }
}

fn column_document(column: &Column) -> Value {
    let mut fields = vec![
        ("name", Value::string(column.name.clone())),
        ("type", Value::string(column.ty.text_with(column.precision))),
        ("notNull", Value::Bool(column.not_null)),
    ];
    if let Some(default) = &column.default_text {
        fields.push(("default", Value::string(default.clone())));
    }
    if column.identity.is_some() {
        fields.push(("identity", Value::Bool(true)));
    }
    // A field of its own: who does not know it still finds an identity column.
    if column.is_always_identity() {
        fields.push(("identityAlways", Value::Bool(true)));
    }
    if let Some(from) = column.counts_from {
        fields.push(("identityFrom", Value::int(from)));
    }
    fields.extend(comment_field(&column.comment));
    record(fields)
}

fn read_table(id: Id, data: &Value) -> Result<Table> {
    let document = Reader { kind: "table", id, fields: data.as_struct() };
    let mut columns = Vec::new();
    for column in document.list("columns") {
        let column = Reader { kind: "table", id, fields: column.as_struct() };
        let (ty, precision) = SqlType::from_text_with(&column.text("type")?)?;
        columns.push(Column {
            name: column.text("name")?,
            ty,
            precision,
            not_null: column.flag("notNull"),
            default_text: column.text_if_there("default"),
            identity: match (column.flag("identity"), column.flag("identityAlways")) {
                (true, true) => Some(Identity::Always),
                (true, false) => Some(Identity::ByDefault),
                (false, _) => None,
            },
            counts_from: column.int_if_there("identityFrom"),
            comment: column.text_if_there("comment"),
        });
    }
    let mut checks = Vec::new();
    for check in document.list("checks") {
        let check = Reader { kind: "table", id, fields: check.as_struct() };
        let (name, text) = (check.text("name")?, check.text("expression")?);
        checks.push(Check { name, text, comment: check.text_if_there("comment") });
    }
    let status = match &*document.text("status")? {
        "ACTIVE" => TableStatus::Active,
        "INACTIVE" => TableStatus::Inactive,
        _ => return Err(malformed("table", id, "its status is unknown")),
    };
    Ok(Table {
        id,
        name: document.text("name")?,
        status,
        columns,
        indexes: Vec::new(),
        checks,
        comment: document.text_if_there("comment"),
        salted: document.flag("salted"),
        defined_at: 0,
        definition_version: 0,
    })
}

fn read_index(id: Id, data: &Value) -> Result<Index> {
    let document = Reader { kind: "index", id, fields: data.as_struct() };
    let table_id: Id =
        document.text("tableId")?.parse().map_err(|_| malformed("index", id, "its tableId is not an id"))?;
    let mut paths = Vec::new();
    for path in document.list("paths") {
        let Value::List(steps) = path else { return Err(malformed("index", id, "a path is not a list")) };
        let step = |step: &Value| match step {
            Value::String(name) => Ok(PathStep::Field(name.clone().into())),
            Value::Int(Int::Small(at)) if u32::try_from(*at).is_ok() => Ok(PathStep::Element(*at as u32)),
            _ => Err(malformed("index", id, "a step of a path is neither a name nor an element's number")),
        };
        paths.push(steps.iter().map(step).collect::<Result<Vec<_>>>()?);
    }
    let status = match &*document.text("status")? {
        "BUILDING" => IndexStatus::Building,
        "ONLINE" => IndexStatus::Online,
        "FAILED" => IndexStatus::Failed,
        _ => return Err(malformed("index", id, "its status is unknown")),
    };
    if paths.is_empty() || paths.iter().any(Vec::is_empty) {
        return Err(malformed("index", id, "it has no paths"));
    }
    Ok(Index {
        id,
        table_id,
        name: document.text("name")?,
        paths,
        unique: document.flag("unique"),
        primary: document.flag("primary"),
        only_index: document.flag("onlyIndex"),
        status,
        comment: document.text_if_there("comment"),
        constraint_comment: document.text_if_there("constraintComment"),
        message: document.text_if_there("message"),
        from_position: 0,
        definition_version: 0,
        defined_at: 0,
    })
}

struct Reader<'a> {
    kind: &'static str,
    id: Id,
    fields: Option<&'a Struct>,
}

impl Reader<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.fields.and_then(|f| f.get(name))
    }

    fn text(&self, name: &str) -> Result<Arc<str>> {
        self.text_if_there(name)
            .ok_or_else(|| malformed(self.kind, self.id, &format!("`{name}` is missing or not a string")))
    }

    fn text_if_there(&self, name: &str) -> Option<Arc<str>> {
        match self.get(name) {
            Some(Value::String(text)) => Some(text.clone().into()),
            _ => None,
        }
    }

    fn int_if_there(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_i64)
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Bool(true)))
    }

    fn list(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Some(Value::List(items)) => items,
            _ => &[],
        }
    }
}

fn record<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    Value::Struct(Struct::from_fields(fields))
}

fn malformed(kind: &str, id: Id, why: &str) -> QueryError {
    QueryError::new(SqlState::DATA_CORRUPTED, format!("the definition of {kind} {id} cannot be read: {why}")).hint(
        "A newer version may have written it, or the journal is damaged: run `ledgerstone verify` on its directory.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_read_back_as_written() {
        let column = |name: &str, identity| Column {
            name: name.into(),
            ty: SqlType::Int8,
            precision: None,
            not_null: true,
            default_text: None,
            identity,
            counts_from: None,
            comment: None,
        };
        let table = Table {
            id: Id([7; 16]),
            name: "t".into(),
            status: TableStatus::Inactive,
            columns: vec![
                Column {
                    ty: SqlType::Numeric { precision: Some(12), scale: Some(2) },
                    default_text: Some("1 + 1".into()),
                    ..column("a", None)
                },
                Column { ty: SqlType::TimestampTz, precision: Some(3), ..column("at", None) },
                Column { comment: Some("counts".into()), ..column("b", Some(Identity::ByDefault)) },
                Column { counts_from: Some(i64::MAX), ..column("c", Some(Identity::Always)) },
            ],
            indexes: Vec::new(),
            checks: vec![
                Check { name: "c".into(), text: "a > 0".into(), comment: None },
                Check { name: "d".into(), text: "a < 9".into(), comment: Some("few".into()) },
            ],
            comment: Some("what it is for".into()),
            salted: true,
            defined_at: 0,
            definition_version: 0,
        };
        assert_eq!(read_table(table.id, &table_document(&table)).unwrap(), table);
        let index = Index {
            id: Id([8; 16]),
            table_id: table.id,
            name: "i".into(),
            paths: vec![vec![PathStep::Field("a".into()), PathStep::Element(3)], vec![PathStep::Field("b c".into())]],
            unique: true,
            primary: false,
            only_index: true,
            status: IndexStatus::Failed,
            comment: Some("why".into()),
            constraint_comment: Some("why not twice".into()),
            message: Some("no".into()),
            from_position: 0,
            definition_version: 0,
            defined_at: 0,
        };
        assert_eq!(read_index(index.id, &index_document(&index)).unwrap(), index);
    }

    #[test]
    fn an_exported_document_is_told_by_its_fields() {
        for comment in [None, Some("what it is for".into())] {
            assert_eq!(of_document(&ledger_document(Id([9; 16]), &comment)), Some(Id::LEDGER));
        }
        assert_eq!(of_document(&record([("comment", Value::string("x"))])), None);
    }

    #[test]
    fn an_identity_column_of_an_older_definition_counts_by_default() {
        let column = [
            ("name", Value::string("a")),
            ("type", Value::string("bigint")),
            ("notNull", Value::Bool(true)),
            ("identity", Value::Bool(true)),
        ];
        let data = record([
            ("name", Value::string("t")),
            ("status", Value::string("ACTIVE")),
            ("salted", Value::Bool(true)),
            ("columns", Value::List(vec![record(column)])),
        ]);
        let table = read_table(Id([1; 16]), &data).unwrap();
        assert_eq!(table.columns[0].identity, Some(Identity::ByDefault));
        assert_eq!(table_document(&table), data, "and is written as it was");
    }

    #[test]
    fn a_definition_that_makes_no_sense_is_an_error() {
        for data in [
            Value::NULL,
            Value::int(1),
            record([("name", Value::int(3))]),
            record([("status", Value::string("ACTIVE"))]),
        ] {
            assert_eq!(read_table(Id([1; 16]), &data).unwrap_err().code, SqlState::DATA_CORRUPTED);
            assert_eq!(read_index(Id([1; 16]), &data).unwrap_err().code, SqlState::DATA_CORRUPTED);
        }
    }
}
