//! What clients observed, judged without the model: is there one order of all transactions, in which each ran alone and
//! none came before one that had been answered before it was asked (strict serializability)?
//!
//! Two workloads. Lists are appended to with elements that are never used twice, so a read of one says which appends came
//! before it, in which order, and which had not come yet: that gives dependencies between transactions, and those
//! together with real time must have no cycle (Kingsbury and Alvaro, "Elle", 2020). Accounts are transferred between:
//! in the order of the journal every transfer must have read what those before it left, and the sum never changes.

use std::collections::{BTreeMap, HashMap};

use super::actions::{ACCOUNTS, BALANCE};
use super::model::Answer;
use super::statement::{Change, Filter, Shape, Statement, View};

/// Everything that clients asked and were told.
#[derive(Default)]
pub struct History {
    done: Vec<Observed>,
    /// By user: transactions whose outcome nobody knows.
    pending: BTreeMap<String, Observed>,
    /// The ledger was allowed to lose blocks, so there is no one history.
    pub is_void: bool,
}

/// One transaction as its client saw it.
#[derive(Debug, Clone, Default)]
struct Observed {
    began: u64,
    /// `u64::MAX`: it was never answered.
    ended: u64,
    block: Option<u64>,
    /// A list as it was read, and how many appends of its own the transaction had done by then.
    reads: Vec<(i64, Vec<String>)>,
    appends: Vec<(i64, String)>,
    /// Balances as read, and changes, in their order.
    accounts: Vec<Account>,
    sums: Vec<String>,
}

#[derive(Debug, Clone)]
enum Account {
    Read(i64, i64),
    Add(i64, i64),
}

impl History {
    /// A transaction that was answered.
    pub fn answered(&mut self, said: &[(&Statement, Option<&Answer>)], time: (u64, u64), block: Option<u64>) {
        self.done.push(Observed { block, ..Observed::of(said, time) });
    }

    /// A transaction whose answer never came.
    pub fn unanswered(&mut self, user: &str, said: &[(&Statement, Option<&Answer>)], began: u64) {
        self.pending.entry(user.to_owned()).or_insert_with(|| Observed::of(said, (began, u64::MAX)));
    }

    /// What became of it.
    pub fn resolved(&mut self, user: &str, block: Option<u64>) {
        if let Some(observed) = self.pending.remove(user)
            && block.is_some()
        {
            self.done.push(Observed { block, ..observed });
        }
    }

    /// Panics if there is no such order.
    pub fn check(&self) {
        if self.is_void {
            return;
        }
        self.check_accounts();
        let order = self.order_of_elements();
        let edges = self.dependencies(&order);
        if let Some(cycle) = cycle(&edges) {
            let shown: Vec<_> = cycle.iter().map(|at| &self.done[*at]).collect();
            panic!(
                "these transactions have no order: each comes before the next, the last before the first: {shown:#?}"
            );
        }
    }

    /// The elements of each list in their order: the longest read, of which every other is the beginning.
    fn order_of_elements(&self) -> BTreeMap<i64, Vec<String>> {
        let mut order: BTreeMap<i64, Vec<String>> = BTreeMap::new();
        for (list, elements) in self.done.iter().flat_map(|o| &o.reads) {
            let longest = order.entry(*list).or_default();
            if elements.len() > longest.len() {
                longest.clone_from(elements);
            }
        }
        for observed in &self.done {
            for (list, elements) in &observed.reads {
                assert!(order[list].starts_with(elements), "list {list} was {:?} and {elements:?}", order[list]);
            }
            for (list, element) in observed.appends.iter().filter(|_| observed.ended != u64::MAX) {
                let misses = |o: &&Observed| o.reads.iter().any(|(l, read)| l == list && !read.contains(element));
                let late = self.done.iter().filter(|o| o.began > observed.ended).find(misses);
                assert!(
                    late.is_none(),
                    "{element} was appended to list {list} by {observed:?}, and later missed by {late:?}"
                );
            }
        }
        order
    }

