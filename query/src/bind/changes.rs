//! `diff(t, from [, to])` and `changes(t, from [, to])`: what happened to a table between two moments, net per document,
//! or revision by revision. A moment is a block number, a time, or the text of a digest.

use std::sync::Arc;

use super::Binder;
use super::from::Tree;
use super::plan::{ChangesSource, Ex, Source};
use super::walk::own_slots;
use crate::ast::{Alias, Expr, Span, TableName};
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

/// Columns of `diff`: of the last change of the document, but for the operation and what was before.
pub(crate) const NET: &[(&str, SqlType)] = &[
    ("id", SqlType::Text),
    ("operation", SqlType::Text),
    ("old", SqlType::Ion),
    ("new", SqlType::Ion),
    ("old_version", SqlType::Int8),
    ("new_version", SqlType::Int8),
    ("revisions", SqlType::Int8),
    ("block", SqlType::Int8),
    ("tx_id", SqlType::Text),
    ("tx_time", SqlType::TimestampTz),
    ("user_name", SqlType::Text),
];

/// Columns of `changes`.
pub(crate) const EACH: &[(&str, SqlType)] = &[
    ("position", SqlType::Int8),
    ("block", SqlType::Int8),
    ("tx_id", SqlType::Text),
    ("tx_time", SqlType::TimestampTz),
    ("user_name", SqlType::Text),
    ("door", SqlType::Text),
    ("id", SqlType::Text),
    ("version", SqlType::Int8),
    ("operation", SqlType::Text),
    ("old", SqlType::Ion),
    ("new", SqlType::Ion),
];

impl Binder<'_> {
    pub(super) fn changes_source(
        &mut self,
        name: &TableName,
        arguments: &[Expr],
        net: bool,
        alias: &Alias,
    ) -> Result<Tree> {
        let span = name.name.span;
        let function: Arc<str> = Arc::from(if net { "diff" } else { "changes" });
        let (table, from, to) = match arguments {
            [table, from] => (table, from, None),
            [table, from, to] => (table, from, Some(to)),
            _ => {
                return Err(QueryError::new(
                    SqlState::UNDEFINED_FUNCTION,
                    format!("{function} needs a table and where to begin: {function}(t, from [, to])"),
                )
                .at(span)
                .hint("From and to are block numbers, times, or texts of digests."));
            }
        };
        let table = self.table_argument(table, &function)?;
        let from = self.moment(from)?;
        let to = to.map(|to| self.moment(to)).transpose()?;
        let needs: Vec<u32> = [Some(&from), to.as_ref()].into_iter().flatten().flat_map(own_slots).collect();
        let columns: Vec<(Arc<str>, SqlType)> =
            if net { NET } else { EACH }.iter().map(|(n, ty)| (Arc::from(*n), ty.clone())).collect();
        let first = self.level().slots(columns.len());
        let changes = ChangesSource { table, from, to, first, arity: columns.len(), net };
        let source = Source::Changes(Box::new(changes));
        match self.partiql {
            true => self.virtual_value(source, first, columns, alias, name, needs),
            false => self.column_source(source, first, columns, alias, function, needs),
        }
    }

    /// Any value: which kind of moment it means is seen when it is there.
    fn moment(&mut self, e: &Expr) -> Result<Ex> {
        let bound = self.expr(e)?;
        match &bound.ty {
            None => self.as_text_of(bound, e.span),
            Some(ty) if ty.is_integer() || ty.is_text() || ty.is_date_or_time() || *ty == SqlType::Ion => Ok(bound.ex),
            Some(ty) => Err(QueryError::new(
                SqlState::DATATYPE_MISMATCH,
                format!("a block number, a time or the text of a digest is needed, not {ty}"),
            )
            .at(e.span)),
        }
    }

    fn as_text_of(&mut self, bound: super::types::Typed, span: Span) -> Result<Ex> {
        self.coerce(bound, &SqlType::Text, super::types::CastContext::Implicit, span)
    }
}
