//! The ways into a catalog: tokens, clients, headers, certificates, and keys that the catalog gives for a table.

use crate::project::{Folder, history_of, with_history};
use access::Secret;
use connector_iceberg::{RestSettings, Warehouse};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tests::catalogs::{ACCESS_KEY, Proxy, REGION, Request, RestServer, S3Server, SECRET_KEY, Treatment, can_start};

fn unauthorized() -> Treatment {
    Treatment::Answer(401, r#"{"error":{"message":"no","type":"NotAuthorizedException","code":401}}"#.to_owned())
}

/// Archives a few events and reads them again.
pub fn archives(folder: &Folder) {
    folder.publish("dev", 0..100);
    folder.to_end(&["run", "archive", "--until-caught-up"], "prod");
    let count = folder.printed(&["query", "SELECT count(*) FROM raw.plays", "--csv"], "prod");
    assert_eq!(count.lines().nth(1), Some("100"), "{count}");
}

#[test]
fn a_token_and_headers_are_sent_with_every_request() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let proxy = Proxy::start(catalog.port, |request: &Request| {
        let is_in =
            request.header("authorization") == Some("Bearer CANARY-token") && request.header("x-tenant") == Some("a");
        if is_in { Treatment::Pass } else { unauthorized() }
    });
    let history =
        format!("catalog = \"rest+{}\", token = \"env:TEST_TOKEN\", headers = {{ X-Tenant = \"a\" }}", proxy.uri());
    archives(&Folder::new(&with_history(&history)));
}

