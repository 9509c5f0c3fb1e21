//! What statements with a client token answered, kept in memory so that a retry gets the same rows again. They are gone
//! after a restart; that something was committed, and where, is in the journal for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bind::plan::ResultColumn;
use crate::exec::Row;

/// Bytes of rows kept for one transaction, at most; above them its rows are not kept.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of rows kept for all transactions of a ledger, at most; the oldest go first.
pub const ANSWERS_BYTES_MAX: usize = 32 << 20;
/// What an answer takes beside its rows.
const ANSWER_BYTES: usize = 128;

/// The answer of one statement.
#[derive(Debug, Clone)]
pub struct KeptAnswer {
    pub command: &'static str,
    pub count: u64,
    /// Of RETURNING; `None` if there were none or too many.
    pub rows: Option<KeptRows>,
}

/// Columns and rows, shared by every retry that gets them.
pub type KeptRows = (Arc<[ResultColumn]>, Arc<[Row]>);

/// The answers of a transaction, one for each of its statements; queries have none.
pub type KeptAnswers = Arc<[Option<KeptAnswer>]>;

/// Answers by client token.
#[derive(Default)]
pub struct Answers(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<Arc<str>, (KeptAnswers, usize)>,
    order: VecDeque<Arc<str>>,
    bytes: usize,
    /// What a transaction has read at a snapshot before this one may have been redacted since.
    snapshot_min: u64,
}

impl Answers {
    pub fn get(&self, token: &str) -> Option<KeptAnswers> {
        self.lock().answers.get(token).map(|(answers, _)| Arc::clone(answers))
    }

    /// Keeps what the first commit of a token has answered, at its snapshot.
    pub fn put(&self, token: &str, answers: Vec<Option<KeptAnswer>>, snapshot: u64) {
        let bytes = token.len() + answers.iter().map(bytes_of).sum::<usize>();
        let token: Arc<str> = token.into();
        let mut kept = self.lock();
        if snapshot < kept.snapshot_min || kept.answers.contains_key(&token) {
            return;
        }
        kept.answers.insert(Arc::clone(&token), (answers.into(), bytes));
        kept.order.push_back(token);
        kept.bytes += bytes;
        while kept.bytes > ANSWERS_BYTES_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            let gone = kept.answers.remove(&oldest).map_or(0, |(_, bytes)| bytes);
            kept.bytes -= gone;
        }
    }

    /// Forgets everything: after a redaction no copy may stay, nor come of what was read before it. `snapshot` sees it.
    pub fn clear(&self, snapshot: u64) {
        *self.lock() = Kept { snapshot_min: snapshot, ..Kept::default() };
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Roughly the memory of an answer.
pub(super) fn bytes_of(answer: &Option<KeptAnswer>) -> usize {
    let rows = answer.as_ref().and_then(|answer| answer.rows.as_ref());
    ANSWER_BYTES + rows.map_or(0, |(_, rows)| rows.iter().map(row_bytes).sum())
}

pub(super) fn row_bytes(row: &Row) -> usize {
    64 + row.iter().flatten().map(|value| 32 + ledgerstone_digest::ion::encode(value).len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use ledgerstone_digest::ion::Value;

    use super::*;

    fn answer(bytes: usize) -> Vec<Option<KeptAnswer>> {
        let row: Row = vec![Some(Value::string("x".repeat(bytes)))];
        vec![Some(KeptAnswer { command: "INSERT", count: 1, rows: Some((Arc::from([]), Arc::from([row]))) })]
    }

    #[test]
    fn the_oldest_answers_go_when_there_are_too_many_bytes() {
        let answers = Answers::default();
        let each = 1 << 20;
        for n in 0..40 {
            answers.put(&format!("t{n}"), answer(each), 0);
        }
        assert!(answers.get("t0").is_none() && answers.get("t39").is_some());
        let kept = answers.lock();
        assert!(kept.bytes <= ANSWERS_BYTES_MAX && kept.answers.len() == kept.order.len());
        assert!(kept.answers.len() >= ANSWERS_BYTES_MAX / (each + 1_000));
    }

    #[test]
    fn a_token_put_twice_is_counted_once() {
        let answers = Answers::default();
        answers.put("t", answer(10), 5);
        let bytes = answers.lock().bytes;
        answers.put("t", answer(20), 5);
        assert_eq!(answers.lock().bytes, bytes);
        let kept = answers.get("t").unwrap();
        assert_eq!(bytes_of(&kept[0]), bytes_of(&answer(10)[0]), "the first one's");
        answers.clear(7);
        assert!(answers.get("t").is_none());
        answers.put("t", answer(10), 6);
        assert!(answers.get("t").is_none(), "it has read what was redacted since");
        answers.put("t", answer(10), 7);
        assert!(answers.get("t").is_some());
    }
}
