//! Syntax trees on one line, for the tests of the front ends.

use std::fmt::Write;

use ledgerstone_digest::ion::{Int, Value};

use crate::ast::*;

/// `(select (items a (as b x)) (from t))` and the like.
pub(crate) fn statement(s: &Statement) -> String {
    match s {
        Statement::Query(q) => query(q),
        Statement::Insert(i) => insert(i),
        Statement::Update(u) => {
            let changes = list(&u.changes, change);
            format!("(update {} {changes}{}{})", list(&u.from, from), filter(&u.filter), returning(&u.returning))
        }
        Statement::Delete(d) => {
            format!("(delete {}{}{})", list(&d.from, from), filter(&d.filter), returning(&d.returning))
        }
        Statement::Merge(m) => merge(m),
        Statement::CreateTable(c) => create_table(c),
        Statement::DropTable { names, if_exists } => {
            format!("(drop-table{} {})", flag(*if_exists, "if-exists"), list(names, table))
        }
        Statement::UndropTable { table_id } => format!("(undrop {})", name(table_id)),
        Statement::CreateIndex(c) => format!(
            "(create-index{}{} {} {} {})",
            flag(c.unique, "unique"),
            flag(c.if_not_exists, "if-not-exists"),
            c.name.as_ref().map_or("_".into(), name),
            table(&c.table),
            list(&c.columns, expr)
        ),
        Statement::DropIndex { names, on, if_exists } => format!(
            "(drop-index{} {}{})",
            flag(*if_exists, "if-exists"),
            list(names, name),
            on.as_ref().map_or(String::new(), |t| format!(" on {}", table(t)))
        ),
        Statement::AlterTable { table: t, if_exists, action } => {
            format!("(alter{} {} {})", flag(*if_exists, "if-exists"), table(t), alter(action))
        }
        Statement::Comment(c) => {
            let on = match &c.on {
                Commented::Table(t) => format!("table {}", table(t)),
                Commented::Column { table: t, column } => format!("column {}.{}", table(t), name(column)),
                Commented::Constraint { name: n, table: t } => format!("constraint {} {}", name(n), table(t)),
                Commented::Index(t) => format!("index {}", table(t)),
                Commented::View(t) => format!("view {}", table(t)),
                Commented::Database(n) => format!("database {}", name(n)),
            };
            format!("(comment {on} {})", c.text.as_ref().map_or("null".into(), |text| format!("'{text}'")))
        }
        Statement::Sequence(said) => {
            let change = match &said.change {
                SequenceChange::Create { counts_from, owner } => {
                    let owner = owner.as_ref().map_or(String::new(), |(t, c)| format!(" of {}.{}", table(t), name(c)));
                    format!("create{}{owner}", optional_int("from", *counts_from))
                }
                SequenceChange::OwnedBy { table: t, column } => format!("of {}.{}", table(t), name(column)),
                SequenceChange::Restart(from) => format!("restart {from}"),
            };
            format!("(sequence{} {} {change})", flag(said.lenient, "leniently"), table(&said.name))
        }
        Statement::Exec { procedure, arguments } => format!("(exec {} {})", name(procedure), list(arguments, expr)),
        Statement::Explain { analyze, statement: s } => {
            format!("(explain{} {})", flag(*analyze, "analyze"), statement(s))
        }
        Statement::Set { name, value, local } => {
            let value = match value {
                SetValue::Default => "default".into(),
                SetValue::Values(v) => list(v, literal),
            };
            format!("(set{} {name} {value})", flag(*local, "local"))
        }
        Statement::Copy(c) => copy(c),
        other => format!("{other:?}"),
    }
}

fn flag(on: bool, text: &str) -> String {
    if on { format!(" {text}") } else { String::new() }
}

