//! `foretaste serve`: the server until SIGTERM or Ctrl-C.
#![allow(clippy::print_stdout)] // where it listens is the result

use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result};
use foretaste_pipeline::Scenes;
use foretaste_serve::{Addresses, ServeConfig, Server};
use foretaste_store::Store;
use tokio::signal::unix::{SignalKind, signal};

use super::extract::Extraction;
use crate::cli::ServeArgs;
use crate::logging;
use crate::run::Run;

mod following;
mod quality;

use following::Following;

/// Serves the current bundle and whatever becomes current later.
pub fn run(run: Run, args: &ServeArgs) -> Result<()> {
    logging::start(run.json);
    let mut config = run.config.serve.clone();
    config.listen = args.listen.unwrap_or(config.listen);
    config.admin_listen = args.admin_listen.or(config.admin_listen);
    config.grpc_listen = args.grpc_listen.or(config.grpc_listen);
    let sources = match args.follow {
        true => Some(super::extract::chosen(&run, &[])?),
        false => None,
    };
    fs_err::create_dir_all(&run.data)?;
    let store = run.store_for_writing()?;
    let extraction =
        |sources| Extraction::new(&run, sources, Arc::clone(&store), args.accept_schema);
    let extraction = sources.map(|all| extraction(all).with_alarm(&run)).transpose()?;
    serve(&run, config, (store, extraction), |addresses| {
        println!("listening on http://{}", addresses.public);
        if let Some(admin) = addresses.admin {
            println!("admin on http://{admin}");
        }
        if let Some(grpc) = addresses.grpc {
            println!("gRPC on {grpc}");
        }
        // Whoever waits for this line may read a pipe.
        let _ = std::io::stdout().flush();
    })
}

/// Serves with a store that is already open; follows databases where that is asked.
pub fn serve(
    run: &Run,
    mut config: ServeConfig,
    (store, extraction): (Arc<dyn Store>, Option<Extraction>),
    on_bound: impl FnOnce(Addresses),
) -> Result<()> {
    let scenes = Scenes::new(run.config.scenes.clone())?;
    config.features.folder = run.online();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
        let server = Server::bind(config, store, run.bundles(), scenes).await?;
        on_bound(server.addresses());
        tokio::spawn(quality::watch(run.quality(), server.feed()));
        let following = extraction.map(|all| Following::start(all, server.feed())).transpose()?;
        let shutdown = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            following.iter().for_each(Following::ask_to_stop);
        };
        server.run(shutdown).await?;
        if let Some(following) = following {
            following.wait();
        }
        Ok(())
    })
}
