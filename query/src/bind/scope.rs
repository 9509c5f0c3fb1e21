//! Names in scope: the sources of each query level, their columns, and how a name finds its column.

use std::ops::Range;
use std::sync::Arc;

use super::plan::{AggregateCall, At, DocPart, Ex, Step, WindowPlan};
use super::types::Typed;
use super::walk::{own_slots, shifted};
use super::{Binder, field_step};
use crate::ast::{Name, Span, WindowSpec};
use crate::catalogue::Table;
use crate::error::{QueryError, Result, SqlState};
use crate::types::SqlType;

/// One query level while it is being bound.
#[derive(Default)]
pub(crate) struct Level {
    pub items: Vec<Item>,
    pub width: u32,
    /// Joins with USING, inner ones first.
    pub joins: Vec<Joined>,
    /// Slots for whether there is a row, as far as somebody looks at them.
    pub presences: Vec<u32>,
    /// In ON only the sources from this one on can be seen.
    pub first_visible: usize,
    /// Not visible now: a FROM subquery that is not LATERAL is being bound.
    pub hidden: bool,
    /// What the levels inside read of further out, seen from this level.
    pub outer: Vec<At>,
    /// Group keys already placed: the expression and its slot. Columns that are keys resolve to their slots.
    pub keys: Vec<(Ex, u32)>,
    /// Inside an aggregate's arguments keys are not yet computed.
    pub in_aggregate: bool,
    /// With the slots of their results.
    pub aggregates: Option<Vec<(AggregateCall, u32)>>,
    /// `GROUPING(…)` of which keys, with the slots of their results.
    pub groupings: Vec<(Vec<usize>, u32)>,
    /// The clause being bound, for messages about aggregates where none may be.
    pub clause: &'static str,
    pub windows: Option<Vec<WindowPlan>>,
    pub named_windows: Vec<(Arc<str>, WindowSpec)>,
    /// Select-list aliases ORDER BY of PartiQL may use.
    pub series_allowed: bool,
    pub series: Vec<(super::plan::TableCall, u32)>,
}

/// JOIN … USING: both sides' columns of these names are one, unless they are named with their sources' aliases.
#[derive(Debug)]
pub(crate) struct Joined {
    /// Among the level's sources: where the left side begins, where the right one does, and where it ends.
    pub left: usize,
    pub right: usize,
    pub end: usize,
    /// Name, value and type.
    pub merged: Vec<(Name, Ex, SqlType)>,
}

/// A source in FROM.
#[derive(Debug, Clone, Default)]
pub(crate) struct Item {
    pub alias: Arc<str>,
    pub columns: Vec<Column>,
    /// The whole row: a document, or PartiQL's value.
    pub whole: Option<Ex>,
    /// Any other name is a field of the whole.
    pub open: bool,
    pub table: Option<Arc<Table>>,
    /// The slot of its document, if it is a table.
    pub doc: Option<u32>,
    /// An outer join may come out without a row of it.
    pub nullable: bool,
    /// The slot kept for whether there is a row, which a query's columns alone do not tell.
    pub presence: Option<u32>,
    pub span: Span,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub name: Arc<str>,
    pub ex: Ex,
    pub ty: SqlType,
    /// Not part of `*`.
    pub hidden: bool,
}

impl Column {
    pub fn new(name: impl Into<Arc<str>>, ex: Ex, ty: SqlType) -> Self {
        Column { name: name.into(), ex, ty, hidden: false }
    }

    pub fn hidden(name: impl Into<Arc<str>>, ex: Ex, ty: SqlType) -> Self {
        Column { name: name.into(), ex, ty, hidden: true }
    }
}

impl Level {
    pub fn slot(&mut self) -> u32 {
        self.slots(1)
    }

    pub fn slots(&mut self, n: usize) -> u32 {
        let first = self.width;
        self.width += n as u32;
        first
    }

    /// The sources that can be seen, and their places.
    fn visible(&self) -> impl Iterator<Item = (usize, &Item)> {
        self.items.iter().enumerate().skip(self.first_visible)
    }

    /// The columns of these sources that a name by itself may mean.
    pub fn named(&self, sources: Range<usize>, name: &Name) -> Vec<Column> {
        let within = |j: &&Joined| sources.start <= j.left && j.end <= sources.end;
        let joins: Vec<&Joined> = self.joins.iter().filter(within).collect();
        let mut found = Vec::new();
        for (i, inner) in joins.iter().enumerate() {
            let hidden = |n: &Name| joins.iter().skip(i + 1).any(|j| j.holds(inner.left) && j.merges(&n.text));
            let own = inner.merged.iter().filter(|(n, _, _)| same_name(&n.text, name) && !hidden(n));
            found.extend(own.map(|(n, ex, ty)| Column::new(n.text.clone(), ex.clone(), ty.clone())));
        }
        for (at, item) in self.items.iter().enumerate().take(sources.end).skip(sources.start) {
            let hidden = |c: &Column| joins.iter().any(|j| j.holds(at) && j.merges(&c.name));
            found.extend(item.columns.iter().filter(|c| same_name(&c.name, name) && !hidden(c)).cloned());
        }
        found
    }

