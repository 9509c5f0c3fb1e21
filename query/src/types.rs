//! The types of SQL, their names and how their values stand in documents (PostgreSQL's documentation, chapter 8).
//!
//! Every value is an Ion value; a type says which ones a column may hold. OIDs belong to the wire protocol.

use std::fmt;

use ledgerstone_digest::ion::{Int, Precision, Value};

use crate::ast::TypeName;
use crate::error::{QueryError, SqlState};
use crate::value::{datetime, decimal, json, precision, text, time_of_day};

/// A type of SQL. `Ion` is any document value: what schemaless tables and PartiQL work with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SqlType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// Without a precision: any number of digits, the scale of each value its own.
    Numeric {
        precision: Option<u16>,
        scale: Option<i16>,
    },
    Text,
    /// The most characters, if there is a limit.
    Varchar(Option<u32>),
    /// Blank-padded to this many characters.
    Char(u32),
    Date,
    /// Without a date: [`crate::value::time_of_day`].
    Time,
    Timestamp,
    TimestampTz,
    Interval,
    Bytea,
    Json,
    Jsonb,
    Uuid,
    Array(Box<SqlType>),
    Ion,
    Name,
    Oid,
    /// An oid that is shown as the name of what it numbers.
    Reg(Reg),
    /// `indkey` and its kin in the catalogue: an array inside a statement, numbers with blanks between on the way out.
    Int2Vector,
    OidVector,
    Void,
}

/// What the oids of `regclass` and its kin number (PostgreSQL's documentation, 8.19).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reg {
    Class,
    Type,
    Proc,
    Namespace,
    Role,
    /// Known by number only, as is `Operator`.
    Procedure,
    Operator,
}

impl Reg {
    const ALL: [Reg; 7] = [Reg::Class, Reg::Type, Reg::Proc, Reg::Namespace, Reg::Role, Reg::Procedure, Reg::Operator];

    /// The type's name.
    pub fn name(self) -> &'static str {
        match self {
            Reg::Class => "regclass",
            Reg::Type => "regtype",
            Reg::Proc => "regproc",
            Reg::Namespace => "regnamespace",
            Reg::Role => "regrole",
            Reg::Procedure => "regprocedure",
            Reg::Operator => "regoperator",
        }
    }

    /// The type of this name, in lower case.
    pub fn named(name: &str) -> Option<Reg> {
        Reg::ALL.into_iter().find(|reg| reg.name() == name)
    }
}

/// Which values of one type are values of another as they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suits {
    All,
    /// Those that are not too long.
    Short,
}

/// The most digits a `numeric(p, s)` may declare, as in PostgreSQL.
pub const NUMERIC_PRECISION_MAX: i64 = 1000;
/// The most characters a `varchar(n)` or `char(n)` may declare, as in PostgreSQL.
pub const CHARACTERS_MAX: i64 = 10_485_760;
/// The deepest array type, as in PostgreSQL.
pub const ARRAY_DEPTH_MAX: u8 = 6;

impl SqlType {
    /// `numeric` without precision and scale.
    pub const NUMERIC: SqlType = SqlType::Numeric { precision: None, scale: None };

