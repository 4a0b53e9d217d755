//! Who may do what: tokens that are right, wrong, expired, and replaced.

use crate::place::{
    SECRET, admin, broker, expected, namespace, publish, python, reader_options, run, settings, take, texts, topic_in,
};
use access::Secret;
use connector_pulsar::standalone::Standalone;
use connector_pulsar::{Authentication, Error, ErrorKind, PartitionReader, Start, TopicName};

fn token(role: &str, seconds: i64) -> String {
    python(&["token", SECRET, role, &seconds.to_string()]).trim().to_owned()
}

fn with_token(broker: &Standalone, topic: &TopicName, token: Secret) -> PartitionReader {
    let mut settings = settings(broker);
    settings.authentication = Some(Authentication::Token(token));
    PartitionReader::new(settings, reader_options(topic, Start::Beginning))
}

async fn refused(broker: &Standalone, topic: &TopicName, token: Secret) -> Error {
    with_token(broker, topic, token).next().await.expect_err("the broker lets nobody in with that")
}

#[test]
fn each_wrong_token_has_one_clear_error() {
    let broker = broker();
    run(async {
        let namespace = namespace(&broker, "rights");
        let topic = topic_in(&broker, &namespace, "rights");
        publish(&broker, &topic, 0..3).await;
        let error = refused(&broker, &topic, Secret::Text(token("alice", 3600))).await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("AuthorizationError"), "{error}");
        for wrong in [token("alice", -60), format!("{}x", token("alice", 3600)), "no token".to_owned()] {
            let error = refused(&broker, &topic, Secret::Text(wrong.clone())).await;
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(error.to_string().contains("AuthenticationError"), "{error}");
            assert!(!error.to_string().contains(&wrong), "{error}");
        }
        let error = refused(&broker, &topic, Secret::Environment("NO_SUCH_VARIABLE".to_owned())).await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("NO_SUCH_VARIABLE with Pulsar's token is not set"), "{error}");
        admin(&broker, "POST", &format!("namespaces/{namespace}/permissions/alice"), r#"["consume"]"#);
        let mut reader = with_token(&broker, &topic, Secret::Text(token("alice", 3600)));
        assert_eq!(texts(&take(&mut reader, 3).await), expected(0..3));
    });
}

#[test]
fn a_token_that_expires_while_it_is_used_is_read_again() {
    let broker = broker();
    run(async {
        let namespace = namespace(&broker, "refresh");
        admin(&broker, "POST", &format!("namespaces/{namespace}/permissions/bob"), r#"["consume"]"#);
        let topic = topic_in(&broker, &namespace, "refresh");
        publish(&broker, &topic, 0..3).await;
        let file = tempfile::NamedTempFile::new().expect("a file can be made");
        std::fs::write(file.path(), token("bob", 3600)).expect("the token is written");
        let mut reader = with_token(&broker, &topic, Secret::File(file.path().to_owned()));
        assert_eq!(texts(&take(&mut reader, 3).await), expected(0..3));
        // The file is stale for a while: the broker closes the connection, and the reader comes back by itself.
        std::fs::write(file.path(), token("bob", -60)).expect("the token is written");
        admin(&broker, "PUT", &format!("{}/unload", crate::place::path_of(&topic)), "");
        publish(&broker, &topic, 3..6).await;
        while reader.trouble().is_none_or(|trouble| !trouble.to_string().contains("AuthenticationError")) {
            let waited = tokio::time::timeout(std::time::Duration::from_millis(50), reader.keep()).await;
            assert!(waited.is_err(), "the reader waits for a token: {waited:?}");
        }
        std::fs::write(file.path(), token("bob", 3600)).expect("the token is written");
        assert_eq!(texts(&take(&mut reader, 3).await), expected(3..6));
    });
}

#[test]
fn a_challenge_is_answered_without_a_new_connection() {
    let broker = broker();
    run(async {
        let namespace = namespace(&broker, "challenge");
        admin(&broker, "POST", &format!("namespaces/{namespace}/permissions/carol"), r#"["consume"]"#);
        let topic = topic_in(&broker, &namespace, "challenge");
        publish(&broker, &topic, 0..3).await;
        // On a slow machine a token may expire before it is used and replaced; then a longer one tells.
        for seconds in [10, 30, 90] {
            if outlives_token(&broker, &topic, seconds).await {
                return;
            }
        }
        panic!("the connection was lost when the token expired, or never made");
    });
}

/// Uses a topic of at least three messages for longer than its token is valid; false if the connection was lost.
async fn outlives_token(broker: &Standalone, topic: &TopicName, seconds: i64) -> bool {
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    std::fs::write(file.path(), token("carol", seconds)).expect("the token is written");
    let expired = tokio::time::sleep(std::time::Duration::from_secs(seconds.unsigned_abs() + 4));
    let mut reader = with_token(broker, topic, Secret::File(file.path().to_owned()));
    for _ in 0..3 {
        if reader.next().await.is_err() {
            return false;
        }
    }
    std::fs::write(file.path(), token("carol", 3600)).expect("the token is written");
    // The broker asks when the first token has expired, and closes the connection if the answer is not a good one.
    tokio::select! {
        result = reader.keep() => panic!("the reader ended: {result:?}"),
        () = expired => {}
    }
    publish(broker, topic, 3..4).await;
    reader.next().await.is_ok() && reader.connections() == 1
}