    /// What `*` is over these sources: of a join with USING the merged columns come first.
    pub fn starred(&self, sources: Range<usize>, partiql: bool) -> Vec<Column> {
        let mut out = Vec::new();
        let mut at = sources.start;
        while let Some(item) = self.items.get(at).filter(|_| at < sources.end) {
            let outermost = self.joins.iter().rev().find(|j| j.left == at && j.end <= sources.end);
            let Some(join) = outermost else {
                out.extend(item.starred(partiql));
                at += 1;
                continue;
            };
            out.extend(join.merged.iter().map(|(n, ex, ty)| Column::new(n.text.clone(), ex.clone(), ty.clone())));
            for side in [join.left..join.right, join.right..join.end] {
                out.extend(self.starred(side, partiql).into_iter().filter(|c| !join.merges(&c.name)));
            }
            at = join.end;
        }
        out
    }
}

impl Joined {
    fn holds(&self, source: usize) -> bool {
        (self.left..self.end).contains(&source)
    }

    fn merges(&self, column: &str) -> bool {
        self.merged.iter().any(|(name, _, _)| same_name(column, name))
    }
}

impl Item {
    /// The row as a value: NULL if it is one that an outer join has not found.
    fn struct_of_columns(&self) -> Ex {
        let columns = || self.columns.iter().filter(|c| !c.hidden);
        let fields = columns().map(|c| (Ex::text(c.name.clone()), c.ex.clone()));
        let row = Ex::Struct(fields.collect());
        if !self.nullable {
            return row;
        }
        let is_null = |ex| Ex::IsNull { expr: Box::new(ex), negated: false };
        let absent = match self.presence {
            Some(slot) => is_null(Ex::slot(slot)),
            // Other sources have no rows of nothing but NULL.
            None => Ex::And(columns().map(|c| is_null(c.ex.clone())).collect()),
        };
        Ex::Case { whens: vec![(absent, Ex::NULL)], otherwise: Some(Box::new(row)) }
    }

    /// What `alias.*` is.
    pub fn starred(&self, partiql: bool) -> Vec<Column> {
        let shown: Vec<Column> = self.columns.iter().filter(|c| !c.hidden).cloned().collect();
        match &self.whole {
            // The mark tells the row builder to merge the struct's fields.
            Some(whole) if partiql => vec![Column::new(format!("*{}", self.alias), whole.clone(), SqlType::Ion)],
            Some(whole) if shown.is_empty() => vec![Column::new("document", whole.clone(), SqlType::Ion)],
            _ => shown,
        }
    }
}

/// What a name was found to be: how many levels out, and what.
enum Found {
    Column(Ex, SqlType),
    Whole(usize),
}

