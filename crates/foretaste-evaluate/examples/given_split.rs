//! Trains on one file of lists (`user item item ...` a line) and evaluates on another:
//! `given_split TRAIN TEST [PROFILE] [SETTINGS as JSON]`.

#![allow(clippy::print_stderr, reason = "it is a program for a terminal")]

use std::error::Error;
use std::time::Instant;

use foretaste_core::{Event, EventBatch, EventWeights, Progress};
use foretaste_evaluate::assemble::{Assembled, assemble};
use foretaste_evaluate::held_out::HeldOut;
use foretaste_evaluate::job::Job;
use foretaste_evaluate::learn::LearnConfig;
use foretaste_evaluate::replay::ReplayConfig;
use foretaste_evaluate::{settings, split};
use serde_json::{Value, json};

/// Prints when tasks start.
struct Lines(Instant);

impl Progress for Lines {
    fn start(&self, task: &str, _total: Option<u64>, _unit: &str) {
        eprintln!("{:7.1} s  {task}", self.0.elapsed().as_secs_f64());
    }
    fn advance(&self, _n: u64) {}
    fn finish(&self) {}
}

type Lists = Vec<(String, Vec<String>)>;

fn read(path: &str) -> Result<Lists, Box<dyn Error>> {
    let text = fs_err::read_to_string(path)?;
    let list = |line: &str| {
        let mut ids = line.split_ascii_whitespace().map(str::to_owned);
        Some((ids.next()?, ids.collect()))
    };
    Ok(text.lines().filter_map(list).collect())
}

fn batch(lists: &Lists) -> EventBatch {
    let mut batch = EventBatch::default();
    for (user, items) in lists {
        for item in items {
            batch.push(&Event {
                event_id: None,
                user: user.clone(),
                item: item.clone(),
                kind: "interaction".into(),
                value: 1.0,
                time_ms: 0,
                context: None,
            });
        }
    }
    batch
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [train, test, rest @ ..] = arguments.as_slice() else {
        return Err("usage: given_split TRAIN TEST [PROFILE] [SETTINGS]".into());
    };
    let profile = rest.first().map_or("fast", String::as_str);
    let over: Value = rest.get(1).map_or(Ok(json!({})), |text| serde_json::from_str(text))?;
    let progress = Lines(Instant::now());
    let data = assemble(&batch(&read(train)?), vec![], vec![], &EventWeights::default());
    let parts = given(&data, &read(test)?);
    let folder = tempfile::tempdir()?;
    let fit = settings::trainers(profile, 42, &over, &progress);
    let job = Job {
        graphs: foretaste_bundle::GraphConfig::default(),
        fit: fit.as_ref(),
        learn: &LearnConfig::default(),
        profile,
        config: &json!({}),
        seed: 42,
        scratch: folder.path(),
        progress: &progress,
    };
    let replay = ReplayConfig::default();
    let report = job.evaluate(&data, parts, ("given test", Default::default()), &replay)?;
    eprintln!("{:7.1} s  done", progress.0.elapsed().as_secs_f64());
    eprintln!("{}", report.to_text());
    eprintln!("{:?}", report.learned);
    report.write(std::path::Path::new("."), "report")?;
    Ok(())
}

fn given(data: &Assembled, lists: &Lists) -> split::Split {
    let known: std::collections::HashMap<&str, u32> =
        data.items.iter().zip(0..).map(|(i, at)| (i.item_id.as_str(), at)).collect();
    let sizes = (data.users.len(), data.items.len());
    let (held_out, _) =
        HeldOut::from_ids(lists, sizes, |id| data.users.index_of(id), |id| known.get(id).copied());
    split::given(&data.interactions, held_out)
}
