//! A server of Google's stores, fetched once from the Go module proxy, and a REST catalog whose tables lie in it.
//!
//! The server has the interface of JSON whole, which the catalog and PyIceberg use, and of that of XML, which riverrun uses,
//! all but uploads: [`GoogleServer::xml`] puts those of XML into the words of JSON. The files lie in the server, whoever
//! has written them.

use super::packages::{Jar, done, fetch_jars, installed};
use super::proxy::{Proxy, Reply, Request, Treatment, Upstream};
use super::servers::{BUCKET, RestServer, Server, free_port};
use object_store::path::Path as ObjectPath;
use std::io;
use std::process::Command;
use tempfile::TempDir;

const GOOGLE: &str = "fake-gcs-server-1.56.1";
const GOOGLE_MODULE: &str = "github.com/fsouza/fake-gcs-server@v1.56.1";
const CATALOG: &str = "iceberg-rest-gcp-1.10.1";

/// What a REST catalog needs beside its own packages for tables in Google's stores.
const JARS: [Jar; 2] =
    [("org.apache.iceberg", "iceberg-gcp", "1.10.1", ""), ("com.google.cloud", "google-cloud-storage", "2.55.0", "")];

/// A server of Google's stores with one bucket. It lets everybody in.
pub struct GoogleServer {
    _server: Server,
    _data: TempDir,
    /// Where it listens.
    pub port: u16,
}

impl GoogleServer {
    /// Starts one with data of its own.
    pub fn start() -> GoogleServer {
        let folder = installed(GOOGLE, &|folder| {
            done(
                Command::new("go").args(["install", GOOGLE_MODULE]).env("GOBIN", folder.join("bin")).env("GOFLAGS", ""),
            );
        });
        let (data, port) = (tempfile::tempdir().expect("a folder can be made"), free_port());
        let seed = data.path().join("seed");
        std::fs::create_dir_all(seed.join(BUCKET)).expect("a folder can be made");
        let mut command = Command::new(folder.join("bin/fake-gcs-server"));
        command.args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port.to_string(), "-backend", "memory"]);
        command.args(["-public-host", &format!("127.0.0.1:{port}"), "-log-level", "error"]);
        command.args(["-external-url", &format!("http://127.0.0.1:{port}")]).arg("-data").arg(&seed);
        let server = Server::start(&mut command, &data.path().join("log"), port, "/_internal/healthcheck");
        GoogleServer { _server: server, _data: data, port }
    }

    /// `http://HOST:PORT` of the interface of JSON.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The interface of XML, for those that `lets_in`.
    pub fn xml(&self, lets_in: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Proxy {
        let host = format!("127.0.0.1:{}", self.port);
        Proxy::start(self.port, move |request: &Request| {
            if !lets_in(request) {
                let told = "<Error><Code>AuthenticationRequired</Code><Message>who are you</Message></Error>";
                return Treatment::Answer(401, told.to_owned());
            }
            let host = host.clone();
            Treatment::Serve(Box::new(move |upstream, request| in_xml(upstream, request.to_host(&host))))
        })
    }

    /// A catalog whose tables lie in the bucket.
    pub fn catalog(&self) -> RestServer {
        let packages = installed(CATALOG, &|folder| fetch_jars(folder, &JARS));
        RestServer::start_with(Some(&packages), &|command, data| {
            command.env("CATALOG_WAREHOUSE", format!("gs://{BUCKET}/tables"));
            command.env("CATALOG_IO__IMPL", "org.apache.iceberg.gcp.gcs.GCSFileIO");
            command.env("CATALOG_GCS_SERVICE_HOST", self.endpoint());
            command.env("CATALOG_GCS_NO__AUTH", "true").env("CATALOG_GCS_PROJECT__ID", "riverrun");
            // Nobody's own credentials are looked for.
            command.env("HOME", data);
        })
    }
}

/// Answers a request as the interface of XML does.
fn in_xml(upstream: &Upstream, request: Request) -> io::Result<Vec<u8>> {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let (path, parameters) = (path.to_owned(), query.to_owned());
    let parameter = |name: &str| {
        let mut pairs = parameters.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(own, _)| *own == name).map(|(_, value)| value.to_owned())
    };
    match (request.method.as_str(), parameter("uploadId"), parameter("partNumber")) {
        ("PUT", None, _) => put(upstream, request, &path),
        ("POST", None, _) if parameter("uploads").is_some() => {
            let told = "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>";
            Ok(Reply { status: 200, headers: Vec::new(), body: told.into() }.bytes())
        }
        ("PUT", Some(upload), Some(part)) => put(upstream, request, &format!("{path}.{upload}.{part}")),
        ("POST", Some(upload), _) => compose(upstream, request, &path, &upload),
        _ => upstream.send(&request),
    }
}

/// Writes an object, in the way of an address that is signed.
fn put(upstream: &Upstream, mut request: Request, path: &str) -> io::Result<Vec<u8>> {
    request.path = format!("{path}?X-Goog-Algorithm=none");
    let mut reply = Reply::of(&upstream.send(&request)?);
    if reply.status == 200 {
        reply.headers.push(("ETag".to_owned(), "\"1\"".to_owned()));
        reply.body.clear();
    }
    Ok(reply.bytes())
}

/// Makes an object of the parts of an upload, which then go.
fn compose(upstream: &Upstream, mut request: Request, path: &str, upload: &str) -> io::Result<Vec<u8>> {
    let (bucket, object) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let (bucket, object) = (bucket.to_owned(), object.to_owned());
    let told = String::from_utf8_lossy(&request.body).into_owned();
    let numbers = told.split("<PartNumber>").skip(1).filter_map(|part| part.split('<').next());
    let names: Vec<String> = numbers.map(|number| format!("{object}.{upload}.{number}")).collect();
    let decoded = |name: &String| ObjectPath::from_url_path(name).map_err(io::Error::other);
    let sources = names.iter().map(|name| Ok(format!(r#"{{"name":"{}"}}"#, decoded(name)?)));
    let sources: Vec<String> = sources.collect::<io::Result<_>>()?;
    request.path = format!("/storage/v1/b/{bucket}/o/{object}/compose");
    request.set_body(format!(r#"{{"sourceObjects":[{}]}}"#, sources.join(",")).into_bytes());
    let mut reply = Reply::of(&upstream.send(&request)?);
    for name in &names {
        let delete = Request {
            method: "DELETE".to_owned(),
            path: format!("/storage/v1/b/{bucket}/o/{name}"),
            ..Request::default()
        };
        upstream.send(&delete)?;
    }
    if reply.status == 200 {
        let told = "<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>";
        reply = Reply { status: 200, headers: Vec::new(), body: told.into() };
    }
    Ok(reply.bytes())
}
