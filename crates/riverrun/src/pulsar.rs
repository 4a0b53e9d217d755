//! `pulsar`: a broker on this machine, for development.

use crate::outcome::Outcome;
use crate::print;
use project::DevBroker;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The folder of the broker's data beside the project.
const DATA: &str = "pulsar";

fn root(project: &Path) -> &Path {
    if project.is_file() { project.parent().unwrap_or(Path::new("")) } else { project }
}

fn data(project: &Path, folder: Option<&Path>) -> PathBuf {
    folder.map_or_else(|| root(project).join(DATA), Path::to_owned)
}

/// Starts the broker: where the environment says that it is, or else at a port that is free, and prints what makes an
/// environment of it.
pub fn start(project: &Path, environment: &str, folder: Option<&Path>) -> Outcome {
    let folder = data(project, folder);
    let port = project::dev_broker_port(root(project), environment)?;
    print::note(format_args!("starting a broker of Pulsar; its program is fetched the first time, some 180 MB"));
    let DevBroker { service_url, admin_url, process, ran_before } = project::start_dev_broker(&folder, port)?;
    let runs = if ran_before { "was running already" } else { "is ready" };
    let then = match port {
        Some(_) => format!("It is environment \"{environment}\" of riverrun.toml."),
        None => "These lines make it an environment of riverrun.toml, `--env pulsar`:".to_owned(),
    };
    print::note(format_args!(
        "the broker {runs} (process {process}, admin interface {admin_url}, data in {}); `riverrun pulsar stop` ends it.\n\
         {then}",
        folder.display()
    ));
    if port.is_none() {
        print::data(&format!(
            "[env.pulsar]\nhistory = {{ warehouse = \"./warehouse-pulsar\" }}\nlive    = {{ pulsar = \"{service_url}\" }}\n"
        ))?;
    }
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
