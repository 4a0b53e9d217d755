//! Reads a project folder, wires its names to connectors and models, and yields jobs that a host can run.
//!
//! This is the only crate that knows which connectors exist.
//! Modules are listed from the bottom up: each group refers only to itself and to those above it.

mod pubsub;

mod dev_broker;
mod dev_pubsub;

mod checkpoint_pace;
mod duration;
mod placed_text;
mod store_keys;

mod checkpoint_settings;
mod table_place;
mod topic_place;
mod topics;

mod names;
mod state_memory;

mod config;
mod failure;
mod load;
mod near_path;

mod fingerprint;
mod job_plan;

mod changes;

mod lock;
mod model_trial;

mod open;

mod checkpoint_places;

mod arrivals;
mod collected_rows;
mod dead_letter;
mod declared_columns;
mod files_since;
mod tally;
mod wanted_rows;

mod pubsub_output;
mod queue_output;

mod output;
mod output_check;
mod own;
mod savepoints;

mod jobs;

mod spill_folder;
mod stream_input;

mod frozen_pieces;
mod gone_outputs;
mod lacking_rows;
mod takeover;
mod waits;

mod anchors;
mod going_on;
mod secrets;
mod settle;

mod growing;
mod job;
mod kept_state;
mod moved_state;
mod rebuilt_state;

mod rebuild;

mod plan_change;
mod query;
mod query_out;

mod archive_check;
mod archive_commit;

mod archive;
mod wiring_check;

mod catalog;
mod new_model;
mod publish_messages;

mod named_producer;
mod publish_input;
mod publish_place;
mod topic_producer;

mod mirror;

mod housekeeping;
mod names_check;
mod publish;
mod retention;
mod test_job;
mod topic_tail;
mod why;

pub use anchors::{AnchorsOf, AnchorsOnTopic, PartitionAnchor};
pub use archive::{Archive, ArchiveCommit, ArchiveEnd, ArchiveOptions, ArchiveStep, Archived};
pub use bounded::StopCheck;
pub use checkpoint::LeaseHolder;
pub use checkpoint_places::is_location;
pub use codec::JsonEncode;
pub use collected_rows::Rows;
pub use config::{CommitEvery, Config, Environment, is_letter_of_name};
pub use connector_iceberg::{
    CompactPlan, CompactSummary, ExpireOptions, ExpirePlan, ExpireSummary, FileCounts, OrphanOptions, OrphanPlan,
    OrphanSummary, SnapshotDescription, TableDescription,
};
pub use connector_local::Format;
pub use connector_pulsar::{AnchorFacts, ClusterWait, HeldAnchors, cluster_wait, end_waits};
pub use dev_broker::{DevBroker, dev_broker_port, start_dev_broker, stop_dev_broker};
pub use dev_pubsub::{DevPubsub, start_dev_pubsub, stop_dev_pubsub};
pub use failure::Failure;
pub use growing::GrowingTopics;
pub use housekeeping::{Age, KeptTable};
pub use job::{CollectedRun, JobOptions, Readers, Wired};
pub use jobs::{ArchiveOnDisk, JobHere, JobOnDisk, NewestCheckpoint};
pub use load::Folder;
pub use mirror::{Mirror, MirrorEnd, MirrorEvent, OpenMirror};
pub use near_path::with_near_path;
pub use new_model::{AddedModel, NewModel, create_statement, identifier, name_of};
pub use open::Project;
pub use output::{Begin, NewTables, Notice, WiredSink};
pub use plan_change::{OutputChange, PlannedChange, Presence, StateChange, StepChange, StreamChange, StreamRead};
pub use publish::{PublishEvent, PublishOptions, PublishSummary};
pub use publish_input::InputOptions;
pub use rebuild::{KeptSteps, Rebuilding};
pub use rebuilt_state::{Lacking, MakeStateMemory};
pub use savepoints::{SavedJob, SavepointRequests};
pub use spill_folder::SpillFolder;
pub use stream_input::{WAITING_MAX, WaitingMessages};
pub use tally::{Rule, RuleTally};
pub use test_job::{ExpectedOutputs, TestJob, Unmet};
pub use topic_tail::{TailRow, TopicTail};
pub use topics::Topics;
