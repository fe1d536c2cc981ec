//! `foretaste config`: the settings in force, and what is wrong with them.
#![allow(clippy::print_stdout)] // results

use anyhow::Result;

use crate::cli::ConfigCommand;
use crate::config::DEFAULT;
use crate::run::Run;

/// What can be answered before any configuration is read.
pub fn without_loading(command: ConfigCommand) -> Option<Result<()>> {
    matches!(command, ConfigCommand::Default).then(|| {
        print!("{DEFAULT}");
        Ok(())
    })
}

/// Prints or checks; a wrong configuration never gets here.
pub fn run(run: &Run, command: ConfigCommand) -> Result<()> {
    match command {
        ConfigCommand::Print => {
            let value = serde_json::to_value(&run.config)?;
            run.print(&value, || run.config.to_toml());
        }
        ConfigCommand::Check | ConfigCommand::Default => {
            run.print(&serde_json::json!({ "ok": true }), || "the configuration is right\n".into());
        }
    }
    Ok(())
}
