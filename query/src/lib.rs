//! Catalogue, transactions, and the PartiQL and SQL front ends over the journal: the meaning of statements.
#![forbid(unsafe_code)]

#[cfg(feature = "analytics")]
pub mod analytics;
pub mod ast;
pub mod bind;
pub mod catalogue;
#[cfg(feature = "analytics")]
pub mod columns;
#[cfg(test)]
mod compact;
pub mod database;
pub mod error;
pub mod exec;
#[cfg(feature = "analytics")]
pub mod export;
pub mod function;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod import;
pub mod index;
pub mod instance;
mod literal;
pub mod partiql;
pub mod permission;
pub mod plan_cache;
pub mod session;
pub mod sql;
pub mod transaction;
pub mod types;
pub mod value;
pub mod wildcard;
pub mod work;

use std::sync::{Arc, OnceLock};

use ast::{Span, Statement};
use transaction::NotedText;

/// One statement of a text that may hold several.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    pub statement: Statement,
    /// Where this statement stands in the text, without the semicolon. Spans in the tree are into the whole text.
    pub text: Span,
    /// How many parameters it takes: `?` counted, or the highest `$n`.
    pub parameters: u32,
    /// Kept for when it runs again.
    pub noted: Noted,
}

/// A statement's own text and the hash of it as a block notes them, once somebody has run it.
#[derive(Debug, Clone, Default)]
pub struct Noted(OnceLock<NotedText>);

impl Noted {
    pub(crate) fn of(&self, text: impl FnOnce() -> Arc<str>) -> &NotedText {
        self.0.get_or_init(|| NotedText::of(text()))
    }
}

/// It follows from the text and where the statement stands in it.
impl PartialEq for Noted {
    fn eq(&self, _: &Noted) -> bool {
        true
    }
}