fn list<T>(items: &[T], one: impl Fn(&T) -> String) -> String {
    items.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn name(n: &Name) -> String {
    if n.quoted { format!("\"{}\"", n.text) } else { n.text.to_string() }
}

fn table(t: &TableName) -> String {
    match &t.schema {
        Some(schema) => format!("{}.{}", name(schema), name(&t.name)),
        None => name(&t.name),
    }
}

fn filter(e: &Option<Expr>) -> String {
    optional("where", e.as_ref())
}

fn optional(label: &str, e: Option<&Expr>) -> String {
    e.map_or(String::new(), |e| format!(" ({label} {})", expr(e)))
}

fn group<T>(label: &str, items: &[T], one: impl Fn(&T) -> String) -> String {
    if items.is_empty() { String::new() } else { format!(" ({label} {})", list(items, one)) }
}

fn returning(items: &[SelectItem]) -> String {
    group("returning", items, item)
}

fn merge(m: &Merge) -> String {
    let when = |w: &MergeWhen| {
        let action = match &w.action {
            MergeAction::Nothing => "nothing".into(),
            MergeAction::Delete => "delete".into(),
            MergeAction::Update(set) => format!("(update {})", list(set, assignment)),
            MergeAction::Insert(i) => {
                let columns = group("columns", &i.columns, name);
                format!("(insert{columns}{} {})", overriding(i.overriding), insert_source(&i.source))
            }
        };
        format!("({}{} {action})", if w.matched { "matched" } else { "not-matched" }, filter(&w.condition))
    };
    let with = with(&m.with, m.recursive);
    format!("(merge {with}{} {} {} {})", from(&m.table), from(&m.source), expr(&m.on), list(&m.whens, when))
}

fn insert_source(source: &InsertSource) -> String {
    match source {
        InsertSource::Query(q) => query(q),
        InsertSource::DefaultValues => "defaults".into(),
        InsertSource::Document { expr: e, single } => {
            format!("({} {})", if *single { "value" } else { "documents" }, expr(e))
        }
    }
}

fn overriding(overriding: Option<Overriding>) -> &'static str {
    match overriding {
        None => "",
        Some(Overriding::System) => " overriding-system",
        Some(Overriding::User) => " overriding-user",
    }
}

fn insert(i: &Insert) -> String {
    let source = insert_source(&i.source);
    let conflict = i.on_conflict.as_ref().map_or(String::new(), |c| {
        let constraint = c.constraint.as_ref().map_or(String::new(), |n| format!(" constraint {}", name(n)));
        let action = match &c.update {
            None => "nothing".into(),
            Some((set, condition)) => format!("{}{}", list(set, assignment), filter(condition)),
        };
        format!(" (conflict{}{constraint} {action})", group("on", &c.target, name))
    });
    let overriding = overriding(i.overriding);
    format!(
        "(insert {}{}{}{overriding} {}{source}{conflict}{})",
        table(&i.table),
        i.alias.as_ref().map_or(String::new(), |a| format!(" as {}", name(a))),
        group("columns", &i.columns, name),
        with(&i.with, i.recursive),
        returning(&i.returning)
    )
}

fn assignment(a: &Assignment) -> String {
    format!("(set {} {})", expr(&a.target), expr(&a.value))
}

fn change(c: &Change) -> String {
    match c {
        Change::Set(a) => assignment(a),
        Change::Insert { path, value, at } => {
            format!("(insert {} {}{})", expr(path), expr(value), optional("at", at.as_ref()))
        }
        Change::Remove { path } => format!("(remove {})", expr(path)),
    }
}

fn create_table(c: &CreateTable) -> String {
    let options = group("with", &c.options, |(n, v)| format!("{n}={}", literal(v)));
    let query = c.as_query.as_ref().map_or(String::new(), |made| {
        let names: Vec<&str> = made.columns.iter().map(|name| &*name.text).collect();
        let names = if names.is_empty() { String::new() } else { format!(" named ({})", names.join(" ")) };
        let empty = if made.no_data { " empty" } else { "" };
        format!("{names} as {}{empty}", query(&made.query))
    });
    format!(
        "(create-table{} {}{}{}{}{options}{query})",
        flag(c.if_not_exists, "if-not-exists"),
        table(&c.name),
        group("columns", &c.columns, column),
        group("like", &c.likes, like),
        group("constraints", &c.constraints, constraint)
    )
}

