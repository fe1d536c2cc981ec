//! The keys of a bucket: from the environment, or from a file.

use anyhow::{Context, Result};
use foretaste_core::{Error, ErrorKind};
use foretaste_features::{Keys, PlaceConfig};

/// The keys that the configuration points to.
pub fn read(config: &PlaceConfig) -> Result<Keys> {
    if config.keys_file.is_empty() {
        let (access, secret) = (&config.access_key_env, &config.secret_key_env);
        return Ok(Keys { access: variable(access)?, secret: variable(secret)? });
    }
    let text = fs_err::read_to_string(&config.keys_file).context("lake.keys_file")?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (Some(access), Some(secret)) = (lines.next(), lines.next()) else {
        let text = format!("{} must hold two lines: access key, secret key", config.keys_file);
        return Err(Error::new(ErrorKind::Config, text).into());
    };
    Ok(Keys { access: access.to_owned(), secret: secret.to_owned() })
}

#[allow(clippy::disallowed_methods)] // this is the binary
fn variable(name: &str) -> Result<String> {
    let text = || format!("lake: the environment has no {name}; set it, or lake.keys_file");
    Ok(std::env::var(name).map_err(|_| Error::new(ErrorKind::Config, text()))?)
}
