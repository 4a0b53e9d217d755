//! The broker that the tests share, and what they do with it.

use connector_pulsar::standalone::Standalone;
use connector_pulsar::wire::protocol::CompressionType;
use connector_pulsar::{
    EarlierMessages, Guarantee, Key, Message, OutgoingMessage, PartitionProducer, PartitionReader, ProducerClocks,
    ProducerOptions, ReaderOptions, Service, Settings, Start, TopicName,
};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, RwLock};
use std::time::Duration;

/// Far beyond what anything here takes on a slow machine: who waits longer, waits for ever.
pub const PATIENCE: Duration = Duration::from_secs(400);

/// Signs the tokens of the tests: 32 bytes in base64.
pub const SECRET: &str = "cml2ZXJydW4gdGVzdHMgc2lnbiB0b2tlbnMgd2l0aCE=";

/// The broker, and the listener of the proxy that it says it can be reached by.
pub struct Place {
    /// Tests that restart the broker take it alone; all others share it.
    pub broker: RwLock<Standalone>,
    pub proxy: Mutex<std::net::TcpListener>,
}

fn cache() -> PathBuf {
    Path::new(&std::env::var("HOME").expect("HOME says where caches are kept")).join(".cache/riverrun")
}

/// The tests' place; the first test that asks starts it.
pub fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pulsar-broker");
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("the data of the broker before can be deleted");
        }
        let proxy = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let proxied = proxy.local_addr().expect("a bound listener has a port").port();
        let listeners = format!("direct:pulsar://127.0.0.1:@broker@,proxied:pulsar://127.0.0.1:{proxied}");
        // Who comes without a token is let in as the administrator, so that one broker serves all tests.
        let settings = format!(
            "advertisedListeners={listeners}\ninternalListenerName=direct\n\
             authenticationEnabled=true\nanonymousUserRole=admin\nsuperUserRoles=admin\nauthorizationEnabled=true\n\
             authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken\n\
             tokenSecretKey=data:;base64,{SECRET}\nauthenticationRefreshCheckSeconds=1\n\
             backlogQuotaCheckIntervalInSeconds=1\n"
        );
        let broker = Standalone::start(&cache(), &folder, &settings)
            .unwrap_or_else(|error| panic!("THE TESTS OF PULSAR DO NOT RUN: no broker starts: {error}"));
        Place { broker: RwLock::new(broker), proxy: Mutex::new(proxy) }
    })
}

/// The broker while others use it too. A test that failed has broken nothing for the others.
pub fn broker() -> std::sync::RwLockReadGuard<'static, Standalone> {
    place().broker.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Runs a test, and gives up when nothing can come any more.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    // The faults that the environment asks for take longer.
    let patience = if std::env::var_os("PULSAR_FAULTS").is_some() { PATIENCE * 5 } else { PATIENCE };
    runtime.block_on(async { tokio::time::timeout(patience, test).await.expect("the test ends in time") })
}

/// A request to the admin interface, which has to succeed.
pub fn admin(broker: &Standalone, method: &str, path: &str, json: &str) -> String {
    let answer = broker.admin().request(method, &format!("/admin/v2/{path}"), json);
    let (status, body) = answer.expect("the admin interface answers");
    assert!((200..300).contains(&status), "{method} {path}: {status} {body}");
    body
}

fn fresh(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A namespace of its own, for settings that concern nobody else.
pub fn namespace(broker: &Standalone, name: &str) -> String {
    let name = format!("public/{}", fresh(name));
    admin(broker, "PUT", &format!("namespaces/{name}"), "");
    name
}

/// Makes a topic without partitions in a namespace.
pub fn topic_in(broker: &Standalone, namespace: &str, name: &str) -> TopicName {
    let name = fresh(name);
    admin(broker, "PUT", &format!("persistent/{namespace}/{name}"), "");
    TopicName::parse(&format!("{namespace}/{name}")).expect("a good name")
}

/// Makes a topic without partitions.
pub fn topic(broker: &Standalone, name: &str) -> TopicName {
    topic_in(broker, "public/default", name)
}

/// Makes a topic with partitions.
pub fn fresh_partitioned(broker: &Standalone, name: &str, partitions: u32) -> TopicName {
    let name = fresh(name);
    admin(broker, "PUT", &format!("persistent/public/default/{name}/partitions"), &partitions.to_string());
    TopicName::parse(&name).expect("a good name")
}

/// The path of a topic in the admin interface.
pub fn path_of(topic: &TopicName) -> String {
    topic.as_str().replace("://", "/")
}

pub fn settings(broker: &Standalone) -> Settings {
    Settings::new(Service::parse(&broker.service_url()).expect("a broker has an address"))
}

pub fn reader_options(topic: &TopicName, start: Start) -> ReaderOptions {
    ReaderOptions {
        topic: topic.clone(),
        start,
        anchor: None,
        name: "test".to_owned(),
        budget_bytes: 8 << 20,
        allows_gaps: false,
        producer_clocks: ProducerClocks::default(),
    }
}

pub fn reader(broker: &Standalone, topic: &TopicName, start: Start) -> PartitionReader {
    PartitionReader::new(settings(broker), reader_options(topic, start))
}

/// The next message, which has to come.
pub async fn next(reader: &mut PartitionReader) -> Message {
    reader.next().await.expect("the reader reads").expect("the topic goes on")
}

/// The next messages.
pub async fn take(reader: &mut PartitionReader, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.push(next(reader).await);
    }
    messages
}

