//! Flags of `foretaste advise`.

use clap::Args;

/// Flags of `advise`.
#[derive(Args, Debug)]
#[command(after_help = "\
Without --apply nothing is changed. Every index that is missing is named with the statement that
builds it while others read and write; docs/advise.md says what is looked at.

Examples:
  foretaste advise                              all sources
  foretaste advise shop --apply --admin-url-env SHOP_ADMIN_URL
  foretaste advise shop --apply --probe-writes  and what a writer feels meanwhile")]
pub struct AdviseArgs {
    /// Names of sources [default: all]
    #[arg(value_name = "SOURCE")]
    pub sources: Vec<String>,
    /// Build the missing indexes, check them, and measure before and after
    #[arg(long)]
    pub apply: bool,
    /// With --apply: environment variable with the URL of a user that may create indexes, for one
    /// source [default: the source's own]
    #[arg(long, requires = "apply", value_name = "VARIABLE")]
    pub admin_url_env: Option<String>,
    /// With --apply: time a writer that changes the newest row again and again, each time in a
    /// transaction that is rolled back
    #[arg(long, requires = "apply")]
    pub probe_writes: bool,
}