    /// The type a name as written stands for; `schema.name` is accepted for `pg_catalog`.
    pub fn parse(name: &TypeName) -> Result<SqlType, QueryError> {
        let lower = name.name.to_ascii_lowercase();
        if let Some(element) = lower.strip_prefix("pg_catalog.").unwrap_or(&lower).strip_prefix('_') {
            // The catalogue's name of an array type, as in `_text`.
            let element = TypeName { name: element.into(), array_depth: name.array_depth.max(1), ..name.clone() };
            return Self::parse(&element).map_err(|_| unknown_type(&name.name, Some(name)));
        }
        let base = Self::parse_base(name)?;
        if name.array_depth > ARRAY_DEPTH_MAX {
            return Err(QueryError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("an array type may have {ARRAY_DEPTH_MAX} dimensions, not {}", name.array_depth),
            )
            .at(name.span));
        }
        if name.array_depth > 0 && Self::precision_of(name).is_some() {
            let what = format!("a precision other than 6 of the elements of {}[]", name.name);
            return Err(QueryError::unsupported(what).at(name.span));
        }
        // Every number of dimensions is the same type, as in PostgreSQL.
        match base {
            // Nothing would turn their elements into names.
            SqlType::Reg(reg) if name.array_depth > 0 => {
                Err(QueryError::unsupported(format!("the type {}[]", reg.name())).at(name.span))
            }
            base if name.array_depth > 0 => Ok(SqlType::Array(Box::new(base))),
            base => Ok(base),
        }
    }

    /// The digits of a second that a name leaves to `timestamp`, `time` or `interval`, if they are fewer than there are. They
    /// are no part of the type: casts and columns round to them.
    pub fn precision_of(name: &TypeName) -> Option<u8> {
        let digits = name.arguments.first().and_then(|digits| u8::try_from(*digits).ok())?;
        let is_time = matches!(
            Self::parse_base(name),
            Ok(SqlType::Time | SqlType::Timestamp | SqlType::TimestampTz | SqlType::Interval)
        );
        (is_time && digits < precision::DIGITS_MAX).then_some(digits)
    }

    /// PostgreSQL's long name with the digits of a second: `timestamp(3) without time zone`.
    pub fn text_with(&self, precision: Option<u8>) -> String {
        let text = self.to_string();
        match (precision, text.split_once(' ')) {
            (None, _) => text,
            (Some(digits), Some((name, zone))) => format!("{name}({digits}) {zone}"),
            (Some(digits), None) => format!("{text}({digits})"),
        }
    }

    /// What [`SqlType::text_with`] has written, as the catalogue stores it.
    pub fn from_text_with(text: &str) -> Result<(SqlType, Option<u8>), QueryError> {
        let name = Self::named_in(text)?;
        Ok((SqlType::parse(&name)?, Self::precision_of(&name)))
    }

    /// The type that `Display` has written.
    pub fn from_text(text: &str) -> Result<SqlType, QueryError> {
        SqlType::parse(&Self::named_in(text)?)
    }

    fn named_in(text: &str) -> Result<TypeName, QueryError> {
        let trimmed = text.trim_end_matches("[]");
        let array_depth = ((text.len() - trimmed.len()) / 2).min(255) as u8;
        let (head, arguments) = match trimmed.split_once('(') {
            None => (trimmed.to_string(), Vec::new()),
            Some((name, rest)) => {
                let (inside, tail) = rest.split_once(')').unwrap_or((rest, ""));
                let numbers: Result<Vec<i64>, _> = inside.split(',').map(|n| n.trim().parse::<i64>()).collect();
                let numbers = numbers.map_err(|_| unknown_type(text, None))?;
                (format!("{}{}", name.trim_end(), tail), numbers)
            }
        };
        Ok(TypeName { name: head.into(), arguments, array_depth, span: crate::ast::Span::default() })
    }

    fn parse_base(name: &TypeName) -> Result<SqlType, QueryError> {
        let lower = name.name.to_ascii_lowercase();
        let bare = lower.strip_prefix("pg_catalog.").unwrap_or(&lower);
        let ty = match bare {
            "bool" | "boolean" => SqlType::Bool,
            "int2" | "smallint" | "smallserial" | "serial2" => SqlType::Int2,
            "int4" | "int" | "integer" | "serial" | "serial4" => SqlType::Int4,
            "int8" | "bigint" | "bigserial" | "serial8" => SqlType::Int8,
            "float4" | "real" => SqlType::Float4,
            "float8" | "double precision" | "double" => SqlType::Float8,
            "float" => return float_of(name),
            "numeric" | "decimal" | "dec" | "number" => return numeric_of(name),
            "text" | "string" => SqlType::Text,
            "varchar" | "character varying" | "char varying" => {
                return Ok(SqlType::Varchar(length_of(name)?));
            }
            "char" | "character" | "bpchar" => {
                return Ok(match length_of(name)? {
                    None if bare == "bpchar" => SqlType::Varchar(None),
                    n => SqlType::Char(n.unwrap_or(1)),
                });
            }
            "date" => SqlType::Date,
            "time" | "time without time zone" => return precise(name, SqlType::Time),
            "timestamp" | "timestamp without time zone" => return precise(name, SqlType::Timestamp),
            "timestamptz" | "timestamp with time zone" => return precise(name, SqlType::TimestampTz),
            "interval" => return precise(name, SqlType::Interval),
            "bytea" => SqlType::Bytea,
            "json" => SqlType::Json,
            "jsonb" => SqlType::Jsonb,
            "uuid" => SqlType::Uuid,
            "ion" | "any" => SqlType::Ion,
            "name" => SqlType::Name,
            "oid" => SqlType::Oid,
            "int2vector" => SqlType::Int2Vector,
            "oidvector" => SqlType::OidVector,
            "void" => SqlType::Void,
            "regoper" | "regcollation" | "regconfig" | "regdictionary" => {
                return Err(QueryError::unsupported(format!("the type {bare}")).at(name.span));
            }
            other => match Reg::named(other) {
                Some(reg) => SqlType::Reg(reg),
                None => return Err(unknown_type(&name.name, Some(name))),
            },
        };
        if !name.arguments.is_empty() {
            return Err(bad_modifier(name, "takes no modifier"));
        }
        Ok(ty)
    }

    /// PostgreSQL's short name (`typname`): `int4`, `varchar`, `_text`.
    pub fn catalogue_name(&self) -> String {
        match self {
            SqlType::Bool => "bool".into(),
            SqlType::Int2 => "int2".into(),
            SqlType::Int4 => "int4".into(),
            SqlType::Int8 => "int8".into(),
            SqlType::Float4 => "float4".into(),
            SqlType::Float8 => "float8".into(),
            SqlType::Numeric { .. } => "numeric".into(),
            SqlType::Varchar(_) => "varchar".into(),
            SqlType::Char(_) => "bpchar".into(),
            SqlType::Time => "time".into(),
            SqlType::Timestamp => "timestamp".into(),
            SqlType::TimestampTz => "timestamptz".into(),
            SqlType::Array(of) => format!("_{}", of.catalogue_name()),
            SqlType::Ion => "jsonb".into(),
            other => other.to_string(),
        }
    }

    /// What an expression of this type works with: the catalogue's vectors are arrays.
    pub fn in_expressions(self) -> SqlType {
        match self {
            SqlType::Int2Vector => SqlType::Array(Box::new(SqlType::Int2)),
            SqlType::OidVector => SqlType::Array(Box::new(SqlType::Oid)),
            other => other,
        }
    }

    pub fn is_number(&self) -> bool {
        use SqlType::*;
        matches!(self, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric { .. } | Oid | Reg(_))
    }

    pub fn is_integer(&self) -> bool {
        matches!(self, SqlType::Int2 | SqlType::Int4 | SqlType::Int8 | SqlType::Oid | SqlType::Reg(_))
    }

    /// The greatest value of the types that count: smallint, integer and bigint.
    pub fn counts_to(&self) -> Option<i64> {
        match self {
            SqlType::Int2 => Some(i16::MAX.into()),
            SqlType::Int4 => Some(i32::MAX.into()),
            SqlType::Int8 => Some(i64::MAX),
            _ => None,
        }
    }

    pub fn is_text(&self) -> bool {
        matches!(self, SqlType::Text | SqlType::Varchar(_) | SqlType::Char(_) | SqlType::Name)
    }

    /// How the values of a column of this type suit another type; `None`: some stand in documents in another way.
    pub fn suits(&self, to: &SqlType) -> Option<Suits> {
        use SqlType::{Array, Float4, Float8, Int2, Int4, Int8, Numeric, Text, Varchar};
        let digits = |precision: &Option<u16>| precision.unwrap_or(u16::MAX);
        match (self, to) {
            (from, to) if from == to => Some(Suits::All),
            (Int2, Int4 | Int8) | (Int4, Int8) | (Float4, Float8) => Some(Suits::All),
            (Numeric { .. }, Numeric { precision: None, .. }) => Some(Suits::All),
            (Numeric { precision: Some(p), scale: a }, Numeric { precision: q, scale: b })
                if a.unwrap_or(0) == b.unwrap_or(0) && *p <= digits(q) =>
            {
                Some(Suits::All)
            }
            (Text | Varchar(_), Text | Varchar(None)) => Some(Suits::All),
            (Varchar(Some(from)), Varchar(Some(to))) if from <= to => Some(Suits::All),
            (Text | Varchar(_), Varchar(Some(_))) => Some(Suits::Short),
            (Array(from), Array(to)) => from.suits(to),
            _ => None,
        }
    }

    pub fn is_date_or_time(&self) -> bool {
        matches!(self, SqlType::Date | SqlType::Timestamp | SqlType::TimestampTz)
    }

    /// Whether a value may stand in a column of this type as it is. Nulls are not judged here.
    ///
    /// This is the last line of defence for what statements store: the executor has already converted.
    pub fn accepts(&self, value: &Value) -> bool {
        match (self, value) {
            // What json holds as a text is shown as it is.
            (SqlType::Json, Value::String(s)) => json::parse(s, false).is_ok(),
            (SqlType::Ion | SqlType::Json | SqlType::Jsonb, _) => true,
            (_, Value::Annotated(_)) => false,
            (SqlType::Bool, Value::Bool(_)) => true,
            (SqlType::Int2, Value::Int(Int::Small(i))) => i16::try_from(*i).is_ok(),
            (SqlType::Int4, Value::Int(Int::Small(i))) => i32::try_from(*i).is_ok(),
            (SqlType::Int8, Value::Int(Int::Small(_))) => true,
            (SqlType::Oid | SqlType::Reg(_), Value::Int(Int::Small(i))) => u32::try_from(*i).is_ok(),
            (SqlType::Float4, Value::Float(f)) => f.is_nan() || f64::from(*f as f32) == *f,
            (SqlType::Float8, Value::Float(_)) => true,
            (SqlType::Numeric { precision, scale }, Value::Decimal(d)) => {
                // A negative scale is rounded before the point, and the zeros are kept.
                let scale = scale.unwrap_or_default();
                let digits = precision.map(|p| u32::from(p) + u32::from((-scale).max(0).unsigned_abs()));
                digits.is_none_or(|n| d.exponent() == -i32::from(scale.max(0)) && decimal::has_at_most(d, n))
                    && decimal::has_room_for(d)
            }
            (SqlType::Text | SqlType::Name | SqlType::Varchar(_) | SqlType::Char(_), Value::String(s)) => {
                let longest = match self {
                    SqlType::Varchar(n) => *n,
                    SqlType::Char(n) => Some(*n),
                    _ => None,
                };
                longest.is_none_or(|n| has_at_most(s, n)) && !s.contains('\0')
            }
            (SqlType::Date, Value::Timestamp(t)) => t.precision == Precision::Day,
            (SqlType::Timestamp | SqlType::TimestampTz, Value::Timestamp(t)) => {
                let shown_whole = t.precision == Precision::Second && t.fraction.digits() <= 6;
                shown_whole && (*self == SqlType::TimestampTz || t.offset_minutes.unwrap_or(0) == 0)
            }
            (SqlType::Interval, Value::String(s)) => matches!(datetime::parse_interval(s), Ok(Some(_))),
            (SqlType::Bytea, Value::Blob(_)) => true,
            (SqlType::Time, Value::String(s)) => {
                time_of_day::parse(s).is_ok_and(|micros| time_of_day::format(micros) == **s)
            }
            (SqlType::Uuid, Value::String(s)) => text::parse_uuid(s).is_some_and(|uuid| uuid == **s),
            (SqlType::Int2Vector | SqlType::OidVector, Value::List(_)) => self.clone().in_expressions().accepts(value),
            (SqlType::Array(of), Value::List(items)) => {
                items.iter().all(|i| i.is_null() || of.accepts(i) || matches!(i, Value::List(_)) && self.accepts(i))
            }
            _ => false,
        }
    }
}