fn like(l: &Like) -> String {
    let mut out = format!("({} at {}", table(&l.table), l.at);
    for (on, text) in [
        (l.comments, "comments"),
        (l.constraints, "constraints"),
        (l.defaults, "defaults"),
        (l.identity, "identity"),
        (l.indexes, "indexes"),
    ] {
        out.push_str(&flag(on, text));
    }
    out.push(')');
    out
}

fn column(c: &ColumnDefinition) -> String {
    let mut out = format!("({} {}", name(&c.name), type_name(&c.ty));
    for (on, text) in [
        (c.not_null, "not-null"),
        (c.primary_key, "primary-key"),
        (c.unique, "unique"),
        (c.identity.is_some(), "identity"),
        (c.identity == Some(Identity::Always), "always"),
    ] {
        out.push_str(&flag(on, text));
    }
    out.push_str(&optional_int("from", c.counts_from));
    if let (Some(e), Some(text)) = (&c.default, &c.default_text) {
        let _ = write!(out, " (default {} '{text}')", expr(e));
    }
    let check = |(e, text, name): &(crate::ast::Expr, std::sync::Arc<str>, Option<crate::ast::Name>)| {
        let name = name.as_ref().map_or(String::new(), |name| format!("{} ", name.text));
        format!("{name}{} '{text}'", expr(e))
    };
    out.push_str(&group("checks", &c.checks, check));
    out + ")"
}

fn generated(identity: Option<Identity>) -> &'static str {
    match identity {
        Some(Identity::Always) => " always",
        Some(Identity::ByDefault) => " by-default",
        None => "",
    }
}

fn optional_int(what: &str, value: Option<i64>) -> String {
    value.map_or(String::new(), |value| format!(" ({what} {value})"))
}

fn constraint(c: &TableConstraint) -> String {
    let label = |n: &Option<Name>| n.as_ref().map_or(String::new(), |n| format!("{}:", name(n)));
    match c {
        TableConstraint::PrimaryKey { name: n, columns } => {
            format!("({}primary-key {})", label(n), list(columns, name))
        }
        TableConstraint::Unique { name: n, columns } => format!("({}unique {})", label(n), list(columns, name)),
        TableConstraint::Check { name: n, expr: e, text } => format!("({}check {} '{text}')", label(n), expr(e)),
    }
}

fn alter(a: &AlterTable) -> String {
    match a {
        AlterTable::AddColumn { column: c, if_not_exists } => {
            format!("(add{} {})", flag(*if_not_exists, "if-not-exists"), column(c))
        }
        AlterTable::DropColumn { name: n, if_exists } => {
            format!("(drop{} {})", flag(*if_exists, "if-exists"), name(n))
        }
        AlterTable::RenameTo(n) => format!("(rename {})", name(n)),
        AlterTable::RenameColumn { from, to } => format!("(rename-column {} {})", name(from), name(to)),
        AlterTable::AddConstraint(c) => format!("(add {})", constraint(c)),
        AlterTable::DropConstraint { name: n, if_exists } => {
            format!("(drop-constraint{} {})", flag(*if_exists, "if-exists"), name(n))
        }
        AlterTable::SetNotNull(n) => format!("(set-not-null {})", name(n)),
        AlterTable::DropNotNull(n) => format!("(drop-not-null {})", name(n)),
        AlterTable::SetDefault { name: n, default, text } => {
            format!("(set-default {} {} '{text}')", name(n), expr(default))
        }
        AlterTable::DropDefault(n) => format!("(drop-default {})", name(n)),
        AlterTable::AddGenerated { name: n, identity, counts_from, sequence } => {
            let sequence = sequence.as_ref().map_or(String::new(), |s| format!(" (sequence {})", name(s)));
            let (kind, from) = (generated(Some(*identity)), optional_int("from", *counts_from));
            format!("(add-generated {}{kind}{from}{sequence})", name(n))
        }
        AlterTable::SetGenerated { name: n, identity, counts_from } => {
            format!("(set-generated {}{}{})", name(n), generated(*identity), optional_int("from", *counts_from))
        }
        AlterTable::DropIdentity { name: n, if_exists } => {
            format!("(drop-identity{} {})", flag(*if_exists, "if-exists"), name(n))
        }
        AlterTable::SetType { name: n, ty, using } => {
            format!("(set-type {} {}{})", name(n), type_name(ty), optional("using", using.as_ref()))
        }
        AlterTable::Several(actions) => list(actions, alter),
    }
}

