//! What statements cost: those that took long are logged, and all are summed up, for whoever looks
//! after the database. Their texts hold no values, which are parameters.

use std::time::Duration;

use foretaste_core::Error;
use tracing::warn;

/// Different statements of one table that are told apart; passes and reconciliations together have
/// about a dozen.
const MOST: usize = 64;

/// What all runs of one statement took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementFigures {
    /// Its text, `$1` or `?` for values.
    pub statement: String,
    /// How often it was run.
    pub count: u64,
    /// Of these, runs that failed.
    pub failed: u64,
    /// Rows that it gave.
    pub rows: u64,
    /// Time of all runs, without what became of the rows.
    pub total: Duration,
    /// Time of the longest run.
    pub longest: Duration,
}

/// The statements of one table.
#[derive(Clone, Debug, Default)]
pub(super) struct Statements(Vec<StatementFigures>);

impl Statements {
    /// Adds the runs of `others` to these.
    pub(super) fn merge(&mut self, others: Self) {
        others.0.into_iter().for_each(|other| self.add(other));
    }

    /// The `n` that took most time in all.
    pub(super) fn top(&self, n: usize) -> Vec<StatementFigures> {
        let mut all = self.0.clone();
        all.sort_by_key(|figures| std::cmp::Reverse(figures.total));
        all.truncate(n);
        all
    }

    fn add(&mut self, runs: StatementFigures) {
        let is_full = self.0.len() >= MOST;
        match self.0.iter_mut().find(|known| known.statement == runs.statement) {
            Some(known) => {
                known.count += runs.count;
                known.failed += runs.failed;
                known.rows += runs.rows;
                known.total += runs.total;
                known.longest = known.longest.max(runs.longest);
            }
            None if is_full => {}
            None => self.0.push(runs),
        }
    }
}

/// Watches the statements of one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// `source/table`.
    pub(super) table: String,
    /// Statements that take longer are logged; `None`: none is.
    threshold: Option<Duration>,
    /// All of them so far.
    pub(super) seen: Statements,
}

impl Watch {
    /// Logs what takes longer than `threshold_ms`; 0: nothing.
    pub(super) fn new(table: &str, threshold_ms: u32) -> Self {
        let threshold = (threshold_ms > 0).then(|| Duration::from_millis(threshold_ms.into()));
        Self { table: table.to_owned(), threshold, seen: Statements::default() }
    }

    /// Looks at a statement that came to its end with so many rows, or failed. The server's message
    /// may hold values, so its kind has to do.
    pub(super) fn look(&mut self, statement: &str, took: Duration, rows: Result<u64, &Error>) {
        self.seen.add(StatementFigures {
            statement: statement.to_owned(),
            count: 1,
            failed: u64::from(rows.is_err()),
            rows: *rows.as_ref().unwrap_or(&0),
            total: took,
            longest: took,
        });
        if self.threshold.is_none_or(|threshold| took <= threshold) {
            return;
        }
        let (table, ms) = (self.table.as_str(), took.as_millis() as u64);
        match rows {
            Ok(rows) => warn!(table, ms, rows, statement, "a statement was slow"),
            Err(e) => warn!(table, ms, kind = ?e.kind(), statement, "a slow statement failed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_a_statement_are_summed_up_and_the_dearest_come_first() {
        let mut watch = Watch::new("s/t", 0);
        let ms = Duration::from_millis;
        watch.look("SELECT 1", ms(5), Ok(2));
        watch.look("SELECT 2", ms(7), Ok(0));
        watch.look("SELECT 1", ms(4), Err(&Error::internal("gone")));
        let mut all = Statements::default();
        all.merge(watch.seen.clone());
        all.merge(watch.seen);
        let first = StatementFigures {
            statement: "SELECT 1".to_owned(),
            count: 4,
            failed: 2,
            rows: 4,
            total: ms(18),
            longest: ms(5),
        };
        assert_eq!(all.top(1), [first]);
        assert_eq!(all.top(9)[1].total, ms(14));
        (0..200).for_each(|n| {
            let mut watch = Watch::new("s/t", 0);
            watch.look(&format!("SELECT {n}"), ms(1), Ok(1));
            all.merge(watch.seen);
        });
        assert_eq!(all.top(1_000).len(), MOST);
    }
}
