//! A broker that lets in only those who show who they are, by token, by name and password, by certificate, or by a token
//! that a server gives.

use connector_pulsar::standalone::Standalone;
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use tests::Broker;

/// Signs tokens: 32 bytes, as the broker has them in base64.
const KEY: &str = "cml2ZXJydW4gdGVzdHMgc2lnbiB0b2tlbnMgd2l0aCE=";

/// `basic`, with the password `open sesame`.
const PASSWORDS: &str = "basic:$apr1$riverrun$psy7GS9D0./KxkvUDuwFD1\n";

/// The secret of the client `ana` at the token server.
pub const CLIENT_SECRET: &str = "CANARY-client";

/// Who may use the namespace of the tests.
const GRANTED: [&str; 4] = ["token", "basic", "certificate", "ana"];

/// A broker with TLS beside its plain port, and the files of its clients.
pub struct Guarded {
    folder: tempfile::TempDir,
    broker: Standalone,
    tls_port: u16,
}

impl Guarded {
    /// Starts one; `more` are lines of its settings. None where there cannot be one, which is said.
    pub fn start(more: &str) -> Option<Guarded> {
        if !Broker::is_possible() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        write_certificates(folder.path());
        std::fs::write(folder.path().join("htpasswd"), PASSWORDS).unwrap();
        let [tls_port, web_port] = [0; 2].map(|_| free_port());
        let at = folder.path().display();
        let provider = "org.apache.pulsar.broker.authentication.AuthenticationProvider";
        // Who shows nothing is let in as the administrator, who grants the others their rights.
        let settings = format!(
            "advertisedAddress=localhost\nbrokerServicePortTls={tls_port}\nwebServicePortTls={web_port}\n\
             tlsCertificateFilePath={at}/server.pem\ntlsKeyFilePath={at}/server.key\ntlsTrustCertsFilePath={at}/ca.pem\n\
             authenticationEnabled=true\nauthorizationEnabled=true\nanonymousUserRole=admin\nsuperUserRoles=admin\n\
             authenticationProviders={provider}Token,{provider}Tls,{provider}Basic\n\
             tokenSecretKey=data:;base64,{KEY}\nbasicAuthConf=file://{at}/htpasswd\n{more}"
        );
        let cache = Path::new(&std::env::var("HOME").unwrap()).join(".cache/riverrun");
        let broker = Standalone::start(&cache, &folder.path().join("broker"), &settings).unwrap();
        for role in GRANTED {
            let path = format!("/admin/v2/namespaces/public/default/permissions/{role}");
            let (status, body) = broker.admin().request("POST", &path, r#"["produce","consume"]"#).unwrap();
            assert!((200..300).contains(&status), "{role}: {status} {body}");
        }
        Some(Guarded { folder, broker, tls_port })
    }

    /// The address without TLS.
    pub fn plain(&self) -> String {
        self.broker.service_url()
    }

    /// The address with TLS, by a name that its certificate has.
    pub fn tls(&self) -> String {
        format!("pulsar+ssl://localhost:{}", self.tls_port)
    }

    /// A file of a certificate, of a key, or one that is made with this text.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a secret into a file; gives how the settings name it.
    pub fn secret(&self, name: &str, text: &str) -> String {
        std::fs::write(self.file(name), text).unwrap();
        format!("\"file:{}\"", self.file(name).display())
    }
}

/// A token of a role, which is good for so many seconds.
pub fn token(role: &str, seconds: i64) -> String {
    signed(role, seconds, &EncodingKey::from_base64_secret(KEY).unwrap())
}

/// A token that somebody else has signed.
pub fn foreign_token(role: &str) -> String {
    signed(role, 3600, &EncodingKey::from_secret(b"another key that is as long as that"))
}

fn signed(role: &str, seconds: i64, key: &EncodingKey) -> String {
    let expires = get_current_timestamp().saturating_add_signed(seconds);
    encode(&Header::default(), &json!({ "sub": role, "exp": expires }), key).unwrap()
}

/// A token server for the client `ana`; gives its address.
pub fn token_server() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(answer));
    format!("http://{address}/token")
}

fn answer(mut stream: TcpStream) {
    let mut asked = Vec::new();
    let mut part = [0; 4096];
    while !is_whole(&asked) {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return,
            Ok(count) => asked.extend_from_slice(&part[..count]),
        }
    }
    let form = String::from_utf8_lossy(&asked).into_owned();
    // The address of the server itself, for those who know the issuer alone.
    let host = form.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host:").map(str::to_owned));
    if form.starts_with("GET /.well-known/openid-configuration ") {
        let endpoint = format!("http://{}/token", host.unwrap_or_default().trim());
        return send(&mut stream, "200 OK", &json!({ "issuer": "tests", "token_endpoint": endpoint }));
    }
    let wanted = [format!("client_secret={CLIENT_SECRET}"), "client_id=ana".to_owned(), "audience=urn".to_owned()];
    let (status, body) = match wanted.iter().all(|part| form.contains(part)) {
        true => ("200 OK", json!({ "access_token": token("ana", 3600), "expires_in": 3600 })),
        false => ("401 Unauthorized", json!({ "error": "invalid_client", "said": form })),
    };
    send(&mut stream, status, &body);
}

fn send(stream: &mut TcpStream, status: &str, body: &serde_json::Value) {
    let body = body.to_string();
    let size = body.len();
    // A client that has gone away has no use for the answer.
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n{body}");
}

fn is_whole(asked: &[u8]) -> bool {
    let text = String::from_utf8_lossy(asked).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    body.len() >= length.map_or(0, |length| length.trim().parse().unwrap())
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// An authority with the server's certificate and those of two clients, and another authority with one of a client.
fn write_certificates(folder: &Path) {
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
        Issuer::new(params, key)
    };
    let (ca, other) = (authority("ca"), authority("other"));
    let leaf = |file: &str, role: &str, hosts: &[&str], issuer: &Issuer<'_, KeyPair>| {
        let mut params =
            CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, role);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join(format!("{file}.pem")), params.signed_by(&key, issuer).unwrap().pem()).unwrap();
        std::fs::write(folder.join(format!("{file}.key")), key.serialize_pem()).unwrap();
    };
    leaf("server", "localhost", &["localhost"], &ca);
    leaf("client", "certificate", &[], &ca);
    leaf("nobody", "nobody", &[], &ca);
    leaf("foreign", "certificate", &[], &other);
}
