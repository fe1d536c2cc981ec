//! From choice to answer: the slate with its reasons, and the account of what was left.

use crate::candidates::Scored;
use crate::diversify::Choice;
use crate::merge::Ranked;
use crate::outcome::{Degraded, Outcome, SlateItem};
use crate::plan::Planned;
use crate::reasons;
use crate::run::{Ranking, Request, Scratch};

/// Writes the answer.
pub(crate) fn respond(
    request: &Request<'_>,
    ranking: Ranking<'_>,
    (pool, choice): (&[Ranked], Choice),
    scratch: &mut Scratch,
) -> Outcome {
    let mut degraded = ranking.merged.degraded.clone();
    degraded.extend(relaxed(&ranking, &choice));
    let mut work = ranking.work;
    let n_candidates = ranking.merged.order.len() + work.unrankable;
    work.unused = ranking.merged.order.len() - choice.picks.len();
    let mut scored = Scored::default();
    let slate: Vec<SlateItem> = choice
        .picks
        .iter()
        .map(|&pick| explain_item(request, &ranking.plan, &pool[pick], (&mut scored, scratch)))
        .collect();
    let fallback = ranking.fallback.filter(|_| !slate.is_empty());
    Outcome { slate, degraded, fallback, n_candidates, work }
}

fn explain_item(
    request: &Request<'_>,
    plan: &[Planned<'_>],
    ranked: &Ranked,
    (scored, scratch): (&mut Scored, &mut Scratch),
) -> SlateItem {
    let candidates = &mut scratch.candidates;
    let scored = ranked.row.map(|row| {
        candidates.scored(row, plan.len(), scored);
        &*scored
    });
    let channels = reasons::shares(request, plan, scored, ranked.item);
    let (mut because, mut note) = (Vec::new(), None);
    if request.query.want_reasons {
        let from = |scored| reasons::because(plan, candidates, scored, ranked.item);
        because = scored.map(from).unwrap_or_default();
        note = reasons::note(request, ranked.item);
    }
    SlateItem { item: ranked.item, score: ranked.score, channels, because, note }
}

/// What diversity could not keep.
fn relaxed(ranking: &Ranking<'_>, choice: &Choice) -> Vec<Degraded> {
    let with_quota = ranking.plan.iter().filter(|channel| channel.quota > 0);
    let unmet = with_quota.zip(&choice.quota_missing).filter(|&(_, &missing)| missing > 0);
    let unmet = unmet.map(|(c, &missing)| Degraded::QuotaUnmet { channel: c.id, missing });
    let caps = (choice.caps_relaxed > 0).then_some(Degraded::CapsRelaxed(choice.caps_relaxed));
    unmet.chain(caps).collect()
}
