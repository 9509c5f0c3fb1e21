//! Values as statements see them: arithmetic, comparison, conversion and text, on Ion values under SQL's types.

pub mod cast;
pub mod compare;
mod date_words;
pub mod datetime;
mod datetime_text;
pub mod decimal;
pub mod json;
pub mod json_order;
pub mod numeric;
pub mod precision;
pub mod text;
pub mod time_of_day;
pub mod time_unit;
mod transcendental;

use ledgerstone_digest::ion::{IonType, Value};

/// The name of a value's Ion type, for messages and for `IS type`.
pub fn ion_type_name(value: &Value) -> &'static str {
    match value.ion_type() {
        IonType::Null => "null",
        IonType::Bool => "bool",
        IonType::Int => "int",
        IonType::Float => "float",
        IonType::Decimal => "decimal",
        IonType::Timestamp => "timestamp",
        IonType::Symbol => "symbol",
        IonType::String => "string",
        IonType::Clob => "clob",
        IonType::Blob => "blob",
        IonType::List => "list",
        IonType::Sexp => "sexp",
        IonType::Struct => "struct",
    }
}
