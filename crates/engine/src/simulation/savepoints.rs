//! How simulated runs make savepoints.

use super::bugs::Bug;
use super::saved::{Copies, Saved};
use super::world::Access;
use checkpoint::Checkpoints;
use dataflow::{Checkpoint, Committable, OutputState, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

fn table_of(output: &OutputState) -> &str {
    output.output.strip_prefix("into ").unwrap_or(&output.output)
}

/// Makes a savepoint of the checkpoint that was put last, if somebody has asked for it. That it fails is no reason for the
/// run to end.
pub fn save(access: &Arc<Access>, checkpoints: &Checkpoints, checkpoint: &Checkpoint) {
    if !access.savepoint.take(checkpoint.last) {
        return;
    }
    let saved = copy(access, checkpoints);
    let mut world = access.shared.world();
    match saved {
        Ok(Some(saved)) => {
            world.count("savepoint");
            let number = saved.manifest.coordinator.number;
            world.show(|| format!("  run {}: savepoint of checkpoint {number}", access.run));
            world.savepoints.push(Arc::new(saved));
        }
        Ok(None) => {}
        Err(error) => world.show(|| format!("  run {}: no savepoint: {}", access.run, error.chain())),
    }
}

fn copy(access: &Access, checkpoints: &Checkpoints) -> Result<Option<Saved>> {
    let copies = Copies::default();
    let Some(manifest) = checkpoints.save_copy(&copies)? else { return Ok(None) };
    let mut files = BTreeMap::new();
    for output in manifest.outputs.iter().filter(|_| !access.has(Bug::SavepointWithoutFiles)) {
        for Committable(token) in &output.pending {
            let key = (table_of(output).to_owned(), String::from_utf8_lossy(token).into_owned());
            let rows = access.ask("read file", |world| Ok(world.files.get(&key).cloned()))?;
            files.extend(rows.map(|rows| (key, rows)));
        }
    }
    Ok(Some(Saved { copies, manifest, files, run: access.run }))
}
