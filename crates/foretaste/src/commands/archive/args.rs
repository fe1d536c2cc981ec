//! Flags of `foretaste archive`.

use clap::{Args, Subcommand};

/// Flags of `archive`.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
For a store on a database's server ([store] of the configuration); files are Parquet already. With
--source, for rows of a source's own tables of events, whatever the store: what has been extracted,
with all columns. A run may be stopped or killed at any moment: the next one goes on, and each event
is read once all the while. Nothing is deleted before its file has been written, read back and
compared. Settings stand in [archive]; docs/archive.md says what each failure does.

Examples:
  foretaste archive --older-than 90d --dry-run     what would go, month by month
  foretaste archive --older-than 90d               copy and compare; the tables stay as they are
  foretaste archive --older-than 90d --delete      and delete from the tables what is in the files
  foretaste archive status --verify                read every file
  foretaste archive restore                        everything back into the tables
  foretaste archive --source shop --older-than 365d --dry-run
  foretaste archive --source shop --table order_tab --older-than 365d --delete
  foretaste archive status --source shop --verify
  foretaste archive restore --source shop --table order_tab"
)]
pub struct ArchiveArgs {
    /// What else can be asked
    #[command(subcommand)]
    pub command: Option<ArchiveCommand>,
    /// Rows of which source and table
    #[command(flatten)]
    pub from: TablesArgs,
    /// Archive events of whole days that are older [default: from the configuration, 90d]
    #[arg(long, value_name = "DAYS", value_parser = days)]
    pub older_than: Option<u32>,
    /// Delete from the tables what is in the archive (rows of sources never go without it)
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
        /// Rows of which source and table
        #[command(flatten)]
        from: TablesArgs,
    },
    /// Put all events, or rows, back into the tables and remove the files
    Restore {
        /// Rows of which source and table
        #[command(flatten)]
        from: TablesArgs,
    },
}

/// Tables of a source.
#[derive(Args, Debug)]
pub struct TablesArgs {
    /// Rows of the tables of this source, instead of the store's events
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Only those of this table [default: all tables of events]
    #[arg(long, requires = "source")]
    pub table: Option<String>,
}

impl ArchiveArgs {
    /// The tables, where it is about rows of a source.
    pub fn tables(&self) -> Option<&TablesArgs> {
        let from = match &self.command {
            Some(ArchiveCommand::Status { from, .. } | ArchiveCommand::Restore { from }) => from,
            None => &self.from,
        };
        from.source.is_some().then_some(from)
    }
}

fn days(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix('d').unwrap_or(text);
    match number.parse() {
        Ok(days @ 1..=36_500) => Ok(days),
        _ => Err("give days, as 90d (1d to 36500d)".to_owned()),
    }
}