fn copy(c: &Copy) -> String {
    let target = match &c.target {
        CopyTarget::Table { table: t, columns } => format!("{}{}", table(t), group("columns", columns, name)),
        CopyTarget::Query(q) => query(q),
        CopyTarget::Change(change) => statement(change),
    };
    let place = match &c.place {
        CopyPlace::Standard => "std".into(),
        CopyPlace::File(f) => format!("'{f}'"),
    };
    format!(
        "(copy {target} {} {place} {:?}{} delimiter={:?} null={:?} quote={:?} escape={:?})",
        if c.from { "from" } else { "to" },
        c.format,
        flag(c.header, "header"),
        c.delimiter as char,
        c.null,
        c.quote as char,
        c.escape as char
    )
}

fn with(tables: &[CommonTable], recursive: bool) -> String {
    match tables {
        [] => String::new(),
        _ => format!("(with{} {}) ", flag(recursive, "recursive"), list(tables, common_table)),
    }
}

fn common_table(c: &CommonTable) -> String {
    let rows = match &c.rows {
        CommonRows::Query(q) => query(q),
        CommonRows::Change(change) => statement(change),
    };
    format!("({}{} {rows})", name(&c.name), group("columns", &c.columns, name))
}

pub(crate) fn query(q: &Query) -> String {
    let mut out = with(&q.with, q.recursive);
    out.push_str(&body(&q.body));
    out.push_str(&group("order", &q.order_by, order));
    out.push_str(&optional("limit", q.limit.as_ref()));
    out.push_str(&flag(q.ties, "with-ties"));
    out.push_str(&optional("offset", q.offset.as_ref()));
    out
}

fn body(b: &SetExpr) -> String {
    match b {
        SetExpr::Select(s) => select(s),
        SetExpr::Query(q) => format!("({})", query(q)),
        SetExpr::Operation { op, all, left, right } => {
            let op = format!("{op:?}").to_lowercase();
            format!("({op}{} {} {})", flag(*all, "all"), body(left), body(right))
        }
        SetExpr::Values { rows, .. } => format!("(values {})", list(rows, |r| format!("({})", list(r, expr)))),
        SetExpr::Expr(e) => format!("(expr {})", expr(e)),
    }
}

fn select(s: &Select) -> String {
    let distinct = match &s.distinct {
        Distinct::No => String::new(),
        Distinct::Yes => " distinct".into(),
        Distinct::On(on) => group("distinct-on", on, expr),
    };
    let projection = match &s.projection {
        Projection::Items(items) => list(items, item),
        Projection::Value(e) => format!("(value {})", expr(e)),
        Projection::Pivot { value, at } => format!("(pivot {} {})", expr(value), expr(at)),
    };
    format!(
        "(select{distinct} {projection}{}{}{}{}{})",
        group("from", &s.from, from),
        filter(&s.filter),
        group("group", &s.group_by, grouping),
        optional("having", s.having.as_ref()),
        group("window", &s.windows, |(n, w)| format!("({} {})", name(n), window(w)))
    )
}