#[test]
fn a_client_gets_tokens_and_new_ones_when_they_are_refused() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let (given, uses) = (Arc::new(AtomicUsize::new(0)), AtomicUsize::new(0));
    let counted = given.clone();
    let proxy = Proxy::start(catalog.port, move |request: &Request| {
        if request.path == "/token" {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            if !body.contains("client_id=id")
                || !body.contains("client_secret=CANARY-client")
                || !body.contains("scope=all")
            {
                return unauthorized();
            }
            let number = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Treatment::Answer(200, format!(r#"{{"access_token":"t{number}","expires_in":3600}}"#));
        }
        // Each token is good for five requests.
        let newest = format!("Bearer t{}", given.load(Ordering::SeqCst));
        let is_good = request.header("authorization") == Some(&newest) && uses.fetch_add(1, Ordering::SeqCst) % 5 != 4;
        if is_good { Treatment::Pass } else { unauthorized() }
    });
    let uri = proxy.uri();
    let history =
        format!("catalog = \"{uri}\", credential = \"env:TEST_CLIENT\", oauth2_uri = \"{uri}/token\", scope = \"all\"");
    archives(&Folder::new(&with_history(&history)));
    assert!(counted.load(Ordering::SeqCst) > 2, "tokens are asked for again");
}

#[test]
fn keys_that_a_catalog_gives_for_a_table_open_its_files() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let config = format!(
        r#""s3.endpoint":"{}","s3.region":"{REGION}","s3.path-style-access":"true","s3.access-key-id":"{ACCESS_KEY}",
           "s3.secret-access-key":"{SECRET_KEY}""#,
        s3.endpoint()
    );
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    let proxy = Proxy::start(catalog.port, move |request: &Request| {
        seen.lock().unwrap().push(request.header("x-iceberg-access-delegation").map(str::to_owned));
        if !request.path.contains("/tables") || request.is_commit() {
            return Treatment::Pass;
        }
        let credentials = format!(r#"{{"storage-credentials":[{{"prefix":"s3://lake/","config":{{{config}}}}}],"#);
        Treatment::Change(Box::new(move |body: String| match body.starts_with(r#"{"metadata-location""#) {
            true => body.replacen('{', &credentials, 1),
            false => body,
        }))
    });
    archives(&Folder::new(&with_history(&format!("catalog = \"{}\"", proxy.uri()))));
    let asked = asked.lock().unwrap();
    assert!(
        !asked.is_empty() && asked.iter().all(|header| header.as_deref() == Some("vended-credentials")),
        "{asked:?}"
    );
}

/// Takes TLS off connections to a port of this machine, until its owner ends.
struct TlsServer {
    process: Child,
    uri: String,
}

impl TlsServer {
    /// Starts one with the certificate in a folder.
    fn start(certificates: &Path, upstream: u16) -> TlsServer {
        let mut serve = Command::new("python3");
        serve.arg(tests::root().join("tests/catalogs/serve_tls.py")).arg(certificates).arg(upstream.to_string());
        serve.stdout(Stdio::piped());
        let mut process = serve.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        TlsServer { process, uri: format!("https://127.0.0.1:{}", port.trim()) }
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Makes an authority and a certificate of it for this machine in a folder.
pub fn make_certificates(folder: &Path) {
    let make = |name: &str, more: &[&str]| {
        let mut make = Command::new("openssl");
        make.args(["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        make.args([
            "-keyout",
            &format!("{name}.key"),
            "-out",
            &format!("{name}.pem"),
            "-subj",
            &format!("/CN=test {name}"),
        ]);
        let made = make.args(more).current_dir(folder).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    make("ca", &["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]);
    let of_server =
        ["basicConstraints=critical,CA:FALSE", "subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth"];
    let of_server = of_server.iter().flat_map(|extension| ["-addext", extension]);
    make("server", &["-CA", "ca.pem", "-CAkey", "ca.key"].into_iter().chain(of_server).collect::<Vec<_>>());
}

#[test]
fn a_catalog_and_a_store_with_tls_are_entered_when_their_certificates_are_trusted() {
    if !can_start() {
        return;
    }
    let s3 = S3Server::start();
    let catalog = RestServer::start(Some(&s3));
    let certificates = tempfile::tempdir().unwrap();
    let certificates = certificates.path();
    make_certificates(certificates);
    let (catalog, store) = (TlsServer::start(certificates, catalog.port), TlsServer::start(certificates, s3.port));
    let uri = &catalog.uri;
    let untrusted = Folder::new(&with_history(&format!("catalog = \"{uri}\"")));
    let told = untrusted.refused(&["query", "SELECT * FROM lake.nothing"], "prod");
    assert!(told.contains("does not answer") && told.contains("certificate"), "{told}");
    let history = history_of(uri, &store.uri);
    archives(&Folder::new(&with_history(&format!("{history}, ca = \"file:{}/ca.pem\"", certificates.display()))));
}

#[test]
fn a_token_in_a_file_is_read_anew() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let wanted = Arc::new(Mutex::new("Bearer one".to_owned()));
    let known = wanted.clone();
    let proxy = Proxy::start(catalog.port, move |request: &Request| {
        if request.header("authorization") == Some(&known.lock().unwrap()) { Treatment::Pass } else { unauthorized() }
    });
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "one\n").unwrap();
    let mut settings = RestSettings::new(proxy.uri());
    settings.token = Some(Secret::File(token.clone()));
    let warehouse = Warehouse::open_rest(settings, folder.path()).unwrap();
    assert!(warehouse.tables().unwrap().is_empty());
    "Bearer two".clone_into(&mut wanted.lock().unwrap());
    let error = warehouse.tables().unwrap_err().chain();
    assert!(error.contains("the token is wrong or has expired"), "{error}");
    std::fs::write(&token, "two\n").unwrap();
    assert!(warehouse.tables().unwrap().is_empty());
    // It is put in place in two steps, between which it is asked for.
    std::fs::write(&token, "").unwrap();
    assert!(warehouse.tables().unwrap().is_empty());
    std::fs::remove_file(&token).unwrap();
    assert!(warehouse.tables().unwrap().is_empty());
}

#[test]
fn the_warehouse_of_the_settings_is_asked_for_and_its_prefix_taken() {
    if !can_start() {
        return;
    }
    let catalog = RestServer::start(None);
    let proxy = Proxy::start(catalog.port, |request: &Request| match request.path.as_str() {
        "/v1/config?warehouse=of+ours" => {
            Treatment::Answer(200, r#"{"defaults":{},"overrides":{"prefix":"at/ours"}}"#.to_owned())
        }
        path => match path.strip_prefix("/v1/at/ours/") {
            Some(path) => Treatment::PassTo(format!("/v1/{path}")),
            None => unauthorized(),
        },
    });
    archives(&Folder::new(&with_history(&format!("catalog = \"{}\", warehouse = \"of ours\"", proxy.uri()))));
}
