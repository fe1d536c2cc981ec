//! Checks of events.

use std::collections::HashSet;

use foretaste_core::{ErrorKind, Event, Limits, Result};
use foretaste_store::{Columns, Source, Store};

use super::{batch, event, import, stored, tail_of, with_context, with_id};

pub(super) fn read_back(store: &dyn Store) -> Result<()> {
    let events = [
        event("Ünï-😀-用户", "物品 1", -5),
        with_context(event("u", "a", 1)),
        Event { value: 0.0, ..event("u", "b", 2) },
        Event { value: -3.5, kind: "rating".to_owned(), ..event("u", "c", i64::MAX) },
    ];
    let outcome = store.append_events(&events)?;
    assert_eq!((outcome.accepted, outcome.duplicates), (4, 0));
    let mut expected = events.to_vec();
    expected.sort_by(|a, b| (&a.user, a.time_ms).cmp(&(&b.user, b.time_ms)));
    assert_eq!(stored(store)?, expected, "read your writes");
    store.read_events(Columns::NoContext, &mut |batch| {
        assert!(batch.context.is_empty(), "contexts were not asked for");
        let keys_fit = (0..batch.len()).all(|i| batch.get(i).key() == batch.key[i]);
        assert!(keys_fit, "every event comes with its key");
        Ok(())
    })
}

pub(super) fn repeated(store: &dyn Store) -> Result<()> {
    let (a, b) = (with_id(event("u", "a", 1), "id-1"), event("u", "b", 2));
    store.append_events(&[a.clone(), b.clone()])?;
    let again = store.append_events(&[b.clone(), a.clone(), event("u", "c", 3)])?;
    assert_eq!((again.accepted, again.duplicates), (1, 2));
    let same_id = with_id(event("u", "other", 9), "id-1");
    let other_user = with_id(event("v", "a", 1), "id-1");
    let outcome = store.append_events(&[same_id, other_user.clone(), other_user])?;
    assert_eq!((outcome.accepted, outcome.duplicates), (1, 2));
    assert_eq!(stored(store)?.len(), 4);
    let nothing = store.append_events(&[a])?;
    assert_eq!((nothing.accepted, nothing.last_seq), (0, outcome.last_seq));
    assert_eq!(store.append_events(&[])?.accepted, 0);
    Ok(())
}

pub(super) fn tail(store: &dyn Store) -> Result<()> {
    assert_eq!(tail_of(store, 0)?, (Vec::new(), 0));
    let mut last = 0;
    for i in 0..50 {
        let batch: Vec<Event> =
            (0..1 + i % 3).map(|j| event("u", &format!("{i:02}-{j}"), i64::from(i))).collect();
        let outcome = store.append_events(&batch)?;
        assert_eq!(outcome.last_seq, last + batch.len() as u64);
        last = outcome.last_seq;
    }
    let (all, end) = tail_of(store, 0)?;
    assert!(all.is_sorted(), "sequence numbers and items ascend together");
    assert_eq!((all.len() as u64, end), (last, last));
    for after in [0, 1, last / 2, last - 1, last, last + 7, u64::MAX] {
        let expected: Vec<_> = all.iter().filter(|(seq, _)| *seq > after).cloned().collect();
        assert_eq!(tail_of(store, after)?.0, expected, "after {after}");
    }
    Ok(())
}

pub(super) fn all_or_none(store: &dyn Store) -> Result<()> {
    let bad = Event { value: f32::NAN, ..event("u", "b", 2) };
    let refused = store.append_events(&[event("u", "a", 1), bad]);
    assert_eq!(refused.err().map(|e| e.kind()), Some(ErrorKind::Invalid));
    assert!(stored(store)?.is_empty());
    let accepted = store.append_events(&[event("u", "a", 1)])?;
    assert_eq!(accepted.accepted, 1, "a refused event is not remembered as stored");
    Ok(())
}

