//! Who serves: the user's past, or what stands in for it when there is none or the models know
//! nothing of it. The first in the scene's order that proposes anything serves.

use crate::outcome::Fallback;
use crate::plan::{self, Asked, Planned};
use crate::run::{Request, Scratch};

/// Plans and searches with the past, then with each fallback of the scene; leaves the proposals
/// in the scratch. When nothing proposes anything, `static` serves, and popularity fills up.
pub(crate) fn recall<'a>(
    request: &Request<'a>,
    scratch: &mut Scratch,
) -> (Vec<Planned<'a>>, Option<Fallback>) {
    let n_items = request.snapshot.bundle.n_items();
    let history = request.usable_past();
    let session: Asked = request.query.usable_session(n_items).into();
    scratch.watch.begin();
    let in_order = request.scene.config().fallback.iter().copied().map(Some);
    for source in std::iter::once(None).chain(in_order) {
        let asked = if source == Some(Fallback::Session) { &session } else { &history };
        let plan = scratch.watch.over(plan::channels(request, asked, source));
        if serves(request, (&plan, source), !asked.is_empty(), scratch) {
            return (plan, source);
        }
    }
    let plan = plan::channels(request, &history, Some(Fallback::Static));
    search(request, &plan, scratch);
    (plan, Some(Fallback::Static))
}

/// Searches with the plan and says whether the channels that carry the source spoke: those asked
/// with the user's items, the fallback's stand-in, or, in a scene without either, any channel.
fn serves(
    request: &Request<'_>,
    (plan, source): (&[Planned<'_>], Option<Fallback>),
    asked: bool,
    scratch: &mut Scratch,
) -> bool {
    let stand_in = source.and_then(plan::stand_in);
    let personal = stand_in.is_none() && plan.iter().any(|c| c.recall.is_personal());
    if (personal || source == Some(Fallback::Session)) && !asked {
        return false;
    }
    search(request, plan, scratch);
    let carries = |channel: &Planned<'_>| match stand_in {
        Some(id) => channel.id == id,
        None => !personal || channel.recall.is_personal(),
    };
    let found = plan.iter().zip(&scratch.candidates.proposals);
    found.filter(|(channel, _)| carries(channel)).any(|(_, proposals)| !proposals.is_empty())
}

fn search(request: &Request<'_>, plan: &[Planned<'_>], scratch: &mut Scratch) {
    let Scratch { candidates, allowed, executor, watch, .. } = scratch;
    candidates.search(plan, (allowed, request.proposals()), (executor, watch));
}
