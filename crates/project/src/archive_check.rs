//! What ARCHIVE needs of its stream, its table and its topic, told before anything is made or written.

use crate::open::Project;
use crate::stream_input::{decoder, stream_spec};
use crate::topics::Topics;
use connector_iceberg::{Warehouse, check_layout, check_table};
use connector_local::check_topic_name;
use dataflow::{Error, Result, RowFilter};
use seam::{CLOCK_PROPERTY, FRONTIER_PROPERTY, archive_schema, check_clock_property};
use sql::{History, Stream};

/// What there is to say of an archive that is laid out in another way than its statement says.
const KEPT_LAYOUT: &str = "an archive keeps how it was made, since its rows may be nowhere else";

/// Refuses a stream that cannot be archived: its table cannot hold the rows, or is somebody else's, or its topic is
/// gone while the table is still there.
pub fn check_archive(project: &Project, stream: &Stream) -> Result<()> {
    let (table, topic) = places_of(stream)?;
    let spec = stream_spec(stream);
    let schema = archive_schema(&spec.schema);
    check_table(table, &schema)?;
    let layout = project.statements.archive_layout(&stream.name);
    check_layout(table, &schema, &layout)?;
    check_topic_name(topic)?;
    decoder(stream, topic)?;
    match project.warehouse_if_there()? {
        Some(warehouse) if warehouse.exists(table)? => {
            let (clock, _) = frontier_in(&warehouse, &stream.name, table)?;
            warehouse.check_archive(table, &schema, &layout, KEPT_LAYOUT)?;
            check_clock_property(&spec, table, &clock)?;
            // One that cannot be reached for now is waited for.
            let is_gone = matches!(project.topics()?.topic(topic), Ok(None));
            if is_gone { Err(topic_is_gone(project, stream, table, topic)) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// The table that a stream's archive writes and the topic that it copies.
pub fn places_of(stream: &Stream) -> Result<(&str, &str)> {
    match (&stream.history, &stream.live) {
        (Some(History::Table(table)), Some(topic)) => Ok((table, topic)),
        _ => Err(Error::invalid(format!(
            "ARCHIVE {}: the stream needs HISTORY with a table and LIVE with a topic",
            stream.name
        ))),
    }
}

/// The clock and the frontier of an archive. A table that no archive has made is refused.
pub fn frontier_in(warehouse: &Warehouse, stream: &str, table: &str) -> Result<(String, Option<String>)> {
    // What describes the files is read only where there is no frontier yet.
    let mut files = warehouse.read_where(table, None, &|_| RowFilter::nothing())?;
    if files.property(FRONTIER_PROPERTY).is_none() {
        files = warehouse.read(table)?;
    }
    let (clock, frontier) = (files.property(CLOCK_PROPERTY), files.property(FRONTIER_PROPERTY));
    match clock {
        Some(clock) if frontier.is_some() || files.files().is_empty() => Ok((clock, frontier)),
        _ => Err(Error::invalid(format!(
            "ARCHIVE {stream}: table {table} was not made by an archive; name another table"
        ))),
    }
}

/// A topic that was archived and is no more: what a new one holds would not go on where the table ends.
pub fn topic_is_gone(project: &Project, stream: &Stream, table: &str, topic: &str) -> Error {
    Error::invalid(format!(
        "ARCHIVE {}: topic {topic} does not exist in {}, and table {table} was archived from it: restore the topic, or \
         archive a new one into a new table",
        stream.name,
        project.topics().map_or_else(|error| error.to_string(), Topics::place)
    ))
}