impl Binder<'_> {
    pub fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    /// A name by itself.
    pub fn resolve_name(&mut self, name: &Name) -> Result<Typed> {
        for depth in 0..self.levels.len() {
            let Some(level) = self.levels.iter().rev().nth(depth) else { break };
            if level.hidden {
                continue;
            }
            if let Some(found) = self.name_in(level, name)? {
                return self.found(depth, found, name);
            }
        }
        // An open source (a schemaless table) has every name as a field; only if it is the only one is it clear whose.
        for depth in 0..self.levels.len() {
            let Some(level) = self.levels.iter().rev().nth(depth) else { break };
            if level.hidden {
                continue;
            }
            let open: Vec<&Item> = level.visible().filter(|(_, i)| i.open).map(|(_, i)| i).collect();
            match open.as_slice() {
                [] => {}
                [only] => {
                    let Some(whole) = only.whole.clone() else { break };
                    let ex = field_of(whole, field_step(name, self.partiql));
                    return self.found(depth, Found::Column(ex, SqlType::Ion), name);
                }
                _ => {
                    return Err(QueryError::new(
                        SqlState::AMBIGUOUS_COLUMN,
                        format!("column reference \"{}\" is ambiguous", name.text),
                    )
                    .at(name.span)
                    .hint("Several sources may have it: write the alias before it, as in t.name."));
                }
            }
        }
        Err(self.undefined_column(name))
    }

    fn name_in(&self, level: &Level, name: &Name) -> Result<Option<Found>> {
        let text = &*name.text;
        // In PartiQL a variable comes before anything inside one.
        if self.partiql
            && let Some((at, _)) = level.visible().find(|(_, i)| &*i.alias == text && i.whole.is_some())
        {
            return Ok(Some(Found::Whole(at)));
        }
        let mut hits = level.named(level.first_visible..level.items.len(), name).into_iter();
        if let Some(column) = hits.next() {
            if hits.next().is_some() {
                return Err(QueryError::new(
                    SqlState::AMBIGUOUS_COLUMN,
                    format!("column reference \"{text}\" is ambiguous"),
                )
                .at(name.span));
            }
            return Ok(Some(Found::Column(column.ex, column.ty)));
        }
        // SQL: the alias by itself is the whole row.
        let is_row = |i: &Item| &*i.alias == text && (i.whole.is_some() || !i.columns.is_empty());
        Ok(level.visible().find(|(_, i)| is_row(i)).map(|(at, _)| Found::Whole(at)))
    }

    fn found(&mut self, depth: usize, found: Found, name: &Name) -> Result<Typed> {
        match found {
            Found::Column(ex, ty) => Ok(Typed::new(self.place(ex, depth), ty.in_expressions())),
            Found::Whole(at) => self.whole_row(depth, at, name.span),
        }
    }

    fn whole_row(&mut self, depth: usize, at: usize, span: Span) -> Result<Typed> {
        let level = self.levels.iter_mut().rev().nth(depth);
        let found = level.and_then(|l| l.items.get(at).cloned().map(|item| (l, item)));
        let (level, item) = found.ok_or_else(|| QueryError::internal("no such source"))?;
        let whole = match (&item.whole, item.columns.as_slice()) {
            (Some(whole), _) => whole.clone(),
            // One column: a function's or a common table's value; several: a struct of them.
            (None, [only]) => {
                let (ex, ty) = (only.ex.clone(), only.ty.clone().in_expressions());
                return Ok(Typed::new(self.place(ex, depth), ty));
            }
            (None, _) => {
                level.presences.extend(item.presence.filter(|_| item.nullable));
                item.struct_of_columns()
            }
        };
        let is_key = !level.in_aggregate && level.keys.iter().any(|(key, _)| *key == whole);
        let ex = self.place(whole, depth);
        let mut row = Vec::new();
        if !self.partiql && !item.open && !is_key && !matches!(ex, Ex::Doc { .. }) {
            for column in item.columns.into_iter().filter(|c| !c.hidden) {
                row.push((Typed::new(self.place(column.ex, depth), column.ty.in_expressions()), span));
            }
        }
        Ok(Typed { row, ..Typed::new(ex, SqlType::Ion) })
    }

    /// A column's expression as seen from here: through the group keys of its level, `depth` levels out, noted as read
    /// by every level between.
    pub fn place(&mut self, ex: Ex, depth: usize) -> Ex {
        let n = self.levels.len();
        let Some(target) = n.checked_sub(depth + 1).and_then(|t| self.levels.get(t)) else { return ex };
        let ex = match target.keys.iter().find(|(key, _)| !target.in_aggregate && *key == ex) {
            Some((_, slot)) => Ex::slot(*slot),
            None => ex,
        };
        let slots = own_slots(&ex);
        for inner in 0..depth {
            let out = (depth - inner) as u16;
            if let Some(level) = self.levels.get_mut(n - 1 - inner) {
                for slot in &slots {
                    let at = At { depth: out, slot: *slot };
                    if !level.outer.contains(&at) {
                        level.outer.push(at);
                    }
                }
            }
        }
        shifted(&ex, depth as u16)
    }

    /// `alias.name…`: the source, if the first name is one, and how many levels out it is.
    pub fn resolve_alias(&self, name: &Name) -> Option<(usize, Item)> {
        for depth in 0..self.levels.len() {
            let level = self.levels.iter().rev().nth(depth)?;
            if level.hidden {
                continue;
            }
            let is_called = |i: &Item| same_name(&i.alias, name) && !i.alias.is_empty();
            if let Some((_, item)) = level.visible().find(|(_, i)| is_called(i)) {
                return Some((depth, item.clone()));
            }
        }
        None
    }

    /// `alias.column`, and whether more of the path is still to be walked.
    pub fn resolve_qualified(&mut self, depth: usize, item: &Item, name: &Name) -> Result<Typed> {
        if let Some(column) = item.columns.iter().find(|c| same_name(&c.name, name)) {
            let ex = self.place(column.ex.clone(), depth);
            return Ok(Typed::new(ex, column.ty.clone().in_expressions()));
        }
        if item.open
            && let Some(whole) = item.whole.clone()
        {
            let ex = self.place(field_of(whole, field_step(name, self.partiql)), depth);
            return Ok(Typed::new(ex, SqlType::Ion));
        }
        let known: Vec<&str> = item.columns.iter().filter(|c| !c.hidden).map(|c| &*c.name).collect();
        let error =
            QueryError::new(SqlState::UNDEFINED_COLUMN, format!("column {}.{} does not exist", item.alias, name.text))
                .at(name.span);
        Err(match closest(&name.text, known.into_iter()) {
            Some(near) => error.hint(format!("Perhaps you meant to reference the column \"{}.{near}\".", item.alias)),
            None => error,
        })
    }

    fn undefined_column(&self, name: &Name) -> QueryError {
        let known = self.levels.iter().rev().flat_map(|l| &l.items);
        let columns = known.flat_map(|i| i.columns.iter().map(move |c| (&*i.alias, &*c.name)));
        let all: Vec<(&str, &str)> = columns.collect();
        let what = if self.partiql { "no such variable:" } else { "column" };
        let message = match self.partiql {
            true => format!("{what} \"{}\"", name.text),
            false => format!("{what} \"{}\" does not exist", name.text),
        };
        let error = QueryError::new(SqlState::UNDEFINED_COLUMN, message).at(name.span);
        match closest(&name.text, all.iter().map(|(_, c)| *c)) {
            Some(near) => {
                let alias = all.iter().find(|(_, c)| *c == near).map_or("", |(a, _)| a);
                error.hint(format!("Perhaps you meant to reference the column \"{alias}.{near}\"."))
            }
            None => error,
        }
    }
}