fn grouping(e: &GroupingElement) -> String {
    let set = |exprs: &Vec<crate::ast::Expr>| match exprs.as_slice() {
        [only] => expr(only),
        several => format!("({})", list(several, expr)),
    };
    match e {
        GroupingElement::Set(exprs, _) => set(exprs),
        GroupingElement::Rollup(sets, _) => format!("(rollup {})", list(sets, set)),
        GroupingElement::Cube(sets, _) => format!("(cube {})", list(sets, set)),
        GroupingElement::Sets(elements, _) => format!("(grouping-sets {})", list(elements, grouping)),
        GroupingElement::Distinct(elements, _) => format!("(distinct {})", list(elements, grouping)),
    }
}

fn item(i: &SelectItem) -> String {
    match i {
        SelectItem::Expr { expr: e, alias: None } => expr(e),
        SelectItem::Expr { expr: e, alias: Some(a) } => format!("(as {} {})", expr(e), name(a)),
        SelectItem::Wildcard(_) => "*".into(),
        SelectItem::QualifiedWildcard(e) => format!("{}.*", expr(e)),
    }
}

fn from(f: &From) -> String {
    match f {
        From::Path { path, as_of, alias: a } => {
            let version = match as_of {
                None => String::new(),
                Some(AsOf::Timestamp(e)) => format!(" (as-of-timestamp {})", expr(e)),
                Some(AsOf::Block(e)) => format!(" (as-of-block {})", expr(e)),
            };
            let rest = version + &alias(a);
            if rest.is_empty() { expr(path) } else { format!("({}{rest})", expr(path)) }
        }
        From::Function { name: n, arguments, lateral, with_ordinality, alias: a } => format!(
            "(table-function{}{} {}{}{})",
            flag(*lateral, "lateral"),
            flag(*with_ordinality, "ordinality"),
            table(n),
            group("arguments", arguments, expr),
            alias(a)
        ),
        From::Subquery { query: q, lateral, alias: a } => {
            format!("(subquery{} {}{})", flag(*lateral, "lateral"), query(q), alias(a))
        }
        From::Unpivot { expr: e, alias: a } => format!("(unpivot {}{})", expr(e), alias(a)),
        From::Expr { expr: e, alias: a } => format!("(each {}{})", expr(e), alias(a)),
        From::Join { kind, left, right, on } => {
            let on = match on {
                JoinOn::None => String::new(),
                JoinOn::On(e) => format!(" (on {})", expr(e)),
                JoinOn::Using(c) => group("using", c, name),
                JoinOn::Natural => " natural".into(),
            };
            format!("({} {} {}{on})", format!("{kind:?}").to_lowercase(), from(left), from(right))
        }
    }
}

fn alias(a: &Alias) -> String {
    let one = |label: &str, n: &Option<Name>| n.as_ref().map_or(String::new(), |n| format!(" {label} {}", name(n)));
    format!("{}{}{}{}", one("as", &a.name), group("columns", &a.columns, name), one("at", &a.at), one("by", &a.by))
}

fn order(o: &OrderBy) -> String {
    let nulls = match o.nulls_first {
        None => "",
        Some(true) => " nulls-first",
        Some(false) => " nulls-last",
    };
    if o.descending || !nulls.is_empty() {
        format!("({}{}{nulls})", expr(&o.expr), flag(o.descending, "desc"))
    } else {
        expr(&o.expr)
    }
}

fn window(w: &WindowSpec) -> String {
    let frame = w.frame.as_ref().map_or(String::new(), |f| {
        let bound = |b: &FrameBound| match b {
            FrameBound::Preceding(e) => format!("(preceding {})", expr(e)),
            FrameBound::Following(e) => format!("(following {})", expr(e)),
            other => format!("{other:?}"),
        };
        format!(" ({} {} {})", format!("{:?}", f.unit).to_lowercase(), bound(&f.start), bound(&f.end))
    });
    format!(
        "(window{}{}{}{frame})",
        w.base.as_ref().map_or(String::new(), |b| format!(" {}", name(b))),
        group("partition", &w.partition_by, expr),
        group("order", &w.order_by, order)
    )
}