/// What the messages hold, as text.
pub fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(message.payload.bytes()).into_owned()).collect()
}

pub fn producer_options(topic: &TopicName, name: &str, guarantee: Guarantee) -> ProducerOptions {
    ProducerOptions {
        topic: topic.clone(),
        name: name.to_owned(),
        guarantee,
        earlier: EarlierMessages::default(),
        schema: None,
        compression: CompressionType::None,
        batch_messages_max: 100,
        batch_bytes_max: 128 << 10,
        budget_bytes: 1 << 20,
    }
}

pub fn outgoing(sequence: u64) -> OutgoingMessage {
    OutgoingMessage {
        sequence,
        payload: Some(format!("message {sequence}").into()),
        key: Some(Key::Text(format!("key {}", sequence % 7))),
        properties: vec![("number".to_owned(), sequence.to_string())],
        event_time_ms: Some(1_700_000_000_000 + sequence),
        publish_time_ms: 1_700_000_000_000,
    }
}

/// Publishes messages with these sequences in batches, and waits until they are stored.
pub async fn publish(broker: &Standalone, topic: &TopicName, sequences: std::ops::Range<u64>) {
    publish_in_batches(broker, topic, sequences, 100).await;
}

/// Publishes messages with these sequences, each as an entry of its own.
pub async fn publish_singly(broker: &Standalone, topic: &TopicName, sequences: std::ops::Range<u64>) {
    publish_in_batches(broker, topic, sequences, 1).await;
}

async fn publish_in_batches(broker: &Standalone, topic: &TopicName, sequences: std::ops::Range<u64>, batch: usize) {
    let mut options = producer_options(topic, &fresh("publisher"), Guarantee::AtLeastOnce);
    options.batch_messages_max = batch;
    let mut producer = PartitionProducer::new(settings(broker), options);
    for sequence in sequences {
        producer.push(outgoing(sequence)).await.expect("the producer takes messages");
    }
    producer.flush().await.expect("the messages are stored");
}

/// The texts of `publish`.
pub fn expected(sequences: std::ops::Range<u64>) -> Vec<String> {
    sequences.map(|sequence| format!("message {sequence}")).collect()
}

/// Runs a program that has to succeed, and gives what it printed.
pub fn printed(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (status, errors) = (output.status, text(&output.stderr));
    assert!(status.success(), "{command:?}: {status}: {}{errors}", text(&output.stdout));
    text(&output.stdout)
}

/// Runs the script of this folder with Pulsar's Python client, from an environment that is made once.
pub fn python(arguments: &[&str]) -> String {
    // Its schemas of Avro need another package.
    const PACKAGE: &str = "pulsar-client[avro]==3.13.0";
    let folder = cache().join("venv-tests-pulsar-3.13.0-avro");
    std::fs::create_dir_all(cache()).expect("the cache folder can be made");
    // Several processes may want it at once, and it is complete when its file `ready` is there.
    let lock =
        std::fs::File::create(cache().join("venv-tests-pulsar-3.13.0-avro.lock")).expect("the lock file can be made");
    lock.lock().expect("the lock file can be locked");
    if !folder.join("ready").exists() {
        printed(std::process::Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
        printed(std::process::Command::new(folder.join("bin/pip")).args(["install", "--quiet", PACKAGE]));
        std::fs::write(folder.join("ready"), PACKAGE).expect("the environment can be marked as complete");
    }
    drop(lock);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broker/other_client.py");
    printed(std::process::Command::new(folder.join("bin/python")).arg(script).args(arguments))
}

/// Runs a Java source file with the classes of the broker, which has the Java client.
pub fn java(file: &str, arguments: &[&str]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broker").join(file);
    let mut program = connector_pulsar::standalone::java(&cache(), &file).expect("the broker's jars are there");
    printed(program.args(arguments))
}
