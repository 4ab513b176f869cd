//! The binary `ebb`: every role and every tool. Parses the command line, sets up logging and the runtime, and maps
//! what happened to an exit code: 0 done, 1 failed, 2 wrong usage.

mod agent;
mod archive;
mod args;
mod bench;
mod bucket;
mod compactor;
mod config;
mod connect;
mod consume;
mod figures;
mod fsck;
mod group;
mod host;
mod input;
mod mirror;
mod output;
mod produce;
mod progress;
mod sweeper;
mod topic;
mod tunnel;

use std::{io, process::ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{Cli, Command},
    output::Failure,
};

/// Agents hold many large buffers for a short time from many threads. This allocator reuses them across threads and
/// gives memory back when it is no longer needed; the platform's keeps about twice as much.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    output::finish(prepare(&cli.log).and_then(|runtime| runtime.block_on(run(cli.command))))
}

fn prepare(log: &str) -> Result<tokio::runtime::Runtime, Failure> {
    let filter = EnvFilter::try_new(log).map_err(Failure::with(format!("--log {log}")))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::with("runtime"))
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(args) => agent::dev(*args).await,
        Command::Agent(args) => agent::agent(*args).await,
        Command::Compactor(args) => compactor::run(args).await,
        Command::Topic(args) => topic::run(args.command).await,
        Command::Group(args) => group::run(args.command).await,
        Command::Archive(args) => archive::run(args.command).await,
        Command::Produce(args) => produce::run(args).await,
        Command::Consume(args) => consume::run(args).await,
        Command::Tunnel(args) => tunnel::run(args).await,
        Command::Bench { command } => bench::run(command).await,
        Command::Fsck(args) => fsck::run(args).await,
    }
}
