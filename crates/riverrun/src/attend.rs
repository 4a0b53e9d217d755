//! A job that can be asked and stopped by others while it runs.

use crate::listener::{Attended, Begun, RunningJob, StateSize};
use crate::signals::Stop;
use engine::Control;
use project::{JobOptions, Project, Wired};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// Lets others ask the job while it runs, or while it builds the state of changed pipelines (`builds`).
pub fn attend(
    project: &Project,
    options: &JobOptions,
    wired: &mut Wired,
    (workers, control, stop): (usize, &Arc<Control>, &Stop),
    begun: &Begun,
    builds: bool,
) -> Arc<RunningJob> {
    let job = Arc::new(RunningJob {
        begun: begun.clone(),
        workers,
        builds,
        stats: wired.stats.clone(),
        state: StateSize::default(),
        control: control.clone(),
        stop: stop.clone(),
        savepoints: wired.savepoints.clone(),
        anchors: wired.anchors.clone(),
        waiting: AtomicUsize::new(0),
    });
    if let Some(checkpoints) = wired.checkpoints.take() {
        let folder = project.checkpoints_path(options.job.as_deref());
        wired.checkpoints = Some(Box::new(Attended::listen(&folder, job.clone(), checkpoints)));
    }
    job
}
