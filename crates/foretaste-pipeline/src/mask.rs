//! What may be shown, decided before any channel searches: the filters clear bits of one mask
//! over the catalogue, so that a channel finds n items whenever n allowed ones exist.

use foretaste_core::{BitSet, ItemIdx};

use crate::outcome::{FilterKind, StageWork};
use crate::run::Request;

/// Makes `allowed` the set of items that may be shown, and counts each removed item at the first
/// filter that removes it.
///
/// # Cost
/// O(n / 64) per filter, plus the lists of the query; a price or time condition reads all n.
pub(crate) fn build(request: &Request<'_>, allowed: &mut BitSet) -> StageWork {
    let n_items = request.snapshot.bundle.n_items();
    allowed.reset_full(n_items);
    let counted = FilterKind::ALL.map(|kind| (kind, apply(kind, request, allowed)));
    let removed: Vec<_> = counted.into_iter().filter(|&(_, n)| n > 0).collect();
    let allowed = n_items - removed.iter().map(|&(_, n)| n).sum::<usize>();
    StageWork { n_items, allowed, removed, ..StageWork::default() }
}

/// The first filter that removes the item.
pub(crate) fn removed_by(request: &Request<'_>, item: ItemIdx) -> Option<FilterKind> {
    let mut allowed = BitSet::full(request.snapshot.bundle.n_items());
    FilterKind::ALL.into_iter().find(|&kind| {
        apply(kind, request, &mut allowed);
        !allowed.contains(item)
    })
}

/// Applies one filter and returns how many items it removed.
fn apply(kind: FilterKind, request: &Request<'_>, allowed: &mut BitSet) -> usize {
    let (query, filters) = (request.query, &request.scene.config().filters);
    match kind {
        FilterKind::Hidden => shrink(allowed, |set| set.subtract(&request.snapshot.hidden)),
        FilterKind::Seen if filters.seen => remove_all(allowed, request.seen()),
        FilterKind::Owned if filters.owned => remove_all(allowed, query.owned.iter().copied()),
        FilterKind::Excluded => remove_all(allowed, query.exclude.iter().copied()),
        FilterKind::Scene => keep_matching(request, filters.only.as_ref(), allowed),
        FilterKind::Request => keep_matching(request, query.filter.as_ref(), allowed),
        FilterKind::Seen | FilterKind::Owned => 0,
    }
}

fn remove_all(allowed: &mut BitSet, items: impl Iterator<Item = ItemIdx>) -> usize {
    items.map(|i| usize::from(allowed.remove(i))).sum()
}

fn keep_matching(
    request: &Request<'_>,
    expression: Option<&crate::FilterExpr>,
    allowed: &mut BitSet,
) -> usize {
    let Some(expression) = expression else { return 0 };
    let items = request.snapshot.bundle.items();
    shrink(allowed, |set| set.intersect(&expression.matching(items, set.len())))
}

fn shrink(set: &mut BitSet, narrow: impl FnOnce(&mut BitSet)) -> usize {
    let before = set.count();
    narrow(set);
    before - set.count()
}
