//! An answer of the pipeline as a table or as JSON, with external ids.

use foretaste_pipeline::{Outcome, ReasonNote, SlateItem, Snapshot};
use serde_json::{Value, json};

/// The answer for machines.
pub fn to_json(snapshot: &Snapshot, outcome: &Outcome) -> Value {
    let items = snapshot.bundle.items();
    let entry = |slot: &SlateItem| {
        let channels = slot
            .channels
            .iter()
            .map(|&(id, share)| json!({ "channel": snapshot.channel_name(id), "share": share }));
        let because = slot
            .because
            .iter()
            .map(|&(item, share)| json!({ "item": items.id(item), "share": share }));
        json!({
            "item": items.id(slot.item),
            "title": items.title(slot.item),
            "score": slot.score,
            "channels": channels.collect::<Vec<_>>(),
            "because": because.collect::<Vec<_>>(),
            "note": slot.note.map(|n| note(snapshot, n)),
        })
    };
    json!({
        "items": outcome.slate.iter().map(entry).collect::<Vec<_>>(),
        "fallback": outcome.fallback.map(|f| f.name()),
        "bundle": snapshot.bundle.id().as_str(),
    })
}

/// The answer for people.
pub fn to_text(snapshot: &Snapshot, outcome: &Outcome) -> String {
    let items = snapshot.bundle.items();
    let mut out = String::new();
    if let Some(fallback) = outcome.fallback {
        out += &format!("(nothing is known of this user; served by: {})\n", fallback.name());
    }
    for (rank, slot) in outcome.slate.iter().enumerate() {
        let title = items.title(slot.item);
        out +=
            &format!("{:>3}. {:<16} {:>8.4}  {title}\n", rank + 1, items.id(slot.item), slot.score);
        let reasons = reasons(snapshot, slot);
        if !reasons.is_empty() {
            out += &format!("     {reasons}\n");
        }
    }
    out
}

fn reasons(snapshot: &Snapshot, slot: &SlateItem) -> String {
    let items = snapshot.bundle.items();
    let channel =
        |&(id, share): &(_, f32)| format!("{} {:.0}%", snapshot.channel_name(id), share * 100.0);
    let mut parts: Vec<String> = slot.channels.iter().map(channel).collect();
    let because: Vec<&str> = slot.because.iter().map(|&(item, _)| items.id(item)).collect();
    if !because.is_empty() {
        parts.push(format!("because of {}", because.join(", ")));
    }
    parts.extend(slot.note.map(|n| note(snapshot, n)));
    parts.join("; ")
}

fn note(snapshot: &Snapshot, note: ReasonNote) -> String {
    match note {
        ReasonNote::Trending(_) => "trending now".to_owned(),
        ReasonNote::New => "new".to_owned(),
        ReasonNote::PopularInCategory(code) => {
            format!("popular in {}", snapshot.bundle.items().category_name(code))
        }
        ReasonNote::Popular => "popular".to_owned(),
    }
}
