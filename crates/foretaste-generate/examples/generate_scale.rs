//! Writes a marketplace of a given size: `generate_scale USERS ITEMS EVENTS DIR`.
//! Run it in release under `/usr/bin/time -v` to measure time and memory.

use std::path::Path;

use foretaste_core::{Error, NoProgress, Result};
use foretaste_generate::{Spec, write_parquet};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [users, items, events, dir] = args.as_slice() else {
        return Err(Error::invalid("usage: generate_scale USERS ITEMS EVENTS DIR"));
    };
    let number = |text: &str| text.parse::<u64>().map_err(|e| Error::invalid(e.to_string()));
    let spec = Spec {
        users: number(users)? as u32,
        items: number(items)? as u32,
        events: number(events)?,
        ..Spec::default()
    };
    write_parquet(&spec, Path::new(dir), &NoProgress)
}
