//! What is wrong with the settings of a cluster is told where it stands, and no secret is shown.

use crate::project::Folder;
use std::net::TcpListener;
use tests::Broker;

const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.Zm9vYmFy.c2VjcmV0";

/// Whether a part of the token stands somewhere.
fn shows_secret(told: &str) -> bool {
    SECRET.split('.').any(|part| told.contains(part))
}

fn settings(environment: &str, live: &str) -> Folder {
    let history = "history = { warehouse = \"./warehouse\" }";
    Folder::with(&format!("[project]\nname = \"p\"\n\n[env.{environment}]\n{history}\nlive = {{ {live} }}\n"))
}

#[test]
fn a_token_that_is_written_out_is_a_warning_at_home_and_an_error_elsewhere() {
    let live = format!("pulsar = \"pulsar://localhost:6650\", token = \"{SECRET}\"");
    let told = settings("prod", &live).refused(&["jobs"], "prod");
    assert!(
        told.contains("riverrun.toml:6:54: error: environment \"prod\" has the token of Pulsar in plain text"),
        "{told}"
    );
    assert!(told.contains("\"env:NAME\" or \"file:PATH\""), "{told}");
    assert!(told.contains("token = \"***") && !shows_secret(&told), "{told}");
    let ran = settings("dev", &live).command(&["jobs"], "dev");
    let told = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success() && told.contains("warning: a secret of Pulsar stands in riverrun.toml"), "{told}");
    assert!(!shows_secret(&told), "{told}");
}

#[test]
fn what_is_wrong_is_told_at_its_place() {
    let secret = format!("token = \"{SECRET}\"");
    for (live, place, what) in [
        (format!("pulsar = \"localhost\", {secret}"), "6:19: ", "expected pulsar://host:port"),
        (format!("pulsar = \"pulsar://a\", namespace = \"n\", {secret}"), "6:45: ", "expected tenant/namespace"),
        (secret.clone(), "6:8: ", "it does not say where topics are"),
        (format!("topics = \"./topics\", {secret}"), "6:8: ", "other keys are of a cluster of Pulsar"),
    ] {
        let told = settings("dev", &live).refused(&["jobs"], "dev").replace("\n  = expected:", ", expected");
        assert!(told.contains(&format!("riverrun.toml:{place}error: ")) && told.contains(what), "{live}: {told}");
        assert!(!shows_secret(&told), "{told}");
    }
}

#[test]
fn a_token_that_is_not_there_is_named() {
    // A connection is made, and nobody answers on it.
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let service = format!("pulsar = \"pulsar://{}\"", listener.local_addr().unwrap());
    let folder = settings("dev", &format!("{service}, token = \"env:RIVERRUN_NO_SUCH_TOKEN\""));
    let told = folder.refused(&["tail", "plays"], "dev");
    let what = "the environment variable RIVERRUN_NO_SUCH_TOKEN with Pulsar's token is not set";
    assert!(told.contains(what) && !told.contains("gave up after"), "{told}");
}

#[test]
fn a_broker_is_not_started_where_its_environment_cannot_have_one() {
    let refused = |live: &str| settings("prod", live).refused(&["pulsar", "start"], "prod");
    for url in ["pulsar://pulsar.internal:6650", "pulsar+ssl://localhost:6651"] {
        let told = refused(&format!("pulsar = \"{url}\""));
        let what = format!("environment \"prod\" is at {url}, which a broker for development cannot be");
        assert!(told.contains(&what), "{told}");
    }
    if Broker::is_possible() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let told = refused(&format!("pulsar = \"pulsar://{}\"", listener.local_addr().unwrap()));
        let port = listener.local_addr().unwrap().port();
        assert!(told.contains(&format!("wanted at port {port} of 127.0.0.1, which cannot be had")), "{told}");
    }
}
