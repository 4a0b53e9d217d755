//! What the client's errors mean: one sentence that names the thing, the reason and what to do.

use dataflow::Error;
use google_cloud_gax::error::Error as ClientError;
use google_cloud_gax::error::rpc::Code;
use std::time::Duration;

/// What is asked where no server on this machine is named.
pub(crate) const GOOGLE: &str = "Google Pub/Sub";

/// Where credentials are looked for, in this order, and how to do without.
const CREDENTIALS: &str = "they are looked for in the file that GOOGLE_APPLICATION_CREDENTIALS names (the key of a service \
    account, a configuration of workload identity federation, or a person's own), in \
    ~/.config/gcloud/application_default_credentials.json, which `gcloud auth application-default login` writes, and on a \
    machine in Google's cloud with its metadata server, for the service account of the machine; PUBSUB_EMULATOR_HOST=HOST:PORT \
    names a server on this machine instead, which asks for none, and which `riverrun pubsub start` starts";

/// Why a call about something failed. `role` is what it takes to make it.
pub(crate) fn failed(what: &str, place: &str, role: &str, error: ClientError) -> Error {
    let said = error.status().map_or_else(String::new, |status| format!(" ({})", status.message));
    match code(&error) {
        Some(Code::NotFound) => Error::invalid(format!(
            "{what} does not exist in {place}{said}: make it, or write the project and the name as `gcloud pubsub` lists \
             them"
        )),
        Some(Code::PermissionDenied) => {
            Error::invalid(format!("no permission on {what} in {place}{said}: give this account the role {role}"))
        }
        Some(Code::Unauthenticated) => no_credentials(what, place, error),
        _ if error.is_authentication() => no_credentials(what, place, error),
        Some(Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented) => {
            Error::invalid(format!("{place} refuses {what}{said}"))
        }
        _ => Error::unavailable(format!("{place} cannot be reached for {what}{said}")).with_source(error),
    }
}

/// Whether an account may not look at a thing, which it may use all the same.
pub(crate) fn is_denied(error: &ClientError) -> bool {
    code(error) == Some(Code::PermissionDenied)
}

/// The code of an error; calls over HTTP may have only that of HTTP.
fn code(error: &ClientError) -> Option<Code> {
    error.status().map(|status| status.code).or_else(|| {
        Some(match error.http_status_code()? {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            _ => return None,
        })
    })
}

fn no_credentials(what: &str, place: &str, error: ClientError) -> Error {
    Error::invalid(format!("{place} does not take the credentials with which {what} is asked for; {CREDENTIALS}"))
        .with_source(error)
}

/// A machine without credentials.
pub(crate) fn without_credentials(place: &str) -> Error {
    Error::invalid(format!("there are no credentials for {place}; {CREDENTIALS}"))
}

/// A client that cannot be made.
pub(crate) fn no_client(place: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::invalid(format!("no client of {place} can be made with the credentials that are here; {CREDENTIALS}"))
        .with_source(error)
}

/// A server on this machine that does not answer.
pub(crate) fn emulator_is_down(place: &str, error: Option<std::io::Error>) -> Error {
    let down = Error::unavailable(format!(
        "no server of Pub/Sub answers at {place}: `riverrun pubsub start` starts one, and without the variable Google's is \
         asked"
    ));
    match error {
        Some(error) => down.with_source(error),
        None => down,
    }
}

/// A thing that does not answer in time.
pub(crate) fn no_answer(what: &str, place: &str) -> Error {
    let hint = match place {
        GOOGLE => {
            ": it takes a network that lets HTTPS through to pubsub.googleapis.com, and to oauth2.googleapis.com, which \
             changes credentials into a token"
        }
        _ => "",
    };
    Error::unavailable(format!("{place} does not answer for {what}{hint}"))
}

/// A topic that took messages, and has not said that it stored them.
pub(crate) fn not_stored(what: &str, place: &str, within: Duration) -> Error {
    Error::unavailable(format!("{place} has not stored messages for {what} within {} s", within.as_secs()))
}

/// A topic that was deleted under its subscription.
pub(crate) fn topic_is_deleted(subscription: &str, place: &str) -> Error {
    Error::invalid(format!(
        "the topic of subscription {subscription} was deleted in {place}, and all that waited was copied: nothing comes any \
         more; take the subscription out of the names of the environment, or make both again"
    ))
}

/// A subscription that gives its messages to somebody else.
pub(crate) fn is_not_pulled(subscription: &str, place: &str, why: &str) -> Error {
    Error::invalid(format!(
        "subscription {subscription} in {place} {why}, and gives nobody else any: make another one for the same topic, \
         without that"
    ))
}

/// A runtime that cannot be made.
pub(crate) fn no_runtime(error: std::io::Error) -> Error {
    Error::unavailable("the client of Pub/Sub cannot be started").with_source(error)
}
