//! An S3 server, one of Azure's stores and a REST catalog, fetched once from package registries into `~/.cache/riverrun`.

use super::packages::{Jar, done, fetch_jars, installed};
use crate::machine::{SECOND, now, pause};
use connector_pulsar::standalone::Http;
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The keys of the S3 server.
pub const ACCESS_KEY: &str = "riverrun";
/// No message may show it.
pub const SECRET_KEY: &str = "CANARY-s3-secret";
/// The region that the server signs for.
pub const REGION: &str = "us-east-1";
/// The bucket that it has.
pub(super) const BUCKET: &str = "lake";

const S3: &str = "versitygw-1.8.0";
const S3_MODULE: &str = "github.com/versity/versitygw/cmd/versitygw@v1.8.0";
const AZURE: &str = "azurite-3.35.0";
const AZURE_PACKAGE: &str = "azurite@3.35.0";
const CATALOG: &str = "iceberg-rest-1.10.1";
const PYICEBERG: &str = "venv-tests-catalogs-2";
const PYTHON_PACKAGES: [&str; 3] = ["pyiceberg[sql-sqlite]==0.12.0", "pyarrow==26.0.1", "duckdb==2.0.0"];
/// How long a server may take to start on a machine that does much else.
const START: i64 = 120 * SECOND;

/// The packages of the REST catalog: those that Apache Iceberg checks its own clients with.
const JARS: [Jar; 13] = [
    ("org.apache.iceberg", "iceberg-open-api", "1.10.1", "test-fixtures"),
    ("org.apache.iceberg", "iceberg-core", "1.10.1", ""),
    ("org.apache.iceberg", "iceberg-core", "1.10.1", "tests"),
    ("org.apache.iceberg", "iceberg-api", "1.10.1", "tests"),
    ("org.apache.iceberg", "iceberg-aws", "1.10.1", ""),
    ("software.amazon.awssdk", "s3", "2.33.0", ""),
    ("software.amazon.awssdk", "sts", "2.33.0", ""),
    ("software.amazon.awssdk", "kms", "2.33.0", ""),
    ("org.eclipse.jetty", "jetty-servlet", "11.0.26", ""),
    ("org.xerial", "sqlite-jdbc", "3.50.3.0", ""),
    ("org.apache.hadoop", "hadoop-client-api", "3.4.1", ""),
    ("org.apache.hadoop", "hadoop-client-runtime", "3.4.1", ""),
    ("org.slf4j", "slf4j-simple", "2.0.17", ""),
];

/// Whether the servers can be started; says loudly what is missing where they cannot.
pub fn can_start() -> bool {
    let is_there = |(program, argument): &(&str, &str)| Command::new(program).arg(argument).output().is_ok();
    let programs = [
        ("java", "-version"),
        ("mvn", "-version"),
        ("go", "version"),
        ("python3", "--version"),
        ("openssl", "version"),
    ];
    let missing: Vec<&str> =
        programs.iter().filter(|program| !is_there(program)).map(|(program, _)| *program).collect();
    if missing.is_empty() {
        return true;
    }
    eprintln!("THE TESTS OF REST CATALOGS AND S3 DO NOT RUN: there is no {}", missing.join(" and no "));
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "they have to run in CI");
    false
}

/// A Python that has PyIceberg and DuckDB.
pub fn pyiceberg() -> PathBuf {
    let folder = installed(PYICEBERG, &|folder| {
        done(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder));
        done(Command::new(folder.join("bin/pip")).args(["install", "--quiet"]).args(PYTHON_PACKAGES));
    });
    folder.join("bin/python")
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

/// A process that ends with its owner.
pub(super) struct Server(Child);

impl Server {
    /// Starts a server and waits until it answers.
    pub(super) fn start(command: &mut Command, log: &Path, port: u16, ready: &str) -> Server {
        let is_ready = || Http::new("127.0.0.1", port).request("GET", ready, "").is_ok_and(|(status, _)| status == 200);
        Server::start_until(command, log, &is_ready)
    }