pub(super) fn limits(store: &dyn Store) -> Result<()> {
    let limits = Limits::DEFAULT;
    let long = |n: usize| "x".repeat(n);
    let check = |event: Event, fits: bool| {
        let outcome = store.append_events(std::slice::from_ref(&event));
        let kind = outcome.as_ref().err().map(|e| e.kind());
        let expected = (!fits).then_some(ErrorKind::Invalid);
        assert_eq!(kind, expected, "{event:?}");
    };
    check(event(&long(limits.id_bytes), "i", 1), true);
    check(event(&long(limits.id_bytes + 1), "i", 1), false);
    check(event("u", &long(limits.id_bytes), 1), true);
    check(event("u", &long(limits.id_bytes + 1), 1), false);
    check(event("", "i", 1), false);
    check(event("u", "", 1), false);
    check(event("a\nb", "i", 1), false);
    check(Event { kind: long(limits.name_bytes), ..event("u", "i", 2) }, true);
    check(Event { kind: long(limits.name_bytes + 1), ..event("u", "i", 2) }, false);
    check(Event { kind: String::new(), ..event("u", "i", 2) }, false);
    check(with_id(event("u", "i", 3), &long(limits.id_bytes + 1)), false);
    check(Event { value: f32::INFINITY, ..event("u", "i", 4) }, false);
    let many = |n: usize| (0..n).map(|i| event("u", "i", i as i64 + 10)).collect::<Vec<_>>();
    let too_many = store.append_events(&many(limits.batch_writes + 1));
    assert_eq!(too_many.err().map(|e| e.kind()), Some(ErrorKind::Invalid));
    assert_eq!(store.append_events(&many(limits.batch_writes))?.accepted, limits.batch_writes);
    Ok(())
}

pub(super) fn kinds(store: &dyn Store) -> Result<()> {
    let of = |i: usize| Event { kind: format!("kind-{i}"), ..event("u", "i", i as i64) };
    let all: Vec<Event> = (0..Limits::DEFAULT.kinds).map(of).collect();
    import(store, "kinds", &all[..100])?;
    store.append_events(&all[100..])?;
    let one_more = store.append_events(&[of(1000)]);
    assert_eq!(one_more.err().map(|e| e.kind()), Some(ErrorKind::Exhausted));
    store.append_events(&[Event { time_ms: 7_000, ..of(0) }])?;
    assert_eq!(stored(store)?.len(), all.len() + 1);
    Ok(())
}

pub(super) fn seal(store: &dyn Store) -> Result<()> {
    let events: Vec<Event> =
        (0..20).map(|i| with_context(event(&format!("u{}", i % 3), &format!("{i}"), i))).collect();
    store.append_events(&events[..9])?;
    store.seal()?;
    let before = store.append_events(&events[9..])?.last_seq;
    assert_eq!(before, 20, "sealing does not disturb the numbering");
    let mut expected = events.clone();
    expected.sort_by(|a, b| (&a.user, a.time_ms).cmp(&(&b.user, b.time_ms)));
    assert_eq!(stored(store)?, expected);
    assert_eq!(tail_of(store, 0)?.0.len(), 11, "sealed events have left the tail");
    assert_eq!(store.log_events()?, 11);
    store.seal()?;
    store.seal()?;
    assert_eq!(stored(store)?, expected);
    assert_eq!(tail_of(store, 0)?, (Vec::new(), 20));
    assert_eq!(store.log_events()?, 0, "what was sealed is in the log no longer");
    let counts = store.counts()?;
    assert_eq!((counts.events, counts.log_events, counts.last_seq), (20, 0, 20));
    Ok(())
}

