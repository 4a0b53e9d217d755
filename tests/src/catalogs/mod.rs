//! Real servers for tests of catalogs and stores, and what stands between them and a client.

mod committer;
mod contention;
mod google;
mod java;
mod packages;
mod proxy;
mod servers;

pub use committer::{CommitterPlace, FENCED, REFUSED, another_machine, sink};
pub use contention::{Contention, TABLE, commit_at_once, keep_in_order, lost_and_doubled, options, prepared, rows};
pub use google::GoogleServer;
pub use java::{read_java_tables, write_java_tables};
pub use packages::{done, installed};
pub use proxy::{Fault, Proxy, Reply, Request, Treatment, Upstream};
pub use servers::{
    ACCESS_KEY, AZURE_ACCOUNT, AZURE_KEY, AzureServer, REGION, RestServer, S3Server, SECRET_KEY, can_start, pyiceberg,
};
