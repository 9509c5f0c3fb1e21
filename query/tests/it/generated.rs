//! Random schemas, documents and statements, for whoever compares answers: no ledger is needed to make them.
//!
//! `#[path]` brings this file into the end-to-end tests as well, which ask PostgreSQL the same.

use ledgerstone_digest::ion::{Decimal, Struct, Value, parse};
use ledgerstone_journal::env::SeededRng;

/// Columns: name, type, and flags, of which `p` is the primary key.
pub type Columns = Vec<(&'static str, &'static str, &'static str)>;

/// The columns that statements are about, with their most usual types.
pub fn usual_columns() -> Columns {
    vec![
        ("k", "int4", "p"),
        ("g", "int4", ""),
        ("i8", "int8", ""),
        ("n", "numeric", ""),
        ("f", "float8", ""),
        ("s", "text", ""),
        ("b", "bool", ""),
        ("d", "date", ""),
        ("t", "timestamptz", ""),
    ]
}

/// A statement in parts.
pub struct Statement {
    /// Without its LIMIT.
    pub body: String,
    pub limit: String,
    /// The columns that its answer is sorted by.
    pub keys: Vec<usize>,
}

impl Statement {
    pub fn text(&self) -> String {
        format!("{}{}", self.body, self.limit)
    }
}

/// How the values of a ledger are.
pub struct Manner {
    pub nulls: u64,
    pub mixed_scale: bool,
    pub zeros: bool,
    pub nan: bool,
    pub mixed: bool,
    pub huge: bool,
}

pub struct Pick {
    pub rng: SeededRng,
    pub columns: Columns,
    /// Only what PostgreSQL has too, and what does not depend on the order in which rows are visited.
    pub plain: bool,
}

impl Pick {
    /// Random types of the columns, in a random order.
    pub fn new(seed: u64, plain: bool) -> Pick {
        let mut pick = Pick { rng: SeededRng::new(seed), columns: usual_columns(), plain };
        let types: [(&str, &[&str]); 5] = [
            ("g", &["int4", "int2", "int8"]),
            ("n", &["numeric", "numeric(30,2)"]),
            ("f", &["float8", "float4"]),
            ("s", &["text", "varchar(5)"]),
            ("t", &["timestamptz", "timestamp"]),
        ];
        for (name, of) in types {
            // Half of all ledgers have the usual ones.
            if pick.below(2) == 0 {
                let ty = of[pick.below(of.len() as u64) as usize];
                pick.columns.iter_mut().find(|column| column.0 == name).expect("a column").1 = ty;
            }
        }
        for at in (2..pick.columns.len()).rev() {
            let other = 1 + pick.below(at as u64) as usize;
            pick.columns.swap(at, other);
        }
        pick
    }

    pub fn manner(&mut self) -> Manner {
        let plain = self.plain;
        Manner {
            nulls: self.below(4),
            // Which of two equal values stands for a group is open.
            mixed_scale: self.below(4) == 0 && !plain,
            zeros: self.below(3) == 0 && !plain,
            nan: self.below(4) == 0,
            mixed: self.below(3) == 0 && !plain,
            huge: self.below(3) == 0,
        }
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.rng.next_u64() % n
    }

    fn of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len() as u64) as usize]
    }

    pub fn document(&mut self, k: i64, manner: &Manner, free: bool) -> Value {
        let mut fields = vec![("k", Value::int(k))];
        for (name, ty, _) in self.columns.clone().into_iter().skip(1) {
            if self.below(8) < manner.nulls {
                if free && self.below(2) == 0 {
                    fields.push((name, Value::NULL));
                }
                continue;
            }
            let value = if free && manner.mixed && self.below(30) == 0 {
                let text =
                    self.of(&["1", "1.00", "\"x\"", "[1]", "{a:1}", "sym", "1e0", "a::1", "null.int", "{{aGk=}}"]);
                parse(text, &Default::default()).unwrap()
            } else {
                self.value(ty, manner)
            };
            fields.push((name, value));
        }
        Value::Struct(Struct::from_fields(fields))
    }

    fn value(&mut self, ty: &str, manner: &Manner) -> Value {
        let small = self.below(7) as i64 - 3;
        match ty {
            "int2" | "int4" => Value::int(small),
            "int8" if manner.huge => Value::int([i64::MAX, i64::MIN, small][self.below(3) as usize]),
            "int8" => Value::int(small * 1_000_000_007),
            "numeric(30,2)" => Value::Decimal(Decimal::new(small * 125, -2)),
            "numeric" if manner.mixed_scale && self.below(6) == 0 => Value::Decimal(Decimal::new(small, -1)),
            "numeric" if manner.huge && self.below(40) == 0 => {
                parse("12345678901234567890123456789012345678901234.56", &Default::default()).unwrap()
            }
            "numeric" if manner.zeros && self.below(20) == 0 => Value::Decimal(Decimal::negative_zero(-2)),
            "numeric" => Value::Decimal(Decimal::new(small * 125, -2)),
            "float8" | "float4" if manner.nan && self.below(10) == 0 => {
                Value::Float([f64::NAN, f64::INFINITY][self.below(2) as usize])
            }
            "float8" if manner.zeros && self.below(10) == 0 => Value::Float(-0.0),
            "float4" => Value::Float([0.5, 0.25, -2.5, 1e10, f64::from(f32::MAX), 0.0][self.below(6) as usize]),
            "float8" => Value::Float([0.5, 0.1, -2.5, 1e300, f64::MAX, 0.0][self.below(6) as usize]),
            "text" | "varchar(5)" => Value::string(self.of(&["", "a", "A", "aa", "b", "é", "zz", "a b"])),
            "bool" => Value::Bool(small > 0),
            "date" => parse(self.of(&["2020-01-31", "2020-02-01", "1969-12-31"]), &Default::default()).unwrap(),
            "timestamp" => {
                let texts =
                    ["2020-01-31T10:00:00-00:00", "2020-01-31T10:00:00.25-00:00", "1969-12-31T23:59:59.999999-00:00"];
                parse(self.of(&texts), &Default::default()).unwrap()
            }
            _ => {
                let texts = ["2020-01-31T10:00:00Z", "2020-01-31T10:00:00.25Z", "1969-12-31T23:59:59.999999Z"];
                parse(self.of(&texts), &Default::default()).unwrap()
            }
        }
    }

    pub fn statement(&mut self, blocks: &[u64]) -> Statement {
        let joins = self.below(3) == 0;
        let (from, names): (String, &[&str]) =
            if joins { self.joined(blocks) } else { (self.source(blocks, "x"), &["x"]) };
        let filter = match self.below(3) {
            0 | 1 => format!(" WHERE {}", self.condition(names[0])),
            _ => String::new(),
        };
        match self.below(14) {
            10 => {
                // What columns cannot compute is computed over the documents that they have chosen.
                let outputs = self.list(names, 2);
                let window = format!("count(*) OVER (PARTITION BY {}.g)", names[0]);
                let body = format!("SELECT {outputs}, {window} FROM {from}{filter}");
                Statement { body, limit: String::new(), keys: Vec::new() }
            }
            11..=13 => {
                let outputs = self.list(names, 4);
                let body = format!("SELECT {outputs} FROM {from}{filter}");
                Statement { body, limit: self.limit(), keys: Vec::new() }
            }
            0..=5 => self.grouped(&from, &filter, names),
            6 => {
                let outputs = self.list(names, 3);
                let (order, keys) = self.order();
                let body = format!("SELECT DISTINCT {outputs} FROM {from}{filter}{order}");
                Statement { body, limit: self.limit(), keys }
            }
            7 => {
                // A level inside another one.
                let inner = self.grouped(&from, &filter, names);
                let limit = if inner.keys.is_empty() { String::new() } else { inner.limit };
                // Which rows an inner LIMIT keeps is open, how many is not.
                Statement {
                    body: format!("SELECT count(*) FROM ({}{limit}) q", inner.body),
                    limit: String::new(),
                    keys: vec![0],
                }
            }
            _ => {
                let outputs = self.list(names, 4);
                let key = self.scalar(names);
                let (d, e) = (self.direction(), self.direction());
                let name = names[0];
                let star = self.of(&["", ", x.*"]);
                let star = if name == "x" { star } else { "" };
                let (key, keys) = match self.below(2) {
                    0 => (key, Vec::new()),
                    _ => ("1".to_owned(), vec![0]),
                };
                let body = format!("SELECT {outputs}{star} FROM {from}{filter} ORDER BY {key}{d}, 1{e}");
                Statement { body, limit: self.limit(), keys }
            }
        }
    }

    fn source(&mut self, blocks: &[u64], alias: &str) -> String {
        let name = self.of(&["a", "b", "c", "a"]);
        match self.below(6) {
            0 | 1 if self.plain => format!("{name} AS {alias}"),
            0 if name != "c" => format!("history({name}) AS {alias}"),
            1 if !blocks.is_empty() => {
                let block = blocks[self.below(blocks.len() as u64) as usize];
                format!("{name} AS OF BLOCK {block} AS {alias}")
            }
            2 if alias == "x" && name != "c" => format!("(SELECT * FROM {name} WHERE k > 2) AS {alias}"),
            _ => format!("{name} AS {alias}"),
        }
    }

    fn joined(&mut self, blocks: &[u64]) -> (String, &'static [&'static str]) {
        let kind = |p: &mut Pick| p.of(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]).to_owned();
        let on = |p: &mut Pick, l: &str, r: &str| {
            let key = p.of(&["g", "s", "n", "i8", "d", "b", "t", "f"]);
            let more = p.of(&["", "", " AND @l.g = @r.g"]).replace("@l", l).replace("@r", r);
            format!("{l}.{key} = {r}.{key}{more}")
        };
        let (x, y) = (self.source(blocks, "x"), self.source(blocks, "y"));
        let two = format!("{x} {} {y} ON {}", kind(self), on(self, "x", "y"));
        if self.below(4) > 0 {
            return (two, &["x", "y"]);
        }
        let z = self.source(blocks, "z");
        (format!("{two} {} {z} ON {}", kind(self), on(self, "y", "z")), &["x", "y", "z"])
    }

    fn grouped(&mut self, from: &str, filter: &str, names: &[&str]) -> Statement {
        let keys: Vec<String> = (0..self.below(3)).map(|_| self.scalar(names)).collect();
        let aggregates: Vec<String> = (0..=self.below(4)).map(|_| self.aggregate(names)).collect();
        let mut text = format!("SELECT {} FROM {from}{filter}", [keys.clone(), aggregates].concat().join(", "));
        if !keys.is_empty() {
            text.push_str(&format!(" GROUP BY {}", keys.join(", ")));
        }
        if self.below(4) == 0 {
            text.push_str(" HAVING count(*) > 1");
        }
        let (order, keys) = if self.below(3) == 0 { self.order() } else { Default::default() };
        text.push_str(&order);
        Statement { body: text, limit: self.limit(), keys }
    }

    fn order(&mut self) -> (String, Vec<usize>) {
        match self.below(2) {
            0 => (String::new(), Vec::new()),
            _ => (format!(" ORDER BY 1{}", self.direction()), vec![0]),
        }
    }

    fn direction(&mut self) -> &'static str {
        self.of(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"])
    }

    fn limit(&mut self) -> String {
        match self.below(4) {
            0 => format!(" LIMIT {}", self.below(5)),
            1 => format!(" LIMIT {} OFFSET {}", self.below(5), self.below(4)),
            _ => String::new(),
        }
    }

    fn list(&mut self, names: &[&str], most: u64) -> String {
        (0..=self.below(most)).map(|_| self.scalar(names)).collect::<Vec<_>>().join(", ")
    }

    fn column(&mut self, names: &[&str], of: &[&str]) -> String {
        format!("{}.{}", self.of(names), self.of(of))
    }

    fn scalar(&mut self, names: &[&str]) -> String {
        let column = self.column(names, &["g", "i8", "n", "f", "s", "b", "d", "t", "g", "s", "k"]);
        match self.below(24) {
            12 => format!("date_trunc('month', {}.t)", self.of(names)),
            13 => format!("date_trunc('{}', {}.d)", self.of(&["week", "year", "quarter"]), self.of(names)),
            14 => {
                format!("extract({} from {}.t)", self.of(&["year", "month", "dow", "second", "epoch"]), self.of(names))
            }
            15 => format!("{}.n {} {}.g", self.of(names), self.of(&["+", "-", "*"]), self.of(names)),
            16 => format!("{}.i8 {} {}.g", self.of(names), self.of(&["+", "-", "*"]), self.of(names)),
            17 => format!("{0}.s || {0}.g::text", self.of(names)),
            18 => format!("coalesce({0}.n, {0}.g, 0)", self.of(names)),
            19 => format!("({})", self.condition(names[0])),
            20 => format!("CASE WHEN {} THEN {column} END", self.condition(names[0])),
            21 => format!("length({}.s)", self.of(names)),
            0 => format!("{}.g % 3", self.of(names)),
            1 => format!("coalesce({}.s, 'none')", self.of(names)),
            2 => format!("{}.n * 2", self.of(names)),
            3 => format!("upper({}.s)", self.of(names)),
            4 => format!("CASE WHEN {}.g > 0 THEN 'up' ELSE 'down' END", self.of(names)),
            5 => format!("10 / {}.g", self.of(names)),
            6 => format!("{column} IS NULL"),
            _ => column,
        }
    }

    fn aggregate(&mut self, names: &[&str]) -> String {
        let any = self.column(names, &["g", "i8", "n", "f", "s", "d", "t", "k"]);
        let number = self.column(names, &["g", "i8", "n", "g", "n", "k"]);
        let call = match self.below(14) {
            0 => "count(*)".to_owned(),
            1 => format!("count({any})"),
            2 => format!("count(DISTINCT {any})"),
            3 | 4 => format!("sum({number})"),
            5 => format!("avg({number})"),
            6 => format!("min({any})"),
            7 => format!("max({any})"),
            8 => format!("bool_and({}.b)", self.of(names)),
            9 => format!("bool_or({}.b)", self.of(names)),
            10 => format!("sum({}.g * 1000000000)", self.of(names)),
            11 if self.plain => format!("max({}.f)", self.of(names)),
            11 => format!("sum({}.f)", self.of(names)),
            12 => format!("avg(DISTINCT {number})"),
            _ => format!("sum({}.n + 1)", self.of(names)),
        };
        match self.below(6) {
            0 => format!("{call} FILTER (WHERE {})", self.condition(names[0])),
            _ => call,
        }
    }

    fn condition(&mut self, name: &str) -> String {
        const SIMPLE: &[&str] = &[
            "@.g > 0",
            "@.s LIKE 'a%'",
            "@.s ILIKE '%A_'",
            "@.b",
            "NOT @.b",
            "@.n IS NOT NULL",
            "@.s IS NULL",
            "@.k % 2 = 0",
            "10 / @.g > 2",
            "@.d < '2020-02-01'",
            "@.d = @.d",
            "@.t >= '2020-01-31T10:00:00Z'",
            "@.t < @.d",
            "@.n > 1",
            "@.n BETWEEN -1.25 AND 2.5",
            "@.n = @.g",
            "@.g <> @.n",
            "@.i8 > @.g",
            "@.f < 0.5",
            "@.f = @.f",
            "@.f > @.n",
            "@.s IN ('a', 'zz', 'é')",
            "@.g NOT IN (1, 2, NULL)",
            "@.n IN (1.25, 0, 2.50)",
            "@.s >= 'aa'",
            "'b' > @.s",
            "upper(@.s) = 'A'",
            "@.b IS DISTINCT FROM (@.g > 0)",
            "@.b IS TRUE",
            "coalesce(@.b, @.g > 1)",
            "@.n + @.g > 2",
            "NULL::boolean",
        ];
        let one = self.of(SIMPLE);
        let condition = match self.below(5) {
            0 => format!("{one} AND {}", self.of(SIMPLE)),
            1 => format!("({one} OR {})", self.of(SIMPLE)),
            2 => format!("NOT ({one} AND ({} OR {}))", self.of(SIMPLE), self.of(SIMPLE)),
            _ => one.to_owned(),
        };
        condition.replace('@', name)
    }
}
