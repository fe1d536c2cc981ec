//! Flags of `foretaste archive`.

use clap::{Args, Subcommand};

/// Flags of `archive`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
For a store on a database's server ([store] of the configuration); files are Parquet already. A run
may be stopped or killed at any moment: the next one goes on, and each event is read once all the
while. Nothing is deleted before its file has been written, read back and compared. Settings stand
in [archive]; docs/archive.md says what each failure does.

Examples:
  foretaste archive --older-than 90d --dry-run     what would go, month by month
  foretaste archive --older-than 90d               copy and compare; the tables stay as they are
  foretaste archive --older-than 90d --delete      and delete from the tables what is in the files
  foretaste archive status --verify                read every file
  foretaste archive restore                        everything back into the tables"
)]
pub struct ArchiveArgs {
    /// What else can be asked
    #[command(subcommand)]
    pub command: Option<ArchiveCommand>,
    /// Archive events of whole days that are older [default: from the configuration, 90d]
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub older_than: Option<u32>,
    /// Delete from the tables what is in the archive
    #[arg(long)]
    pub delete: bool,
    /// Say what would go; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What else can be asked.
#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// What lies in the archive, and where
    Status {
        /// Read every file and compare it with what was written
        #[arg(long)]
        verify: bool,
    },
    /// Put all events back into the tables and remove the files
    Restore,
}

fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').unwrap_or(text);
    match number.parse() {
        Ok(days @ 1..=36_500) => Ok(days),
        _ => Err("give days, as 90d (1d to 36500d)".to_owned()),
    }
}