pub(super) fn bulk(store: &dyn Store) -> Result<()> {
    let events: Vec<Event> = (0..30).map(|i| event("u", &format!("{i:02}"), i)).collect();
    let batch = batch(&events);
    let source = Source { name: "file".to_owned(), digest: "d".to_owned() };
    let mut dropped = store.bulk(&source)?;
    dropped.write(&batch)?;
    drop(dropped);
    let (mut first, mut second) = (store.bulk(&source)?, store.bulk(&source)?);
    first.write(&batch)?;
    second.write(&batch)?;
    assert!(stored(store)?.is_empty() && !store.has_source("d")?, "nothing before the commit");
    first.commit()?;
    let late = second.commit().err().map(|e| e.kind());
    assert_eq!(late, Some(ErrorKind::Conflict), "a source is imported once");
    assert_eq!(store.bulk(&source).err().map(|e| e.kind()), Some(ErrorKind::Conflict));
    assert!(store.has_source("d")? && !store.has_source("e")?);
    assert_eq!(stored(store)?, events);
    assert_eq!(tail_of(store, 0)?, (Vec::new(), 0), "imports are not part of the tail");
    Ok(())
}

pub(super) fn since(store: &dyn Store) -> Result<()> {
    let events: Vec<Event> = (0..40).map(|i| event("u", &format!("{i:02}"), i)).collect();
    import(store, "old", &events[..10])?;
    import(store, "new", &events[10..20])?;
    store.append_events(&events[20..30])?;
    store.seal()?;
    store.append_events(&events[30..])?;
    for since in [-1, 0, 5, 15, 25, 35, 39, 40] {
        let mut young = Vec::new();
        store.read_events_since(since, Columns::All, &mut |batch| {
            young.extend((0..batch.len()).map(|i| batch.get(i)));
            Ok(())
        })?;
        young.sort_by_key(|event| event.time_ms);
        let expected: Vec<_> = events.iter().filter(|e| e.time_ms >= since).cloned().collect();
        assert_eq!(young, expected, "since {since}");
    }
    Ok(())
}

pub(super) fn erase(store: &dyn Store) -> Result<()> {
    import(store, "file", &[event("gone", "a", 1), event("stays", "a", 1)])?;
    store.append_events(&[event("gone", "b", 2), event("stays", "b", 2)])?;
    store.seal()?;
    store.append_events(&[event("gone", "c", 3), event("stays", "c", 3)])?;
    assert!(!store.delete_user("gone")?, "there was no record of this user");
    store.append_events(&[event("gone", "d", 4)])?;
    import(store, "later", &[event("gone", "e", 5)])?;
    let mut expected: Vec<Event> =
        [("d", 4), ("e", 5)].iter().map(|(item, time)| event("gone", item, *time)).collect();
    expected.extend([("a", 1), ("b", 2), ("c", 3)].map(|(i, t)| event("stays", i, t)));
    assert_eq!(stored(store)?, expected);
    let items: Vec<String> = tail_of(store, 0)?.0.into_iter().map(|(_, item)| item).collect();
    assert_eq!(items, ["c", "d"]);
    for _ in 0..2 {
        store.seal()?;
        assert_eq!(stored(store)?, expected, "sealing neither loses nor brings back");
    }
    assert_eq!(store.counts()?.events, expected.len() as u64, "erased events are gone for good");
    store.delete_user("gone")?;
    store.delete_user("stays")?;
    assert!(stored(store)?.is_empty());
    Ok(())
}

pub(super) fn concurrent(store: &dyn Store) -> Result<()> {
    const THREADS: usize = 6;
    const EACH: usize = 40;
    let work = |thread: usize| -> Result<()> {
        for i in 0..EACH {
            let user = format!("u{thread}");
            let own = event(&user, &format!("{i}"), i as i64);
            let shared = with_id(event("all", &format!("{i}"), i as i64), &format!("id{i}"));
            store.append_events(&[own, shared])?;
            let mine = stored(store)?.iter().filter(|e| e.user == user).count();
            assert_eq!(mine, i + 1, "an acknowledged event is in the next read");
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|t| scope.spawn(move || work(t))).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(cause) => std::panic::resume_unwind(cause),
        })
    })?;
    let (tail, last) = tail_of(store, 0)?;
    let numbers: HashSet<u64> = tail.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(tail.len(), (THREADS + 1) * EACH, "shared events are stored once");
    assert_eq!((numbers.len(), tail.last().map(|(seq, _)| *seq)), (tail.len(), Some(last)));
    Ok(())
}
