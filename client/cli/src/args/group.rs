//! `ebb group` as data: what may be typed, with its help.

use clap::{Args, Subcommand};

use super::Connection;

/// `ebb group`.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    #[command(subcommand)]
    pub(crate) command: GroupCommand,
}

/// What to do with groups.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// List the groups
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show a group's members, its offsets, and how far it is behind
    Describe {
        /// Its id
        group: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Set where a group without members goes on reading a topic
    ResetOffsets {
        /// Its id
        group: String,
        /// The topic
        #[arg(long, short)]
        topic: String,
        /// Only this partition; may be repeated
        #[arg(long, short)]
        partition: Vec<i32>,
        /// Where to go on: earliest, latest, an offset, or a time as 2026-01-31T12:00:00Z
        #[arg(long, value_name = "POSITION")]
        to: String,
        /// Only show what the offsets would be
        #[arg(long)]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Delete a group without members, with its offsets
    Delete {
        /// Its id
        group: String,
        #[command(flatten)]
        connection: Connection,
    },
}

impl GroupCommand {
    /// How to reach the agent.
    pub(crate) fn connection(&self) -> &Connection {
        match self {
            Self::List { connection, .. }
            | Self::Describe { connection, .. }
            | Self::ResetOffsets { connection, .. }
            | Self::Delete { connection, .. } => connection,
        }
    }
}
