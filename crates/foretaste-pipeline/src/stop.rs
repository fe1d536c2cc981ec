//! When a request has used up its time: whoever computes it sets a sign, and models that have not
//! ended their search by then take no part. Time itself stays outside; a request that nobody stops
//! is the pure function that it was. A budget of work is no matter of time: what a model found
//! within it takes part, and the answer says that the model ended early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use foretaste_bundle::{ChannelScratch, Ended, Meter, Scan, Stop};
use foretaste_core::{BitSet, ItemIdx};

use crate::outcome::{ChannelId, Degraded};
use crate::plan::Planned;
use crate::recall::Recall;

/// The channels of one request that the sign concerns.
#[derive(Default)]
pub(crate) struct Watch {
    pub stop: Stop,
    /// Each with whether it came too late.
    channels: Vec<(ChannelId, Arc<AtomicBool>)>,
    /// Those that used up their budget.
    cut: Vec<ChannelId>,
}

impl Watch {
    /// Forgets the channels of the request before.
    pub fn begin(&mut self) {
        self.channels.clear();
        self.cut.clear();
    }

    /// Bounds what each channel of a plan may do with its scratch.
    pub fn limit(&self, plan: &[Planned<'_>], scratch: &mut [ChannelScratch]) {
        let bounded = plan.iter().zip(scratch);
        bounded.for_each(|(channel, scratch)| self.limit_one(channel.budget, scratch));
    }

    /// Bounds what one channel may do with its scratch: until the sign, and within the budget.
    pub fn limit_one(&self, budget: usize, scratch: &mut ChannelScratch) {
        scratch.limit(Meter::new(budget, self.stop.clone()));
    }

    /// Takes note of the channels of a plan that ended early; what was stopped has no proposals.
    pub fn account(
        &mut self,
        plan: &[Planned<'_>],
        scratch: &[ChannelScratch],
        proposals: &mut [Vec<(ItemIdx, f32)>],
    ) {
        for ((channel, scratch), proposals) in plan.iter().zip(scratch).zip(proposals) {
            self.account_one(channel.id, scratch, proposals);
        }
    }

    /// As [`Watch::account`] for one channel.
    pub fn account_one(
        &mut self,
        channel: ChannelId,
        scratch: &ChannelScratch,
        proposals: &mut Vec<(ItemIdx, f32)>,
    ) {
        match scratch.ended() {
            Some(Ended::Budget) => self.cut.push(channel),
            Some(Ended::Stopped) => {
                self.note(channel, true);
                proposals.clear();
            }
            None => {}
        }
    }

    /// Lets the channels that ask a model notice the sign; the others cost too little.
    pub fn over<'a>(&mut self, plan: Vec<Planned<'a>>) -> Vec<Planned<'a>> {
        if !self.stop.is_some() {
            return plan;
        }
        plan.into_iter().map(|channel| self.over_one(channel)).collect()
    }

    fn over_one<'a>(&mut self, channel: Planned<'a>) -> Planned<'a> {
        if !channel.recall.is_personal() {
            return channel;
        }
        let (late, stop) = (self.note(channel.id, false), self.stop.clone());
        Planned { recall: Box::new(Stoppable { inner: channel.recall, stop, late }), ..channel }
    }

    /// Takes note of a channel, which is late already or may become so.
    pub fn note(&mut self, channel: ChannelId, is_late: bool) -> Arc<AtomicBool> {
        let late = Arc::new(AtomicBool::new(is_late));
        self.channels.push((channel, Arc::clone(&late)));
        late
    }

    /// The channels that came too late, and those that used up their budget, each once.
    pub fn ended_early(&self) -> Vec<Degraded> {
        let late = self.channels.iter().filter(|(_, late)| late.load(Relaxed));
        let late = once_each(late.map(|&(id, _)| id).collect());
        let cut = once_each(self.cut.clone());
        let late = late.into_iter().map(Degraded::ChannelLate);
        late.chain(cut.into_iter().map(Degraded::ChannelCut)).collect()
    }
}