    fn start_until(command: &mut Command, log: &Path, is_ready: &dyn Fn() -> bool) -> Server {
        let out = File::create(log).expect("the log can be made");
        let command = command.stdin(Stdio::null()).stderr(out.try_clone().expect("the log is open")).stdout(out);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let (server, begun) = (Server(child), now());
        while !is_ready() {
            let told = || fs::read_to_string(log).unwrap_or_default();
            assert!(now() < begun + START, "the server does not start: {}", told());
            pause(SECOND / 20);
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The S3 server's program.
fn program() -> PathBuf {
    let folder = installed(S3, &|folder| {
        done(Command::new("go").args(["install", S3_MODULE]).env("GOBIN", folder.join("bin")).env("GOFLAGS", ""));
    });
    folder.join("bin/versitygw")
}

/// An S3 server with one bucket.
pub struct S3Server {
    _server: Server,
    data: TempDir,
    /// Where it listens.
    pub port: u16,
}

impl S3Server {
    /// Starts one with data of its own.
    pub fn start() -> S3Server {
        S3Server::with_buckets(&[BUCKET])
    }

    /// Starts one that has no bucket.
    pub fn start_empty() -> S3Server {
        S3Server::with_buckets(&[])
    }

    fn with_buckets(names: &[&str]) -> S3Server {
        let (data, port) = (tempfile::tempdir().expect("a folder can be made"), free_port());
        let buckets = data.path().join("buckets");
        let made = names.iter().map(|name| buckets.join(name)).chain([buckets.clone(), data.path().join("users")]);
        made.for_each(|folder| fs::create_dir_all(folder).expect("a folder can be made"));
        let mut command = Command::new(program());
        command.env("ROOT_ACCESS_KEY", ACCESS_KEY).env("ROOT_SECRET_KEY", SECRET_KEY);
        command.args(["--port", &format!("127.0.0.1:{port}"), "--region", REGION, "--quiet", "--health", "/health"]);
        command.arg("--iam-dir").arg(data.path().join("users")).arg("posix").arg(&buckets);
        let server = Server::start(&mut command, &data.path().join("log"), port, "/health");
        S3Server { _server: server, data, port }
    }

    /// Makes a user to whom nothing is permitted.
    pub fn add_user(&self, access_key: &str, secret_key: &str) {
        let mut admin = Command::new(program());
        admin.args(["admin", "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--endpoint-url", &self.endpoint()]);
        done(admin.args(["create-user", "--access", access_key, "--secret", secret_key, "--role", "user"]));
    }

    /// Where it keeps its buckets.
    pub fn folder(&self) -> PathBuf {
        self.data.path().join("buckets")
    }

    /// `http://HOST:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// The account of the server of Azure's stores, and its key.
pub const AZURE_ACCOUNT: &str = "riverrun";
/// No message may show it.
pub const AZURE_KEY: &str = "Q0FOQVJZLWF6dXJlLWtleQ==";

/// A server of Azure's stores with one container.
pub struct AzureServer {
    _server: Server,
    _data: TempDir,
    /// The address of the account.
    pub endpoint: String,
    /// A signature that permits everything, and one whose time is over.
    pub signatures: [String; 2],
}

impl AzureServer {
    /// Starts one with data of its own; `None`, and it is said loudly, where there is no npm.
    pub fn start() -> Option<AzureServer> {
        AzureServer::start_with(None)
    }

    /// Starts one that takes tokens of clients beside keys, and has the certificate `server.pem` of a folder, which that of
    /// `ca.pem` vouches for.
    pub fn start_with_tokens(certificates: &Path) -> Option<AzureServer> {
        AzureServer::start_with(Some(certificates))
    }

    fn start_with(certificates: Option<&Path>) -> Option<AzureServer> {
        if Command::new("npm").arg("--version").output().is_err() {
            eprintln!("THE TESTS OF AZURE'S STORES DO NOT RUN: there is no npm");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "1"), "they have to run in CI");
            return None;
        }
        let folder = installed(AZURE, &|folder| {
            let install = ["install", "--silent", "--no-audit", "--no-fund", AZURE_PACKAGE, "--prefix"];
            done(Command::new("npm").args(install).arg(folder));
        });
        let (data, port) = (tempfile::tempdir().expect("a folder can be made"), free_port());
        let mut command = Command::new(folder.join("node_modules/.bin/azurite-blob"));
        command.args(["--silent", "--skipApiVersionCheck", "--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.arg("-l").arg(data.path()).env("AZURITE_ACCOUNTS", format!("{AZURE_ACCOUNT}:{AZURE_KEY}"));
        let mut scheme = "http";
        if let Some(certificates) = certificates {
            scheme = "https";
            command.args(["--oauth", "basic", "--cert"]).arg(certificates.join("server.pem"));
            command.arg("--key").arg(certificates.join("server.key"));
        }
        let server = Server::start_until(&mut command, &data.path().join("log"), &|| {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        let mut make = Command::new("python3");
        make.arg(crate::root().join("tests/catalogs/azure_container.py"));
        if let Some(certificates) = certificates {
            make.env("SSL_CERT_FILE", certificates.join("ca.pem"));
        }
        let made = make.args([&format!("{scheme}://127.0.0.1:{port}"), AZURE_ACCOUNT, AZURE_KEY, BUCKET]).output();
        let made = made.expect("Python starts");
        let told = String::from_utf8_lossy(&made.stdout).into_owned();
        let lines: Vec<String> = told.lines().map(str::to_owned).collect();
        let signatures = lines.try_into().unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&made.stderr)));
        let endpoint = format!("{scheme}://127.0.0.1:{port}/{AZURE_ACCOUNT}");
        Some(AzureServer { _server: server, _data: data, endpoint, signatures })
    }
}

/// A REST catalog over tables in a folder or in S3.
pub struct RestServer {
    _server: Server,
    _data: TempDir,
    /// Where it listens.
    pub port: u16,
}

impl RestServer {
    /// Starts one whose tables lie in a bucket, or in a folder of its own.
    pub fn start(s3: Option<&S3Server>) -> RestServer {
        let Some(s3) = s3 else { return RestServer::in_a_folder() };
        RestServer::start_with(None, &|command, _| {
            command.env("AWS_REGION", REGION);
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
            command.env("CATALOG_WAREHOUSE", format!("s3://{BUCKET}/tables"));
            command.env("CATALOG_IO__IMPL", "org.apache.iceberg.aws.s3.S3FileIO");
            command.env("CATALOG_S3_ENDPOINT", s3.endpoint());
            command.env("CATALOG_S3_PATH__STYLE__ACCESS", "true");
        })
    }

    fn in_a_folder() -> RestServer {
        RestServer::start_with(None, &|command, data| {
            command.env("CATALOG_WAREHOUSE", format!("file://{}/tables", data.display()));
        })
    }

    /// Starts one that the command says where its tables lie, with packages that it needs for that.
    pub(super) fn start_with(packages: Option<&Path>, place: &dyn Fn(&mut Command, &Path)) -> RestServer {
        let folder = installed(CATALOG, &|folder| {
            fetch_jars(folder, &JARS);
        });
        let (data, port) = (tempfile::tempdir().expect("a folder can be made"), free_port());
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        let packages = packages.map(|folder| format!(":{}/lib/*", folder.display())).unwrap_or_default();
        command.arg(format!("{}/lib/*{packages}", folder.display())).arg("org.apache.iceberg.rest.RESTCatalogServer");
        command.env("CATALOG_REST_PORT", port.to_string());
        command.env("CATALOG_URI", format!("jdbc:sqlite:{}", data.path().join("catalog.db").display()));
        place(&mut command, data.path());
        let server = Server::start(&mut command, &data.path().join("log"), port, "/v1/config");
        RestServer { _server: server, _data: data, port }
    }

    /// `http://HOST:PORT`.
    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends a request; gives the status and what came back.
    pub fn request(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        Http::new("127.0.0.1", self.port).request(method, path, body).expect("the catalog answers")
    }
}