/// A declared name matches exactly; without quotes also as it was written, for names made by PartiQL.
pub(crate) fn same_name(column: &str, name: &Name) -> bool {
    column == &*name.text || !name.quoted && column == &*name.written
}

/// A field of a source's whole value.
pub(crate) fn field_of(whole: Ex, step: Step) -> Ex {
    match (whole, step) {
        (Ex::Slot(at), Step::Field { name, any_case })
        | (Ex::Doc { at, part: DocPart::Data }, Step::Field { name, any_case }) => Ex::Field { at, name, any_case },
        (base, step) => path_of(base, vec![step]),
    }
}

/// More steps on an expression; parts of document rows that have a name of their own are found.
pub(crate) fn path_of(base: Ex, steps: Vec<Step>) -> Ex {
    if steps.is_empty() {
        return base;
    }
    let mut steps = steps.into_iter();
    let mut base = base;
    while let Some(step) = steps.next() {
        let part = match (&base, &step) {
            (Ex::Doc { at, part }, Step::Field { name, .. }) => {
                doc_field(*part, name).map(|p| Ex::Doc { at: *at, part: p })
            }
            _ => None,
        };
        match part {
            Some(part) => base = part,
            None => {
                let rest: Vec<Step> = std::iter::once(step).chain(steps).collect();
                return match (base, rest.as_slice()) {
                    (Ex::Doc { at, part: DocPart::Data }, [Step::Field { name, any_case }]) => {
                        Ex::Field { at, name: name.clone(), any_case: *any_case }
                    }
                    (Ex::Path { base, steps: mut before }, _) => {
                        before.extend(rest);
                        Ex::Path { base, steps: before }
                    }
                    (base, _) => Ex::Path { base: Box::new(base), steps: rest },
                };
            }
        }
    }
    base
}

fn doc_field(part: DocPart, name: &str) -> Option<DocPart> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    Some(match part {
        DocPart::Committed if is("data") => DocPart::Data,
        DocPart::Committed if is("metadata") => DocPart::Metadata,
        DocPart::Committed if is("hash") => DocPart::Hash,
        DocPart::Committed if is("dataHash") => DocPart::DataHash,
        DocPart::Committed if is("blockAddress") => DocPart::BlockAddress,
        DocPart::Metadata if is("id") => DocPart::Id,
        DocPart::Metadata if is("version") => DocPart::Version,
        DocPart::Metadata if is("txTime") => DocPart::TxTime,
        DocPart::Metadata if is("txId") => DocPart::TxId,
        DocPart::BlockAddress if is("sequenceNo") => DocPart::Block,
        _ => return None,
    })
}

/// The known word nearest to a misspelt one, if one is near.
pub(crate) fn closest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let limit = (word.chars().count() / 3).clamp(1, 3);
    known.map(|k| (distance(word, k), k)).filter(|(d, _)| *d <= limit).min().map(|(_, k)| k)
}

/// Levenshtein distance without regard to case.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let x = x.to_ascii_lowercase();
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let new = (diagonal + usize::from(x != *y)).min(*cell + 1).min(left + 1);
            diagonal = *cell;
            *cell = new;
            left = new;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}