    /// For each transaction those that have to come after it.
    fn dependencies(&self, order: &BTreeMap<i64, Vec<String>>) -> Vec<Vec<usize>> {
        let mut writer: HashMap<(i64, &str), usize> = HashMap::new();
        for (at, observed) in self.done.iter().enumerate() {
            for (list, element) in &observed.appends {
                let other = writer.insert((*list, element), at);
                assert!(other.is_none(), "{element} was appended to list {list} twice");
            }
        }
        let mut edges = vec![Vec::new(); self.done.len()];
        let mut edge = |from: Option<&usize>, to: Option<&usize>| {
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                edges[*from].push(*to);
            }
        };
        for (list, elements) in order {
            for pair in elements.windows(2) {
                edge(writer.get(&(*list, pair[0].as_str())), writer.get(&(*list, pair[1].as_str())));
            }
        }
        for (at, observed) in self.done.iter().enumerate() {
            for (list, read) in &observed.reads {
                let last = read.last().and_then(|element| writer.get(&(*list, element.as_str())));
                edge(last, Some(&at));
                let next = order[list].get(read.len()).and_then(|element| writer.get(&(*list, element.as_str())));
                edge(Some(&at), next);
            }
            for (other, later) in self.done.iter().enumerate() {
                if observed.ended < later.began {
                    edge(Some(&at), Some(&other));
                }
            }
        }
        edges
    }

    fn check_accounts(&self) {
        let sum = format!("{ACCOUNTS}|{}", ACCOUNTS * BALANCE);
        for observed in &self.done {
            assert!(observed.sums.iter().all(|found| *found == sum), "the sum of all accounts: {observed:?}");
        }
        let mut transfers: Vec<&Observed> = self.done.iter().filter(|o| o.block.is_some()).collect();
        transfers.sort_by_key(|observed| observed.block);
        let mut balances: BTreeMap<i64, i64> = (0..ACCOUNTS).map(|account| (account, BALANCE)).collect();
        for observed in transfers {
            for step in &observed.accounts {
                match step {
                    Account::Read(account, found) => {
                        assert_eq!(balances.get(account), Some(found), "account {account}: {observed:?}");
                    }
                    Account::Add(account, by) => *balances.entry(*account).or_default() += by,
                }
            }
        }
    }
}

impl Observed {
    fn of(said: &[(&Statement, Option<&Answer>)], (began, ended): (u64, u64)) -> Observed {
        let mut observed = Observed { began, ended, ..Observed::default() };
        for (statement, answer) in said {
            if !matches!(answer, Some(Err(_))) {
                let lines = answer.and_then(|answer| answer.as_deref().ok());
                observed.note(statement, lines);
            }
        }
        observed
    }