fn once_each(mut ids: Vec<ChannelId>) -> Vec<ChannelId> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// A channel that proposes nothing and says nothing once it came too late.
struct Stoppable<'a> {
    inner: Box<dyn Recall + 'a>,
    stop: Stop,
    late: Arc<AtomicBool>,
}

impl Stoppable<'_> {
    fn is_late(&self) -> bool {
        self.late.load(Relaxed)
    }

    /// Looks at the sign: what has not begun when it is set is late for good.
    fn begins_late(&self) -> bool {
        if self.stop.is_set() {
            self.late.store(true, Relaxed);
        }
        self.is_late()
    }
}

impl Recall for Stoppable<'_> {
    fn prepare(&self, scratch: &mut ChannelScratch) {
        if !self.begins_late() {
            self.inner.prepare(scratch);
        }
    }

    fn search(
        &self,
        allowed: &BitSet,
        n: usize,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        if self.begins_late() {
            out.clear();
        } else {
            self.inner.search(allowed, n, scratch, out);
        }
    }

    fn score(&self, items: &[ItemIdx], scratch: &ChannelScratch, out: &mut [f32]) {
        if self.is_late() || scratch.ended() == Some(Ended::Stopped) {
            out.fill(0.0);
        } else {
            self.inner.score(items, scratch, out);
        }
    }

    fn contributions(
        &self,
        item: ItemIdx,
        scratch: &mut ChannelScratch,
        out: &mut Vec<(ItemIdx, f32)>,
    ) {
        if self.is_late() || scratch.ended() == Some(Ended::Stopped) {
            out.clear();
        } else {
            self.inner.contributions(item, scratch, out);
        }
    }

    fn work(&self) -> usize {
        self.inner.work()
    }

    fn shareable_work(&self) -> usize {
        self.inner.shareable_work()
    }

    fn scan<'a>(
        &'a self,
        allowed: &'a BitSet,
        n: usize,
        scratch: &'a mut ChannelScratch,
    ) -> Option<Scan<'a>> {
        if self.begins_late() { None } else { self.inner.scan(allowed, n, scratch) }
    }

    fn scale(&self) -> f32 {
        self.inner.scale()
    }

    fn is_personal(&self) -> bool {
        self.inner.is_personal()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Executor;

    /// Finds one item, and sets the sign while it searches.
    struct Slow(Stop);

    impl Recall for Slow {
        fn search(
            &self,
            _allowed: &BitSet,
            _n: usize,
            _scratch: &mut ChannelScratch,
            out: &mut Vec<(ItemIdx, f32)>,
        ) {
            self.0.set();
            *out = vec![(7, 1.0)];
        }

        fn score(&self, _items: &[ItemIdx], _scratch: &ChannelScratch, out: &mut [f32]) {
            out.fill(1.0);
        }

        fn scale(&self) -> f32 {
            1.0
        }

        fn is_personal(&self) -> bool {
            true
        }
    }

    #[test]
    fn what_has_begun_is_finished_and_what_has_not_is_late() {
        let stop = Stop::new();
        let mut watch = Watch { stop: stop.clone(), ..Watch::default() };
        let channel = |i| {
            let recall = Box::new(Slow(stop.clone()));
            Planned { id: ChannelId::Bundle(i), weight: 1.0, quota: 0, budget: 0, recall }
        };
        let plan = watch.over(vec![channel(0), channel(1)]);
        let mut scratch = [ChannelScratch::default(), ChannelScratch::default()];
        let mut found = [Vec::new(), vec![(3, 1.0)]];
        let allowed = BitSet::empty(10);
        Executor::Inline.search(&plan, (&allowed, 5), (&mut scratch, &mut found));
        assert_eq!(found, [vec![(7, 1.0)], vec![]]);
        assert_eq!(watch.ended_early(), [Degraded::ChannelLate(ChannelId::Bundle(1))]);
        let mut said = [9.0];
        plan[0].recall.score(&[7], &scratch[0], &mut said);
        assert_eq!(said, [1.0]);
        plan[1].recall.score(&[7], &scratch[1], &mut said);
        assert_eq!(said, [0.0]);
        watch.begin();
        assert_eq!(watch.ended_early(), []);
    }
}
