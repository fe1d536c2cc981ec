//! Channels that may do only so much work, or are told to stop.

use foretaste_bundle::{Bundle, ChannelScratch, Ended, LoadedChannel, Meter, Stop, write};
use foretaste_core::{BitSet, ItemIdx};

use crate::graphs::{self, EF, N_ITEMS};
use crate::planted;

type Found = Vec<(ItemIdx, f32)>;

/// What a channel finds within a budget, and whether that ended it.
fn within(
    channel: &LoadedChannel,
    (history, ef): (&[(ItemIdx, f32)], usize),
    meter: Meter,
) -> (Found, Option<Ended>) {
    let (mut scratch, mut found) = (ChannelScratch::default(), Vec::new());
    scratch.limit(meter);
    channel.prepare(history, &mut scratch);
    let allowed = BitSet::full(channel.vectors().map_or(planted::N_ITEMS, |v| v.n_items()));
    channel.search_broadly(&allowed, (10, ef), &mut scratch, &mut found);
    (found, scratch.ended())
}

fn budget(work: usize) -> Meter {
    Meter::new(work, Stop::default())
}

/// Work of a scan of 64 rows.
const BLOCK_WORK: usize = 64 * 64 / 4;

#[test]
fn a_scan_reads_as_many_rows_as_it_may_from_the_first_on() {
    let channel = &graphs::bundle().channels()[0];
    let n_blocks = N_ITEMS.div_ceil(64);
    for history in graphs::users().iter().take(5) {
        let prepare = history.len() * channel.vectors().unwrap().dims();
        let (whole, ended) = within(channel, (history, N_ITEMS), budget(0));
        assert_eq!((whole.len(), ended), (10, None));
        let enough = budget(prepare + n_blocks * BLOCK_WORK);
        assert_eq!(within(channel, (history, N_ITEMS), enough), (whole, None));
        let (part, ended) = within(channel, (history, N_ITEMS), budget(prepare + 70 * BLOCK_WORK));
        assert_eq!(ended, Some(Ended::Budget));
        let mut scratch = ChannelScratch::default();
        channel.prepare(history, &mut scratch);
        let mut first = BitSet::empty(N_ITEMS);
        (0..70 * 64).for_each(|item| first.insert(item));
        assert_eq!(part, graphs::exact(channel, &first, 10, &scratch));
        let nothing = within(channel, (history, N_ITEMS), budget(prepare - 1));
        assert_eq!(nothing, (vec![], Some(Ended::Budget)));
    }
}

#[test]
fn a_walk_goes_as_far_as_it_may_and_always_as_far() {
    let channel = &graphs::bundle().channels()[0];
    let mut found_more = 0;
    for history in &graphs::users() {
        let (whole, _) = within(channel, (history, EF), budget(0));
        let (short, ended) = within(channel, (history, EF), budget(20_000));
        assert_eq!(ended, Some(Ended::Budget));
        assert_eq!(within(channel, (history, EF), budget(20_000)), (short.clone(), ended));
        assert_eq!(within(channel, (history, EF), budget(10_000_000)), (whole.clone(), None));
        found_more += usize::from(short.last().is_none_or(|worst| worst.1 < whole[9].1));
    }
    assert!(found_more > 0, "no search needed more than the budget");
}

#[test]
fn sparse_channels_take_the_first_items_of_a_history() {
    let root = tempfile::tempdir().unwrap();
    let id = write(root.path(), &planted::contents(3)).unwrap();
    let bundle = Bundle::open(root.path(), &id).unwrap();
    let history: Vec<(ItemIdx, f32)> = (0..12).map(|item| (item * 11, 1.0)).collect();
    let mut n_cut = 0;
    for channel in bundle.channels().iter().filter(|channel| channel.kind() == "item_item") {
        for work in (0..2000).step_by(97).skip(1) {
            let (found, ended) = within(channel, (&history, 0), budget(work));
            let taken = (0..=history.len())
                .find(|&n| within(channel, (&history[..n], 0), budget(0)).0.len() == found.len());
            assert!(taken.is_some(), "{work}: some beginning of the history finds as many");
            n_cut += usize::from(ended.is_some());
        }
    }
    assert!(n_cut > 0, "no budget was too small");
}

#[test]
fn nothing_is_found_once_the_sign_is_set() {
    let channel = &graphs::bundle().channels()[0];
    let stop = Stop::new();
    let history = &graphs::users()[0];
    let (whole, _) = within(channel, (history, EF), budget(0));
    assert_eq!(within(channel, (history, EF), Meter::new(0, stop.clone())), (whole, None));
    stop.set();
    for ef in [EF, N_ITEMS] {
        let stopped = within(channel, (history, ef), Meter::new(0, stop.clone()));
        assert_eq!(stopped, (vec![], Some(Ended::Stopped)));
    }
}