    fn note(&mut self, statement: &Statement, lines: Option<&[String]>) {
        // What is not there yet is not appended to.
        if lines.is_some_and(|lines| lines.iter().any(|line| line == "UPDATE 0")) {
            return;
        }
        match statement {
            Statement::Update { table, filter: Filter::Key { k, .. }, change } => match change {
                Change::Append(element) if **table == *"lists" => {
                    self.appends.push((*k, element.trim_start_matches(',').to_owned()));
                }
                Change::AddNumber(by) if **table == *"accounts" => self.accounts.push(Account::Add(*k, *by)),
                _ => {}
            },
            Statement::Select { table, filter, view: View::Current, shape } => {
                let Some((line, _)) = lines.and_then(|lines| lines.split_first()) else { return };
                match (filter, shape) {
                    (Filter::All, Shape::Sum) if **table == *"accounts" => self.sums.push(line.clone()),
                    (Filter::Key { k, .. }, Shape::Rows) => self.note_row(table, *k, line),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn note_row(&mut self, table: &str, key: i64, line: &str) {
        let mut cells = line.splitn(3, '|').skip(1);
        let (n, s) = (cells.next().unwrap_or_default(), cells.next().unwrap_or_default());
        match table {
            "lists" => {
                let own = |element: &&str| self.appends.iter().any(|(list, own)| *list == key && own == element);
                // Its own appends are at the end: what it read of others comes before.
                let others = s.split(',').filter(|e| !e.is_empty()).take_while(|e| !own(e));
                let others = others.map(str::to_owned).collect();
                self.reads.push((key, others));
            }
            "accounts" => self.accounts.push(Account::Read(key, n.parse().unwrap_or(i64::MIN))),
            _ => {}
        }
    }
}

/// Some cycle, if there is one: what is left when everything has been taken away that nothing comes before.
fn cycle(edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut before = vec![0_usize; edges.len()];
    edges.iter().flatten().for_each(|to| before[*to] += 1);
    let mut free: Vec<usize> = (0..edges.len()).filter(|at| before[*at] == 0).collect();
    let mut left: Vec<bool> = vec![true; edges.len()];
    while let Some(at) = free.pop() {
        left[at] = false;
        for to in &edges[at] {
            before[*to] -= 1;
            if before[*to] == 0 {
                free.push(*to);
            }
        }
    }
    let start = left.iter().position(|left| *left)?;
    // Everything that is left has something left before it, so a way back from there meets itself.
    let mut way = vec![start];
    loop {
        let at = *way.last()?;
        let back = (0..edges.len()).find(|from| left[*from] && edges[*from].contains(&at))?;
        if let Some(first) = way.iter().position(|seen| *seen == back) {
            way.drain(..first);
            way.reverse();
            return Some(way);
        }
        way.push(back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(list: i64, element: &str) -> Statement {
        let filter = Filter::Key { k: list, scanned: false };
        Statement::Update { table: "lists".into(), filter, change: Change::Append(format!(",{element}").into()) }
    }

    fn read(list: i64) -> Statement {
        let filter = Filter::Key { k: list, scanned: false };
        Statement::Select { table: "lists".into(), filter, view: View::Current, shape: Shape::Rows }
    }

    fn row(list: i64, elements: &str) -> Answer {
        Ok(vec![format!("{list}|0|{elements}"), "SELECT 1".to_owned()])
    }

    fn fails(history: &History) -> bool {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.check())).is_err()
    }

    #[test]
    fn a_read_that_misses_an_answered_append_is_found() {
        let done = Ok(vec!["UPDATE 1".to_owned()]);
        let mut history = History::default();
        history.answered(&[(&append(1, "5"), Some(&done))], (1, 2), Some(1));
        history.answered(&[(&read(1), Some(&row(1, ",5")))], (3, 4), None);
        assert!(!fails(&history));
        history.answered(&[(&read(1), Some(&row(1, "")))], (5, 6), None);
        assert!(fails(&history));
    }

    #[test]
    fn two_transactions_that_miss_each_other_are_found() {
        let done = Ok(vec!["UPDATE 1".to_owned()]);
        let mut history = History::default();
        history.answered(&[(&read(1), Some(&row(1, ""))), (&append(2, "6"), Some(&done))], (1, 9), Some(1));
        assert!(!fails(&history));
        history.answered(&[(&read(2), Some(&row(2, ""))), (&append(1, "5"), Some(&done))], (1, 9), Some(2));
        history.answered(&[(&read(1), Some(&row(1, ",5"))), (&read(2), Some(&row(2, ",6")))], (10, 11), None);
        assert!(fails(&history));
    }

    #[test]
    fn a_transfer_that_read_an_older_balance_is_found() {
        let filter = |k| Filter::Key { k, scanned: false };
        let table = || "accounts".into();
        let read = Statement::Select { table: table(), filter: filter(1), view: View::Current, shape: Shape::Rows };
        let add = Statement::Update { table: table(), filter: filter(1), change: Change::AddNumber(5) };
        let (balance, done) = (Ok(vec![format!("1|{BALANCE}|")]), Ok(vec!["UPDATE 1".to_owned()]));
        let mut history = History::default();
        history.answered(&[(&read, Some(&balance)), (&add, Some(&done))], (1, 2), Some(1));
        assert!(!fails(&history));
        history.answered(&[(&read, Some(&balance)), (&add, Some(&done))], (1, 3), Some(2));
        assert!(fails(&history));
    }
}
