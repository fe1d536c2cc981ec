//! Sorting and deduplicating within each user's stretch of the columns, in parallel over users.

use foretaste_core::{EventBatch, EventContext};

/// Stretches of fewer events are handled by one thread.
const SERIAL_EVENTS: usize = 1 << 16;

/// Sorts the events of every user by (time, key), drops events whose key came before in the
/// order of reading, and fills `batch.user`. User `u` has the rows `starts[u]..starts[u + 1]`.
pub(super) fn sort(batch: &mut EventBatch, starts: &[usize]) {
    let mut kept = vec![0usize; starts.len() - 1];
    let columns = Columns {
        item: &mut batch.item,
        kind: &mut batch.kind,
        value: &mut batch.value,
        time_ms: &mut batch.time_ms,
        key: &mut batch.key,
        context: &mut batch.context,
    };
    sort_users(columns, starts, &mut kept);
    compact(batch, starts, &kept);
    batch.user.clear();
    for (user, &n) in kept.iter().enumerate() {
        batch.user.resize(batch.user.len() + n, user as u32);
    }
}

/// The same stretch of every column.
struct Columns<'a> {
    item: &'a mut [u32],
    kind: &'a mut [u8],
    value: &'a mut [f32],
    time_ms: &'a mut [i64],
    key: &'a mut [u64],
    /// Empty when there are none.
    context: &'a mut [Option<EventContext>],
}

impl<'a> Columns<'a> {
    fn split_at(self, n: usize) -> (Self, Self) {
        let (item, item2) = self.item.split_at_mut(n);
        let (kind, kind2) = self.kind.split_at_mut(n);
        let (value, value2) = self.value.split_at_mut(n);
        let (time_ms, time_ms2) = self.time_ms.split_at_mut(n);
        let (key, key2) = self.key.split_at_mut(n);
        let n_context = if self.context.is_empty() { 0 } else { n };
        let (context, context2) = self.context.split_at_mut(n_context);
        let second = Self {
            item: item2,
            kind: kind2,
            value: value2,
            time_ms: time_ms2,
            key: key2,
            context: context2,
        };
        (Self { item, kind, value, time_ms, key, context }, second)
    }
}

fn sort_users(columns: Columns<'_>, starts: &[usize], kept: &mut [usize]) {
    let users = kept.len();
    let events = starts[users] - starts[0];
    if users < 2 || events < SERIAL_EVENTS {
        return sort_serially(columns, starts, kept);
    }
    let middle = starts.partition_point(|&s| s < starts[0] + events / 2).clamp(1, users - 1);
    let (left, right) = columns.split_at(starts[middle] - starts[0]);
    let (kept_left, kept_right) = kept.split_at_mut(middle);
    rayon::join(
        || sort_users(left, &starts[..=middle], kept_left),
        || sort_users(right, &starts[middle..], kept_right),
    );
}

fn sort_serially(mut columns: Columns<'_>, starts: &[usize], kept: &mut [usize]) {
    let mut scratch = Scratch::default();
    for (user, kept) in kept.iter_mut().enumerate() {
        let (events, rest) = columns.split_at(starts[user + 1] - starts[user]);
        *kept = scratch.sort_user(events);
        columns = rest;
    }
}

/// Reused memory of one thread.
#[derive(Default)]
struct Scratch {
    keys: Vec<(u64, u32)>,
    repeated: Vec<bool>,
    order: Vec<(i64, u64, u32)>,
    words: Vec<u32>,
    bytes: Vec<u8>,
}

impl Scratch {
    /// Sorts one user's events; what is kept comes to the front. Returns how many are kept.
    fn sort_user(&mut self, events: Columns<'_>) -> usize {
        self.find_repeated(events.key);
        self.order.clear();
        let rows = events.time_ms.iter().zip(events.key.iter()).zip(0..);
        let kept = rows.filter(|(_, at)| !self.repeated[*at as usize]);
        self.order.extend(kept.map(|((&time, &key), at)| (time, key, at)));
        if self.order.len() == events.key.len() && self.order.is_sorted() {
            return self.order.len();
        }
        self.order.sort_unstable();
        self.apply(events);
        self.order.len()
    }

    /// Marks every event whose key an earlier one has.
    fn find_repeated(&mut self, keys: &[u64]) {
        self.repeated.clear();
        self.repeated.resize(keys.len(), false);
        self.keys.clear();
        self.keys.extend(keys.iter().copied().zip(0..));
        self.keys.sort_unstable();
        for pair in self.keys.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            self.repeated[pair[1].1 as usize] = true;
        }
    }

    fn apply(&mut self, events: Columns<'_>) {
        for (i, &(time, key, _)) in self.order.iter().enumerate() {
            (events.time_ms[i], events.key[i]) = (time, key);
        }
        let at = || self.order.iter().map(|&(_, _, at)| at as usize);
        permute(events.item, at(), &mut self.words);
        permute(events.kind, at(), &mut self.bytes);
        let mut bits = std::mem::take(&mut self.words);
        bits.clear();
        bits.extend(at().map(|at| events.value[at].to_bits()));
        events.value.iter_mut().zip(&bits).for_each(|(value, &b)| *value = f32::from_bits(b));
        if !events.context.is_empty() {
            let moved: Vec<_> = at().map(|at| events.context[at].take()).collect();
            events.context.iter_mut().zip(moved).for_each(|(to, from)| *to = from);
        }
        self.words = bits;
    }
}

fn permute<T: Copy>(column: &mut [T], order: impl Iterator<Item = usize>, scratch: &mut Vec<T>) {
    scratch.clear();
    scratch.extend(order.map(|at| column[at]));
    column[..scratch.len()].copy_from_slice(scratch);
}

/// Closes the gaps that dropped events have left.
fn compact(batch: &mut EventBatch, starts: &[usize], kept: &[usize]) {
    let total: usize = kept.iter().sum();
    if total == batch.item.len() {
        return;
    }
    close_gaps(&mut batch.item, starts, kept);
    close_gaps(&mut batch.kind, starts, kept);
    close_gaps(&mut batch.value, starts, kept);
    close_gaps(&mut batch.time_ms, starts, kept);
    close_gaps(&mut batch.key, starts, kept);
    if !batch.context.is_empty() {
        close_gaps(&mut batch.context, starts, kept);
    }
}

fn close_gaps<T>(column: &mut Vec<T>, starts: &[usize], kept: &[usize]) {
    let mut to = 0;
    for (&start, &n) in starts.iter().zip(kept) {
        for from in start..start + n {
            column.swap(to, from);
            to += 1;
        }
    }
    column.truncate(to);
}