/// PostgreSQL's long name, which `parse` and `from_text` read back.
impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqlType::Bool => f.write_str("boolean"),
            SqlType::Int2 => f.write_str("smallint"),
            SqlType::Int4 => f.write_str("integer"),
            SqlType::Int8 => f.write_str("bigint"),
            SqlType::Float4 => f.write_str("real"),
            SqlType::Float8 => f.write_str("double precision"),
            SqlType::Numeric { precision: Some(p), scale } => write!(f, "numeric({p},{})", scale.unwrap_or(0)),
            SqlType::Numeric { precision: None, .. } => f.write_str("numeric"),
            SqlType::Text => f.write_str("text"),
            SqlType::Varchar(Some(n)) => write!(f, "character varying({n})"),
            SqlType::Varchar(None) => f.write_str("character varying"),
            SqlType::Char(n) => write!(f, "character({n})"),
            SqlType::Date => f.write_str("date"),
            SqlType::Time => f.write_str("time without time zone"),
            SqlType::Timestamp => f.write_str("timestamp without time zone"),
            SqlType::TimestampTz => f.write_str("timestamp with time zone"),
            SqlType::Interval => f.write_str("interval"),
            SqlType::Bytea => f.write_str("bytea"),
            SqlType::Json => f.write_str("json"),
            SqlType::Jsonb => f.write_str("jsonb"),
            SqlType::Uuid => f.write_str("uuid"),
            SqlType::Array(of) => write!(f, "{of}[]"),
            SqlType::Ion => f.write_str("ion"),
            SqlType::Name => f.write_str("name"),
            SqlType::Oid => f.write_str("oid"),
            SqlType::Reg(reg) => f.write_str(reg.name()),
            SqlType::Int2Vector => f.write_str("int2vector"),
            SqlType::OidVector => f.write_str("oidvector"),
            SqlType::Void => f.write_str("void"),
        }
    }
}

