//! `foretaste demo`: the whole way on a generated marketplace, from nothing to answers over HTTP.
#![allow(clippy::print_stdout)] // what it shows is its result

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use foretaste_bundle::{Bundle, activate};
use foretaste_generate::write_parquet;
use foretaste_ingest::{ImportRequest, import};
use foretaste_serve::Addresses;
use foretaste_store::{EmbeddedOptions, EmbeddedStore};

use super::{evaluate, serve, train};
use crate::cli::{DemoArgs, EvaluateArgs};
use crate::learning::Settings;
use crate::run::{Run, shown};

/// Share of the events that the table of figures is measured on.
const TEST_SHARE: f64 = 0.1;
/// Users that are replayed for the table.
const TEST_USERS: usize = 5_000;

/// Generates, imports, evaluates, trains, prints and serves.
pub fn run(mut run: Run, args: &DemoArgs) -> Result<()> {
    let began = Instant::now();
    let folder = tempfile::Builder::new().prefix("foretaste-demo-").tempdir()?;
    run.data = folder.path().to_owned();
    let store = Arc::new(fill(&run, args)?);
    let settings = Settings::new(&run, Some(args.profile.name()), None, false)?;
    show_quality(&run, &store, &settings)?;
    let trained = train::train(&run, store.as_ref(), &settings)?;
    activate(&run.bundles(), &trained.id)?;
    let bundle = Bundle::open(&run.bundles(), &trained.id)?;
    let examples = Examples::of(&bundle);
    drop(bundle);
    println!("\nfrom nothing to a trained bundle in {:.1} s", began.elapsed().as_secs_f64());
    if args.no_serve {
        return Ok(());
    }
    let mut config = run.config.serve.clone();
    config.listen = args.listen;
    serve::serve(&run, config, (store, None), |addresses| {
        invite(&run, addresses, &examples);
    })
}

/// Generates the marketplace and imports it the way a user would.
fn fill(run: &Run, args: &DemoArgs) -> Result<EmbeddedStore> {
    let spec = super::generate::spec(args.size);
    let files = run.data.join("generated");
    write_parquet(&spec, &files, run.progress.as_ref())?;
    // Always in files: a demonstration has no place in a database that others use.
    let store = EmbeddedStore::open(&run.data, EmbeddedOptions::default())?;
    let request = ImportRequest::new(&files, run.data.join("quarantine"));
    let report = import(&store, &request, run.progress.as_ref())?;
    print!("{report}");
    fs_err::remove_dir_all(&files)?;
    Ok(store)
}

fn show_quality(run: &Run, store: &EmbeddedStore, settings: &Settings) -> Result<()> {
    let args = EvaluateArgs {
        split: None,
        share: TEST_SHARE,
        test: None,
        profile: None,
        seed: None,
        users: Some(TEST_USERS),
        output: None,
    };
    let report = evaluate::evaluate(run, store, settings, &args)?;
    let (_, html) = report.write(&run.reports(), "report")?;
    println!("\nmeasured on the latest {:.0}% of the events:", TEST_SHARE * 100.0);
    print!("{}", report.to_text());
    println!("report: {}", shown(&html));
    Ok(())
}

/// Ids that make good first questions.
struct Examples {
    user: String,
    item: String,
}

impl Examples {
    /// A user with a past of middling length and the most popular item.
    fn of(bundle: &Bundle) -> Self {
        let length = |user: u32| bundle.history(user).0.len();
        let user = (0..bundle.n_users() as u32).min_by_key(|&u| length(u).abs_diff(30));
        let total = bundle.popularity().total;
        let best = (0..bundle.n_items() as u32)
            .max_by(|&a, &b| total[a as usize].total_cmp(&total[b as usize]));
        Self {
            user: user.map_or(String::new(), |u| bundle.users().id(u).to_owned()),
            item: best.map_or(String::new(), |i| bundle.items().id(i).to_owned()),
        }
    }
}

fn invite(run: &Run, addresses: Addresses, examples: &Examples) {
    let at = format!("http://{}", addresses.public);
    let Examples { user, item } = examples;
    println!(
        "
open {at}/ in a browser, or try:

  curl -s '{at}/v1/recommend/{user}?k=5&reasons=true'
  curl -s '{at}/v1/similar/{item}?k=5'
  curl -s '{at}/v1/trending?window=24h&k=5'
  curl -s -X POST {at}/v1/events -H 'content-type: application/json' \\
       -d '{{\"user\":\"{user}\",\"item\":\"{item}\",\"kind\":\"order\"}}'
  curl -s '{at}/v1/explain/{user}/{item}'

data: {} (removed when this ends); Ctrl-C to stop",
        shown(&run.data)
    );
    let _ = std::io::stdout().flush();
}
