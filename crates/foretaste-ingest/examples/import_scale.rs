//! Imports a file into a new store: `import_scale FILE DIR`. With `import_scale make ROWS FILE` it writes a CSV
//! of events to import. Run it in release under `/usr/bin/time -v`.

use std::io::{BufWriter, Write};
use std::path::Path;

use foretaste_core::{Error, NoProgress, Result, Rng};
use foretaste_ingest::{ImportRequest, import};
use foretaste_store::{EmbeddedOptions, EmbeddedStore};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", rows, file] => make(rows.parse().unwrap_or(0), Path::new(file)),
        [file, dir] => {
            let store = EmbeddedStore::open(Path::new(dir), EmbeddedOptions::default())?;
            let request = ImportRequest::new(*file, Path::new(dir).join("quarantine"));
            let report = import(&store, &request, &NoProgress)?;
            Ok(writeln!(std::io::stdout(), "{report}")?)
        }
        _ => Err(Error::invalid("usage: import_scale FILE DIR | import_scale make ROWS FILE")),
    }
}

/// Rows like those of MovieLens 25M: 162,000 users, 59,000 items, in order of user.
fn make(rows: u64, file: &Path) -> Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, fs_err::File::create(file)?);
    let mut rng = Rng::new(1);
    writeln!(out, "userId,movieId,rating,timestamp")?;
    for row in 0..rows {
        let item = (59_000.0 * rng.f64().powi(3)) as u64;
        let half_stars = rng.below(10) + 1;
        let time = 1_000_000_000 + rng.below(500_000_000);
        let user = row * 162_000 / rows;
        writeln!(out, "{user},{item},{}.{},{time}", half_stars / 2, half_stars % 2 * 5)?;
    }
    Ok(out.flush()?)
}
