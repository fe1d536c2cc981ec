//! What one read of features costs: processor time, bytes and memory, for sets of the sizes of the
//! starter's. `read_cost FOLDER [ITEMS] [USERS]` publishes planted values there, and reads them when it is
//! run again.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a program for measuring"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use foretaste_core::Rng;
use foretaste_core::feature::{Class, Entity};
use foretaste_core::moment::MAX_STEPS;
use foretaste_online::{
    Asking, Block, Cell, ColumnHead, ColumnKind, FeatureReader, Follower, Head, LastEvent,
    LastEventsDraft, MOMENT, Plan, Publisher, ValuesDraft,
};
use rustix::time::{ClockId, clock_gettime};

const NOW: i64 = 1_780_000_000_000;
/// Items of one read.
const N_ITEMS: usize = 300;
const ROUNDS: usize = 15;
const READS: usize = 200;
const SETS: [(&str, Entity, usize); 10] = [
    ("item_activity", Entity::Item, 15),
    ("item_appeal", Entity::Item, 9),
    ("item_audience", Entity::Item, 4),
    ("item_facts", Entity::Item, 6),
    ("item_trend", Entity::Item, 8),
    ("user_activity", Entity::User, 15),
    ("user_habits", Entity::User, 10),
    ("user_item", Entity::UserItem, 8),
    ("user_recency", Entity::User, 7),
    ("user_taste", Entity::User, 7),
];

fn main() {
    let mut args = std::env::args().skip(1);
    let folder = args.next().expect("a folder");
    let n_items: usize = args.next().map_or(100_000, |n| n.parse().unwrap());
    let n_users: usize = args.next().map_or(100_000, |n| n.parse().unwrap());
    if !Path::new(&folder).join(MOMENT).join("CURRENT").exists() {
        let began = cpu();
        publish(Path::new(&folder), (n_items, n_users));
        println!("publishing_cpu_s: {:.2}; run again to read", (cpu() - began).as_secs_f64());
        return;
    }
    let before = resident("RssAnon");
    let (began, wall) = (cpu(), Instant::now());
    let looked = Follower::new(Path::new(&folder)).look(&FeatureReader::default()).unwrap();
    let reader = looked.next.unwrap();
    let (cpu_s, wall_s) = ((cpu() - began).as_secs_f64(), wall.elapsed().as_secs_f64());
    println!("opening_and_checking_s: {cpu_s:.3} cpu, {wall_s:.3} wall");
    let bytes = reader.tables().iter().map(|t| t.manifest().file.bytes).sum::<u64>();
    let last = reader.last_events().unwrap().manifest().file.bytes;
    println!("files_bytes: {bytes} of sets, {last} of last events");
    println!("anonymous_bytes_of_the_reader: {}", resident("RssAnon") - before);
    measure(&reader, (n_items, n_users));
}

fn measure(reader: &FeatureReader, (n_items, n_users): (usize, usize)) {
    let names: Vec<String> = SETS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let sets = Plan::new(reader, &names, &[]).unwrap();
    let moment = Plan::new(reader, &[MOMENT.to_owned()], &[]).unwrap();
    let mut rng = Rng::new(7);
    let ask = |rng: &mut Rng| {
        let user = format!("user-{:08}", rng.below(n_users));
        let items: Vec<String> =
            (0..N_ITEMS).map(|_| format!("item-{:08}", rng.below(n_items))).collect();
        (user, items)
    };
    let spread: Vec<(String, Vec<String>)> = (0..READS).map(|_| ask(&mut rng)).collect();
    let same: Vec<(String, Vec<String>)> = vec![spread[0].clone(); READS];
    let cases = [
        ("sets, other user and items each time", &sets, &spread),
        ("sets, always the same", &sets, &same),
        ("the moment, other user and items each time", &moment, &spread),
        ("all, other user and items each time", reader.whole(), &spread),
    ];
    let mut block = Block::default();
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for ((_, plan, questions), times) in cases.iter().zip(&mut times) {
            let began = cpu();
            for (user, items) in *questions {
                let items: Vec<&str> = items.iter().map(String::as_str).collect();
                let asking =
                    Asking { user: Some(user), items: &items, now_ms: NOW, ..Asking::default() };
                reader.read(plan, &asking, &mut block).unwrap();
                std::hint::black_box(block.values());
            }
            times.push((cpu() - began).as_secs_f64() * 1e6 / READS as f64);
        }
    }
    for ((name, plan, _), times) in cases.iter().zip(&mut times) {
        let raw: Vec<String> = times.iter().map(|t| format!("{t:.1}")).collect();
        times.sort_by(f64::total_cmp);
        let (n, width) = (times.len() / 2, plan.columns().len());
        println!(
            "{name}: {N_ITEMS} x {width}, median {:.1} us cpu; raw {}",
            times[n],
            raw.join(" ")
        );
    }
}

fn publish(folder: &Path, (n_items, n_users): (usize, usize)) {
    let publisher = Publisher::open(folder, NOW).unwrap();
    let mut rng = Rng::new(3);
    let user = |u: usize| format!("user-{u:08}");
    let item = |i: usize| format!("item-{i:08}");
    for (set, entity, width) in SETS {
        let column = |c| ColumnHead { name: format!("{set}_{c}"), kind: ColumnKind::Number };
        let mut draft = ValuesDraft::new(entity, (0..width).map(column).collect()).unwrap();
        let mut push = |keys: &[&str]| {
            let value = |_| match rng.below(5) {
                0 => Cell::Missing,
                _ => Cell::Number(f64::from(rng.f32())),
            };
            let values: Vec<Cell<'_>> = (0..width).map(value).collect();
            draft.push(keys, values.into_iter()).unwrap();
        };
        match entity {
            Entity::User => (0..n_users).for_each(|u| push(&[&user(u)])),
            Entity::Item => (0..n_items).for_each(|i| push(&[&item(i)])),
            Entity::UserItem => (0..n_users).for_each(|u| {
                for n in 0..30 {
                    push(&[&user(u), &item((u * 37 + n * 911) % n_items)]);
                }
            }),
        }
        publisher.values(&head(set), &draft).unwrap();
    }
    let mut draft = LastEventsDraft::new(vec!["impression".to_owned()]);
    for i in 0..n_items {
        draft.item(&item(i), Some(&format!("c{}", i % 100)), NOW - i as i64).unwrap();
    }
    for u in 0..n_users {
        // A tenth of the users have as many events as are looked at.
        let n = if u % 10 == 0 { MAX_STEPS } else { 20 };
        for at in 0..n {
            let item = item((u * 37 + at * 911) % n_items);
            let time_ms = NOW - (n - at) as i64 * 200_000;
            let event = LastEvent { item: &item, kind: "view", value: 1.0, time_ms };
            draft.event(&user(u), event).unwrap();
        }
    }
    publisher.last_events(&head(MOMENT), &draft).unwrap();
}

fn head(set: &str) -> Head {
    Head {
        set: set.to_owned(),
        class: Class::Dynamic,
        ttl: Duration::from_secs(300),
        as_of_ms: NOW,
        synced_ms: NOW,
        schema_hash: String::new(),
        source: String::new(),
    }
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

fn resident(name: &str) -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<i64>().unwrap() * 1_024
}