/// The names a user may mean, for a hint.
const COMMON: &[&str] = &[
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "real",
    "double precision",
    "numeric",
    "text",
    "varchar",
    "char",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "bytea",
    "json",
    "jsonb",
    "uuid",
    "ion",
];

fn unknown_type(name: &str, at: Option<&TypeName>) -> QueryError {
    let error = QueryError::new(SqlState::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
        .hint(format!("The types are {}.", COMMON.join(", ")));
    match at {
        Some(name) => error.at(name.span),
        None => error,
    }
}

fn bad_modifier(name: &TypeName, why: impl fmt::Display) -> QueryError {
    QueryError::new(SqlState::INVALID_PARAMETER_VALUE, format!("type {} {why}", name.name)).at(name.span)
}

fn length_of(name: &TypeName) -> Result<Option<u32>, QueryError> {
    match name.arguments.as_slice() {
        [] => Ok(None),
        [n] if (1..=CHARACTERS_MAX).contains(n) => Ok(Some(*n as u32)),
        [n] => Err(bad_modifier(name, format!("must have a length from 1 to {CHARACTERS_MAX}, not {n}"))),
        _ => Err(bad_modifier(name, "takes one length")),
    }
}

fn numeric_of(name: &TypeName) -> Result<SqlType, QueryError> {
    let (precision, scale) = match name.arguments.as_slice() {
        [] => return Ok(SqlType::NUMERIC),
        [p] => (*p, 0),
        [p, s] => (*p, *s),
        _ => return Err(bad_modifier(name, "takes a precision and a scale")),
    };
    if !(1..=NUMERIC_PRECISION_MAX).contains(&precision) {
        let why = format!("must have a precision from 1 to {NUMERIC_PRECISION_MAX}, not {precision}");
        return Err(bad_modifier(name, why));
    }
    if !(-NUMERIC_PRECISION_MAX..=NUMERIC_PRECISION_MAX).contains(&scale) {
        let why = format!("must have a scale from -{NUMERIC_PRECISION_MAX} to {NUMERIC_PRECISION_MAX}, not {scale}");
        return Err(bad_modifier(name, why));
    }
    Ok(SqlType::Numeric { precision: Some(precision as u16), scale: Some(scale as i16) })
}

fn float_of(name: &TypeName) -> Result<SqlType, QueryError> {
    match name.arguments.as_slice() {
        [] | [25..=53] => Ok(SqlType::Float8),
        [1..=24] => Ok(SqlType::Float4),
        _ => Err(bad_modifier(name, "must have a precision from 1 to 53 bits")),
    }
}

/// Six fraction digits are what there is, and more are as many; see [`SqlType::precision_of`] for fewer.
fn precise(name: &TypeName, ty: SqlType) -> Result<SqlType, QueryError> {
    match name.arguments.as_slice() {
        [] | [0..=i64::MAX] => Ok(ty),
        [digits] => Err(bad_modifier(name, format!("must have a precision from 0 to 6, not {digits}"))),
        _ => Err(bad_modifier(name, "takes one precision")),
    }
}

fn has_at_most(text: &str, characters: u32) -> bool {
    let most = characters as usize;
    text.len() <= most || text.chars().count() <= most
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::Decimal;

    use super::*;
    use crate::ast::Span;

    fn named(name: &str, arguments: &[i64]) -> TypeName {
        TypeName { name: name.into(), arguments: arguments.to_vec(), array_depth: 0, span: Span::default() }
    }

    #[test]
    fn every_type_reads_back_what_it_writes() {
        use SqlType::*;
        let all = [
            Bool,
            Int2,
            Int4,
            Int8,
            Float4,
            Float8,
            SqlType::NUMERIC,
            Numeric { precision: Some(12), scale: Some(2) },
            Numeric { precision: Some(5), scale: Some(-2) },
            Text,
            Varchar(None),
            Varchar(Some(9)),
            Char(1),
            Char(24),
            Date,
            Timestamp,
            TimestampTz,
            Interval,
            Bytea,
            Json,
            Jsonb,
            Uuid,
            Ion,
            Name,
            Oid,
            SqlType::Reg(super::Reg::Class),
            SqlType::Reg(super::Reg::Role),
            Void,
            Array(Box::new(Text)),
            Array(Box::new(Varchar(Some(3)))),
        ];
        for ty in all {
            assert_eq!(SqlType::from_text(&ty.to_string()).unwrap(), ty, "{ty}");
        }
    }

    #[test]
    fn a_precision_is_written_where_postgresql_writes_it_and_read_back() {
        for (ty, text) in [
            (SqlType::Timestamp, "timestamp(3) without time zone"),
            (SqlType::TimestampTz, "timestamp(3) with time zone"),
            (SqlType::Time, "time(3) without time zone"),
            (SqlType::Interval, "interval(3)"),
        ] {
            assert_eq!(ty.text_with(Some(3)), text);
            assert_eq!(SqlType::from_text_with(text).unwrap(), (ty.clone(), Some(3)));
            assert_eq!(SqlType::from_text_with(&ty.text_with(None)).unwrap(), (ty, None));
        }
        assert_eq!(SqlType::precision_of(&named("varchar", &[3])), None);
        assert_eq!(SqlType::precision_of(&named("timestamp", &[9])), None);
    }

    #[test]
    fn bad_names_and_modifiers_are_refused() {
        for (name, arguments, code) in [
            ("strng", vec![], SqlState::UNDEFINED_OBJECT),
            ("int4", vec![3], SqlState::INVALID_PARAMETER_VALUE),
            ("varchar", vec![0], SqlState::INVALID_PARAMETER_VALUE),
            ("varchar", vec![1, 2], SqlState::INVALID_PARAMETER_VALUE),
            ("numeric", vec![0], SqlState::INVALID_PARAMETER_VALUE),
            ("numeric", vec![1, 2, 3], SqlState::INVALID_PARAMETER_VALUE),
            ("numeric", vec![i64::MAX], SqlState::INVALID_PARAMETER_VALUE),
            ("float", vec![54], SqlState::INVALID_PARAMETER_VALUE),
            ("timestamp", vec![-1], SqlState::INVALID_PARAMETER_VALUE),
            ("interval", vec![1, 2], SqlState::INVALID_PARAMETER_VALUE),
        ] {
            assert_eq!(SqlType::parse(&named(name, &arguments)).unwrap_err().code, code, "{name} {arguments:?}");
        }
    }

    #[test]
    fn values_are_judged_by_type() {
        assert!(SqlType::Int2.accepts(&Value::int(32767)));
        assert!(!SqlType::Int2.accepts(&Value::int(32768)));
        assert!(!SqlType::Text.accepts(&Value::int(1)));
        assert!(SqlType::Varchar(Some(2)).accepts(&Value::string("éé")));
        assert!(!SqlType::Varchar(Some(2)).accepts(&Value::string("ééé")));
        assert!(SqlType::Array(Box::new(SqlType::Int4)).accepts(&Value::List(vec![Value::int(1), Value::NULL])));
        let rounded = SqlType::Numeric { precision: Some(5), scale: Some(-2) };
        assert!(rounded.accepts(&text::parse("1234567", &rounded, 0).unwrap()));
        let money = SqlType::Numeric { precision: Some(5), scale: Some(2) };
        let decimal = |coefficient: i64| Value::Decimal(Decimal::new(coefficient, -2));
        assert!(money.accepts(&decimal(-99_999)) && !money.accepts(&decimal(100_000)));
    }
}
