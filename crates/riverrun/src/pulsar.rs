//! `pulsar`: a broker on this machine, for development.

use crate::outcome::Outcome;
use crate::print;
use project::DevBroker;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The folder of the broker's data beside the project.
const DATA: &str = "pulsar";

fn data(project: &Path, folder: Option<&Path>) -> PathBuf {
    let root = if project.is_file() { project.parent().unwrap_or(Path::new("")) } else { project };
    folder.map_or_else(|| root.join(DATA), Path::to_owned)
}

/// Starts the broker, and prints what makes an environment of it.
pub fn start(project: &Path, folder: Option<&Path>) -> Outcome {
    let folder = data(project, folder);
    print::note(format_args!("starting a broker of Pulsar; its program is fetched the first time, some 180 MB"));
    let DevBroker { service_url, admin_url, process, ran_before } = project::start_dev_broker(&folder)?;
    let runs = if ran_before { "was running already" } else { "is ready" };
    print::note(format_args!(
        "the broker {runs} (process {process}, admin interface {admin_url}, data in {}); `riverrun pulsar stop` ends it.\n\
         These lines make it an environment of riverrun.toml, `--env pulsar`:",
        folder.display()
    ));
    print::data(&format!(
        "[env.pulsar]\nhistory = {{ warehouse = \"./warehouse-pulsar\" }}\nlive    = {{ pulsar = \"{service_url}\" }}\n"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Stops the broker; its data stays.
pub fn stop(project: &Path, folder: Option<&Path>) -> Outcome {
    let folder = data(project, folder);
    let place = folder.display();
    match project::stop_dev_broker(&folder)? {
        true => print::note(format_args!("the broker has ended; its data stays in {place}")),
        false => print::note(format_args!("no broker runs with data in {place}")),
    }
    Ok(ExitCode::SUCCESS)
}