fn type_name(t: &TypeName) -> String {
    let arguments = if t.arguments.is_empty() {
        String::new()
    } else {
        format!("({})", t.arguments.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    format!("{}{arguments}{}", t.name, "[]".repeat(t.array_depth.into()))
}

fn literal(v: &Value) -> String {
    match v {
        Value::Null(ledgerstone_digest::ion::IonType::Null) => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(Int::Small(i)) => i.to_string(),
        Value::Int(Int::Big(i)) => i.to_string(),
        Value::Decimal(d) => format!("{}d{}", literal(&Value::Int(d.coefficient().clone())), d.exponent()),
        Value::String(s) => format!("'{s}'"),
        other => format!("`{other:?}`"),
    }
}

fn step(s: &PathStep) -> String {
    match s {
        PathStep::Field(n) if n.quoted => format!(".{}", name(n)),
        PathStep::Field(n) => format!(".{}", n.written),
        PathStep::Index(e) => format!("[{}]", expr(e)),
        PathStep::AllElements => "[*]".into(),
        PathStep::AllFields => ".*".into(),
    }
}

fn not(negated: bool, op: &str) -> String {
    if negated { format!("not-{op}") } else { op.into() }
}

pub(crate) fn expr(e: &Expr) -> String {
    match &e.kind {
        ExprKind::Literal(v) => literal(v),
        ExprKind::Missing => "missing".into(),
        ExprKind::Parameter(n) => format!("?{n}"),
        ExprKind::Name(n) => name(n),
        ExprKind::LocalName(n) => format!("@{}", name(n)),
        ExprKind::Path { base, steps } => format!("{}{}", expr(base), steps.iter().map(step).collect::<String>()),
        ExprKind::Unary { op, expr: e } => format!("({op:?} {})", expr(e)).to_lowercase_op(),
        ExprKind::Binary { op, left, right } => format!("({} {} {})", operator(*op), expr(left), expr(right)),
        ExprKind::IsNull { expr: e, negated } => format!("({} {})", not(*negated, "is-null"), expr(e)),
        ExprKind::IsMissing { expr: e, negated } => format!("({} {})", not(*negated, "is-missing"), expr(e)),
        ExprKind::IsBool { expr: e, value, negated } => {
            let op = value.map_or("is-unknown".into(), |v| format!("is-{v}"));
            format!("({} {})", not(*negated, &op), expr(e))
        }
        ExprKind::IsType { expr: e, ty, negated } => {
            format!("({} {} {})", not(*negated, "is-type"), expr(e), type_name(ty))
        }
        ExprKind::IsDistinctFrom { left, right, negated } => {
            format!("({} {} {})", not(*negated, "distinct-from"), expr(left), expr(right))
        }
        ExprKind::Between { expr: e, low, high, negated } => {
            format!("({} {} {} {})", not(*negated, "between"), expr(e), expr(low), expr(high))
        }
        ExprKind::InList { expr: e, list: l, negated } => {
            format!("({} {} ({}))", not(*negated, "in"), expr(e), list(l, expr))
        }
        ExprKind::InExpr { expr: e, collection, negated } => {
            format!("({} {} {})", not(*negated, "in"), expr(e), expr(collection))
        }
        ExprKind::Like { expr: e, pattern, escape, case_insensitive, negated } => {
            let op = if *case_insensitive { "ilike" } else { "like" };
            let escape = optional("escape", escape.as_deref());
            format!("({} {} {}{escape})", not(*negated, op), expr(e), expr(pattern))
        }
        other => composite(other),
    }
}

fn composite(e: &ExprKind) -> String {
    match e {
        ExprKind::Case { operand, whens, otherwise } => format!(
            "(case{}{}{})",
            operand.as_ref().map_or(String::new(), |o| format!(" {}", expr(o))),
            whens.iter().map(|(w, t)| format!(" ({} {})", expr(w), expr(t))).collect::<String>(),
            optional("else", otherwise.as_deref())
        ),
        ExprKind::Cast { expr: e, ty } => format!("(cast {} {})", expr(e), type_name(ty)),
        ExprKind::Function(f) => call(f),
        ExprKind::Subquery(q) => format!("(query {})", query(q)),
        ExprKind::Exists(q) => format!("(exists {})", query(q)),
        ExprKind::ArraySubquery(q) => format!("(array {})", query(q)),
        ExprKind::Quantified { op, all, left, right } => {
            format!("({} {} {} {})", operator(*op), if *all { "all" } else { "any" }, expr(left), expr(right))
        }
        ExprKind::List(items) => format!("[{}]", list(items, expr)),
        ExprKind::Bag(items) => format!("<<{}>>", list(items, expr)),
        ExprKind::Struct(fields) => {
            format!("{{{}}}", list(fields, |(n, v)| format!("{}:{}", expr(n), expr(v))))
        }
        ExprKind::Row(items) => format!("(row {})", list(items, expr)),
        ExprKind::Extract { field, from } => format!("(extract {field} {})", expr(from)),
        other => format!("{other:?}"),
    }
}

fn call(f: &FunctionCall) -> String {
    let over = match &f.over {
        None => String::new(),
        Some(WindowRef::Name(n)) => format!(" (over {})", name(n)),
        Some(WindowRef::Spec(w)) => format!(" (over {})", window(w)),
    };
    format!(
        "({}{}{}{}{}{}{over})",
        table(&f.name),
        flag(f.star, "*"),
        flag(f.distinct, "distinct"),
        f.arguments.iter().map(|a| format!(" {}", expr(a))).collect::<String>(),
        group("order", &f.order_by, order),
        optional("filter", f.filter.as_ref())
    )
}

fn operator(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::And => "and",
        BinaryOp::Or => "or",
        BinaryOp::Eq => "=",
        BinaryOp::NotEq => "<>",
        BinaryOp::Lt => "<",
        BinaryOp::LtEq => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::GtEq => ">=",
        BinaryOp::Add => "+",
        BinaryOp::Subtract => "-",
        BinaryOp::Multiply => "*",
        BinaryOp::Divide => "/",
        BinaryOp::Modulo => "%",
        BinaryOp::Power => "^",
        BinaryOp::Concat => "||",
        BinaryOp::JsonGet => "->",
        BinaryOp::JsonGetText => "->>",
        BinaryOp::JsonPath => "#>",
        BinaryOp::JsonPathText => "#>>",
        BinaryOp::Contains => "@>",
        BinaryOp::ContainedBy => "<@",
        BinaryOp::JsonExists => "json-exists",
        BinaryOp::RegexMatch => "~",
        BinaryOp::RegexMatchInsensitive => "~*",
        BinaryOp::RegexNotMatch => "!~",
        BinaryOp::RegexNotMatchInsensitive => "!~*",
        BinaryOp::BitAnd => "&",
        BinaryOp::BitOr => "|",
        BinaryOp::BitXor => "#",
        BinaryOp::ShiftLeft => "<<",
        BinaryOp::ShiftRight => ">>",
    }
}

trait LowercaseOp {
    fn to_lowercase_op(self) -> String;
}

impl LowercaseOp for String {
    /// The operator's name in lower case, the rest as it is.
    fn to_lowercase_op(self) -> String {
        match self.split_once(' ') {
            Some((op, rest)) => format!("{} {rest}", op.to_lowercase()),
            None => self,
        }
    }
}
