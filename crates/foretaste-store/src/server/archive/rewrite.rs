//! Segments anew: without what was erased or taken back, and few of them for each month.

use std::rc::Rc;

use foretaste_core::{EventBatch, Result};
use foretaste_lake::Columns;

use super::copy::Written;
use super::{Archiving, Arg};
use crate::server::partitions::month_of;
use crate::server::sql::{Changing, marks};
use crate::server::warm::{Cursor, Gone, Merge, Segment, Stage, View, place};

/// A month is one segment again when it has more than so many.
const MOST_OF_A_MONTH: usize = 8;
/// Keys that one statement names.
const KEYS_AT_ONCE: usize = 5_000;

/// An event that was erased: its key, and the number under which its user was.
type Dead = (u64, i64);

impl Archiving<'_> {
    /// Writes those segments anew that hold what has been erased, and those that are too many.
    pub(super) async fn rewrite_all(&mut self) -> Result<()> {
        let read = async |changing: &mut Changing<'_>| {
            self.own(changing).await?;
            Ok((Gone::since(changing, i64::MIN).await?, changing.seq))
        };
        let (gone, now) = self.database.transaction(read).await?;
        let listed = self.segments().await?.into_iter().filter(|s| s.stage != Stage::Announced);
        let mut months: Vec<Vec<Segment>> = Vec::new();
        for segment in listed {
            let same = |m: &&mut Vec<Segment>| is_of_one_month(&m[0], &segment);
            match months.iter_mut().find(same) {
                Some(month) => month.push(segment),
                None => months.push(vec![segment]),
            }
        }
        for month in months {
            self.rewrite_month(month, &gone, now).await?;
        }
        self.forget().await?;
        self.clear().await
    }

    async fn rewrite_month(&mut self, month: Vec<Segment>, gone: &Gone, now: i64) -> Result<()> {
        let mut dead = Vec::new();
        let mut concerned = Vec::new();
        for segment in &month {
            let (some, n) = self.dead(segment, gone)?;
            dead.extend(some);
            concerned.push(n > 0);
        }
        self.forget_keys(&dead).await?;
        if month.len() > MOST_OF_A_MONTH && are_alike(&month) {
            return self.rewrite(month).await;
        }
        for (segment, is_concerned) in month.into_iter().zip(concerned) {
            match is_concerned {
                true => self.rewrite(vec![segment]).await?,
                false if gone.is_empty() => {}
                false => self.note_clean(&segment, now).await?,
            }
        }
        Ok(())
    }

    /// What does not count any more: the keys of events whose users were erased, and the number of
    /// all.
    fn dead(&mut self, segment: &Segment, gone: &Gone) -> Result<(Vec<Dead>, usize)> {
        let (mut dead, mut n) = (Vec::new(), 0);
        if gone.is_empty() {
            return Ok((dead, n));
        }
        let events = self.file(segment)?.events()?;
        for group in 0..events.groups() {
            let batch = events.group(group, Columns::NoContext)?;
            let alive = gone.alive(&batch, segment.clean_seq);
            for i in (0..batch.len()).filter(|&i| !alive[i]) {
                n += 1;
                let erased = gone.erased(batch.users.get(batch.user[i]));
                dead.extend(erased.map(|seq| (batch.key[i], seq)));
            }
        }
        Ok((dead, n))
    }

    /// One segment in the place of several of one month, or of one.
    async fn rewrite(&mut self, old: Vec<Segment>) -> Result<()> {
        let start = old.iter().map(|s| s.range.start).min().unwrap_or_default();
        let end = old.iter().map(|s| s.range.end).max().unwrap_or_default();
        let oldest = old.iter().map(|s| s.clean_seq).min().unwrap_or_default();
        let mut segment = self.announce(start..end);
        let announce = async |changing: &mut Changing<'_>| {
            self.own(changing).await?;
            segment.clean_seq = changing.seq;
            segment.list(changing).await?;
            Gone::since(changing, oldest).await
        };
        let gone = Rc::new(self.database.transaction(announce).await?);
        let view = View { columns: Columns::All, since_ms: i64::MIN, only_moved: false };
        let mut cursors = Vec::with_capacity(old.len());
        for segment in &old {
            let file = self.file(segment)?;
            cursors.push(Cursor::new((segment.clone(), file), view, &gone));
        }
        let mut written = Written::new(self.shelf.writer(&segment.name)?);
        let (through, mut last) = (old[0].through, None);
        let mut merge = |batch: EventBatch| {
            let has_left = |&i: &usize| through.is_some_and(|through| place(&batch, i) <= through);
            segment.moved += (0..batch.len()).filter(has_left).count() as u64;
            last = (!batch.is_empty()).then(|| place(&batch, batch.len() - 1)).or(last);
            written.write(&batch)
        };
        Merge::new(cursors, &mut merge).finish()?;
        let rows = old.iter().filter_map(|s| s.meta.as_ref()).map(|meta| meta.rows).sum::<u64>();
        self.report.purged += rows - written.rows();
        self.report.rewritten += 1;
        let has_left = old[0].stage == Stage::Moved || through.is_some() && through >= last;
        (segment.stage, segment.through) = match has_left {
            true => (Stage::Moved, last),
            false => (Stage::Copied, through),
        };
        if has_left {
            segment.moved = written.rows();
        }
        if written.rows() > 0 {
            segment.meta = Some(self.prove(written)?);
        }
        self.list(&segment, &old).await
    }

    async fn note_clean(&self, segment: &Segment, now: i64) -> Result<()> {
        let note = async |changing: &mut Changing<'_>| {
            self.own(changing).await?;
            let sql = "UPDATE foretaste_segments SET clean_seq = ? WHERE name = ?";
            changing.run(sql, vec![now.into(), Arg::text(&segment.name)]).await.map(drop)
        };
        self.database.transaction(note).await
    }

    /// Events that were erased count again when they are sent once more, after this as before.
    async fn forget_keys(&self, dead: &[Dead]) -> Result<()> {
        for some in dead.chunks(KEYS_AT_ONCE) {
            let latest = some.iter().map(|&(_, seq)| seq).max().unwrap_or_default();
            let forget = async |changing: &mut Changing<'_>| {
                self.own(changing).await?;
                let marks = marks(some.len());
                let sql =
                    format!("DELETE FROM foretaste_keys WHERE event_key IN ({marks}) AND seq < ?");
                let keys = some.iter().map(|&(key, _)| Arg::from(key as i64));
                let args = keys.chain([latest.into()]).collect();
                changing.run(&sql, args).await.map(drop)
            };
            self.database.transaction(forget).await?;
        }
        Ok(())
    }

    /// Forgets what no segment holds any more.
    async fn forget(&self) -> Result<()> {
        let forget = async |changing: &mut Changing<'_>| {
            self.own(changing).await?;
            for table in ["erased", "retracted"] {
                let sql = format!(
                    "DELETE FROM foretaste_{table} WHERE seq <= \
                     (SELECT coalesce(min(clean_seq), ?) FROM foretaste_segments)"
                );
                changing.run(&sql, vec![changing.seq.into()]).await?;
            }
            Ok(())
        };
        self.database.transaction(forget).await
    }
}

/// All have left the table, or all lie there still.
fn are_alike(month: &[Segment]) -> bool {
    month.iter().all(|s| s.stage == Stage::Moved) || month.iter().all(|s| s.through.is_none())
}

fn is_of_one_month(one: &Segment, other: &Segment) -> bool {
    month_of(one.range.start) == month_of(other.range.start)
}
