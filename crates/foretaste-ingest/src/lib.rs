//! Importers: what people have (CSV, TSV, JSONL, Parquet, MovieLens, lists, tables) into a store.
//!
//! Every layout is reduced to rows of named cells; one collector makes events of them, another
//! items and users. A bad row never stops an import: it is counted by reason and written to the
//! quarantine, until the share of bad rows exceeds a limit; then nothing of the import is stored.
//! An import of events becomes visible by one commit. [`tables`] reads live databases, again and
//! again. The crate knows nothing about features and models.

mod catalogue;
mod cells;
mod columnar;
mod delimited;
mod detect;
mod driver;
mod events;
mod import;
mod input;
mod jsonl;
mod lines;
mod lists;
mod movielens;
mod quarantine;
mod report;
mod request;
pub mod tables;
mod texts;
mod times;

pub use import::import;
pub use report::{ImportReport, Reason, SourceReport};
pub use request::{Entity, Format, ImportRequest, Mapping};
pub use times::{exact_text, parse_time};
