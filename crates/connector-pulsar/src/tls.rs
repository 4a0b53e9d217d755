//! Connections that are encrypted: whom the client trusts, and the certificate that it shows.

use crate::address::Address;
use crate::error::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How a connection is encrypted. Files are read anew for every connection, so they may be replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates of authorities, as PEM, which are trusted beside those of the system.
    pub ca: Option<PathBuf>,
    /// What the client shows.
    pub client: Option<ClientCertificate>,
}

/// A client's certificate and its key, as files in the form of PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Tls {
    /// Encrypts a connection to a broker, whose certificate has to be for this host.
    pub(crate) async fn connect(&self, stream: TcpStream, address: &Address) -> Result<TlsStream<TcpStream>> {
        let wrong = || Error::invalid(format!("\"{}\" is no name of a host that a certificate can have", address.host));
        let host = ServerName::try_from(address.host.clone()).map_err(|_| wrong())?;
        let connector = TlsConnector::from(Arc::new(self.config()?));
        connector.connect(host, stream).await.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => Error::unavailable(
                "what answers there closes the connection before TLS is agreed on: the port for TLS belongs after \
                 pulsar+ssl://",
            ),
            _ => self.told(&error),
        })
    }

    /// What an error of an encrypted connection means. One that comes back whatever time goes by is a denial.
    pub(crate) fn told(&self, error: &io::Error) -> Error {
        let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return Error::unavailable(format!("the connection broke: {error}"));
        };
        match cause {
            rustls::Error::InvalidCertificate(wrong) => Error::denied(match wrong {
                CertificateError::UnknownIssuer => {
                    "the broker's certificate is of an authority that is not trusted here: \
                                                    name the authority's certificate with ca of live in riverrun.toml"
                        .to_owned()
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    format!("the broker's certificate is not for this host ({wrong}): use a name that it has")
                }
                _ => format!("the broker's certificate is not accepted: {wrong}"),
            }),
            rustls::Error::AlertReceived(alert) if self.is_of_certificate(*alert) => Error::denied(format!(
                "the broker does not accept the client's certificate ({cause}): look at certificate and key of live in \
                 riverrun.toml"
            )),
            rustls::Error::InvalidMessage(_) => Error::denied(
                "what answers there does not speak TLS: write the port for TLS after pulsar+ssl://, or pulsar:// before \
                 one without",
            ),
            _ => Error::unavailable(format!("the connection broke: {cause}")),
        }
    }

    /// Whether the broker has something against the client's certificate. Those in Java say of one whose authority they do
    /// not know that the error is their own.
    fn is_of_certificate(&self, alert: AlertDescription) -> bool {
        use AlertDescription as A;
        matches!(
            alert,
            A::NoCertificate
                | A::BadCertificate
                | A::UnsupportedCertificate
                | A::CertificateRevoked
                | A::CertificateExpired
                | A::CertificateUnknown
                | A::UnknownCA
                | A::AccessDenied
                | A::CertificateRequired
                | A::HandshakeFailure
        ) || (alert == A::InternalError && self.client.is_some())
    }

    fn config(&self) -> Result<ClientConfig> {
        let failed = |error: rustls::Error| Error::invalid(format!("no connection with TLS can be made: {error}"));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(failed)?.with_root_certificates(self.trusted()?);
        let Some(ClientCertificate { certificate, key }) = &self.client else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("private key", key, &error))?;
        builder.with_client_auth_cert(chain, private).map_err(|error| {
            let (certificate, key) = (certificate.display(), key.display());
            Error::invalid(format!("the certificate {certificate} and the key {key} cannot be used together: {error}"))
        })
    }

    fn trusted(&self) -> Result<RootCertStore> {
        // The system has some hundred of them.
        static OF_SYSTEM: OnceLock<RootCertStore> = OnceLock::new();
        let of_system = || {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            store
        };
        let mut store = OF_SYSTEM.get_or_init(of_system).clone();
        if let Some(ca) = &self.ca {
            for certificate in certificates(ca)? {
                store.add(certificate).map_err(|error| unusable("certificate", ca, &error))?;
            }
        }
        Ok(store)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unusable("certificate", path, &error))?;
    if certificates.is_empty() {
        return Err(unusable("certificate", path, &"there is none in it"));
    }
    Ok(certificates)
}

fn unusable(what: &str, path: &Path, why: &impl std::fmt::Display) -> Error {
    Error::invalid(format!("the file {} with a {what} as PEM cannot be used: {why}", path.display()))
}
