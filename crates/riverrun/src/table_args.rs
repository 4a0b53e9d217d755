//! What can be typed after `riverrun table`.

use clap::{Args, Subcommand};
use project::Age;

#[derive(Debug, Subcommand)]
pub enum TableCommand {
    /// Show what a table is, what lies in it, and who holds what of it
    Describe {
        /// The table, also one that others write
        table: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write small files anew as large ones, and leave out rows that are deleted
    #[command(after_help = "\
Shows what it would do; --apply does it. Jobs, other writers and readers of the table go on meanwhile.
Files are of the size that the table's property write.target-file-size-bytes says, or 128 MiB. Those that they replace
stay on the disk until the snapshots that name them expire.")]
    Compact(CompactArgs),
    /// Let old snapshots go, and the files that they alone named
    #[command(after_help = "\
Shows what it would do; --apply does it.
Which snapshots are old is said by the table's properties history.expire.max-snapshot-age-ms and
history.expire.min-snapshots-to-keep, or by --older-than and --keep. Those stay that a tag, a branch, a checkpoint or a
savepoint holds, and those that were current within the last hour: a query may be reading them.")]
    Expire(ExpireArgs),
    /// Delete files below a table's location that nothing names
    #[command(after_help = "\
Shows what it would do; --apply does it.
Files stay that are younger than --older-than, that a checkpoint or a savepoint has prepared for a commit, and those of
jobs whose checkpoints are not on this machine: run it where the jobs run that write the table.")]
    Orphans(OrphansArgs),
}

#[derive(Debug, Args)]
pub struct CompactArgs {
    /// The table
    pub table: String,
    /// Do what would else be shown
    #[arg(long)]
    pub apply: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ExpireArgs {
    /// The table
    pub table: String,
    /// Let those go that are older: 12h, 7d
    #[arg(long, value_name = "DURATION")]
    pub older_than: Option<Age>,
    /// Keep so many of the newest, however old they are; without --older-than the others go
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Let those go, too, that were current within the last hour: nobody reads the table now
    #[arg(long)]
    pub nobody_reads: bool,
    /// Do what would else be shown
    #[arg(long)]
    pub apply: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct OrphansArgs {
    /// The table
    pub table: String,
    /// Delete only what was written before that; at least 6h, since others may be about to commit what is younger
    #[arg(long, value_name = "DURATION", default_value = "3d")]
    pub older_than: Age,
    /// Do what would else be shown
    #[arg(long)]
    pub apply: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}
