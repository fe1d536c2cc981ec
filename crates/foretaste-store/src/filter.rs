//! Leaving events out of a batch.

use foretaste_core::{EventBatch, IdTable};

/// The batch with only the events for which `keep(batch, i)` holds, and only their ids.
pub(crate) fn retain(
    mut batch: EventBatch,
    keep: impl Fn(&EventBatch, usize) -> bool,
) -> EventBatch {
    let kept: Vec<bool> = (0..batch.len()).map(|i| keep(&batch, i)).collect();
    if kept.iter().all(|&k| k) {
        return batch;
    }
    select(&mut batch.user, &kept);
    select(&mut batch.item, &kept);
    select(&mut batch.kind, &kept);
    select(&mut batch.value, &kept);
    select(&mut batch.time_ms, &kept);
    select(&mut batch.key, &kept);
    if !batch.context.is_empty() {
        select(&mut batch.context, &kept);
    }
    batch.users = used(&batch.users, &mut batch.user);
    batch.items = used(&batch.items, &mut batch.item);
    let mut kinds: Vec<u32> = batch.kind.iter().map(|&kind| u32::from(kind)).collect();
    batch.kinds = used(&batch.kinds, &mut kinds);
    batch.kind = kinds.into_iter().map(|kind| kind as u8).collect();
    batch
}

fn select<T>(column: &mut Vec<T>, kept: &[bool]) {
    let mut flags = kept.iter();
    column.retain(|_| *flags.next().expect("one flag per event"));
}

/// The ids that `column` uses, which is renumbered accordingly.
fn used(table: &IdTable, column: &mut [u32]) -> IdTable {
    let (mut ids, mut numbers) = (IdTable::new(), vec![u32::MAX; table.len()]);
    for index in column {
        let number = &mut numbers[*index as usize];
        if *number == u32::MAX {
            *number = ids.intern(table.get(*index));
        }
        *index = *number;
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretaste_core::{Event, EventContext};

    #[test]
    fn columns_stay_aligned() {
        let mut batch = EventBatch::default();
        for i in 0..5u16 {
            let context = EventContext { position: Some(i), ..Default::default() };
            batch.push(&Event {
                event_id: None,
                user: format!("u{i}"),
                item: format!("i{i}"),
                kind: "view".into(),
                value: f32::from(i),
                time_ms: i64::from(i),
                context: Some(context),
            });
        }
        let all = batch.clone();
        let odd = retain(batch, |batch, i| batch.time_ms[i] % 2 == 1);
        assert_eq!([odd.get(0), odd.get(1)], [all.get(1), all.get(3)]);
        assert_eq!((odd.len(), odd.key[1]), (2, all.key[3]));
        assert_eq!(odd.users.iter().collect::<Vec<_>>(), ["u1", "u3"]);
    }
}
