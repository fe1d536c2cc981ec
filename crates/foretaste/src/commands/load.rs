//! `foretaste load`: requests at a fixed schedule or by a fixed number of users, the highest rate
//! that a server sustains, its break and recovery, and comparisons that know about noise.

use anyhow::Result;
use foretaste_bundle::Bundle;
use foretaste_load::scenario::{Scenario, Source};
use foretaste_load::target::Target;

use crate::run::Run;

pub mod args;
mod contrast;
mod live;
mod measure;
mod search;

use args::{LoadCommand, Shared};

/// Sends load as the command line says.
pub fn run(run: &Run, command: &LoadCommand) -> Result<()> {
    match command {
        LoadCommand::Run(args) => measure::run(run, args),
        LoadCommand::FindMax(args) => search::find(run, args),
        LoadCommand::Stress(args) => search::break_it(run, args),
        LoadCommand::Compare(args) => contrast::run(run, args),
    }
}

/// A result that was found and is not good enough; the exit code says in which way.
#[derive(Debug)]
pub struct Unfit {
    /// 4 where a goal was missed, 5 where nothing can be concluded.
    pub code: u8,
    text: String,
}

impl Unfit {
    fn missed(text: impl Into<String>) -> Self {
        Self { code: 4, text: text.into() }
    }

    fn inconclusive(text: impl Into<String>) -> Self {
        Self { code: 5, text: text.into() }
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Unfit {}

/// What to send and where, from the scenario and the flags over it.
struct Job {
    scenario: Scenario,
    target: Target,
    /// Tells the events of this command from those of any other.
    tag: String,
    started_ms: i64,
}

impl Job {
    fn new(run: &Run, shared: &Shared) -> Result<Self> {
        let mut scenario = Scenario::open(&shared.scenario)?;
        shared.apply(&mut scenario)?;
        if shared.from_bundle {
            ids_of_bundle(run, &mut scenario)?;
        }
        let started_ms = crate::run::now_ms()?;
        let tag = format!("{started_ms:x}-{:x}", std::process::id());
        Ok(Self { scenario, target: Target::parse(&shared.url)?, tag, started_ms })
    }
}

/// Users by the length of their history and items by their popularity, the most frequent first.
fn ids_of_bundle(run: &Run, scenario: &mut Scenario) -> Result<()> {
    let bundle = Bundle::open(&run.bundles(), &run.current_bundle()?)?;
    let mut users: Vec<u32> = (0..bundle.n_users() as u32).collect();
    users.sort_by_key(|&user| (std::cmp::Reverse(bundle.history(user).0.len()), user));
    let total = bundle.popularity().total;
    let mut items: Vec<u32> = (0..bundle.n_items() as u32).collect();
    items.sort_by(|&a, &b| total[b as usize].total_cmp(&total[a as usize]).then(a.cmp(&b)));
    let users = users.into_iter().map(|user| bundle.users().id(user).to_owned()).collect();
    let items = items.into_iter().map(|item| bundle.items().id(item).to_owned()).collect();
    scenario.users.source = Source::Given(users);
    scenario.items.source = Source::Given(items);
    Ok(())
}
