//! Ways into a cluster that guards itself, and what is told to those whom it keeps out.

use crate::guarded::{CLIENT_SECRET, Guarded, foreign_token, token, token_server};
use crate::project::Folder;

fn with(live: &str) -> Folder {
    let history = "history = { warehouse = \"./warehouse\" }";
    Folder::with(&format!("[project]\nname = \"p\"\n\n[env.dev]\n{history}\nlive = {{ {live} }}\n"))
}

/// Publishes three rows, and reads the topic from its start.
fn comes_in(live: &str) -> usize {
    let folder = with(live);
    folder.publish("dev", 0..3);
    folder.printed(&["tail", "plays", "--from-start", "--until-caught-up"], "dev").lines().count()
}

fn kept_out(live: &str) -> String {
    let told = with(live).refused(&["tail", "plays", "--from-start", "--until-caught-up"], "dev");
    assert!(!told.contains("gave up after") && !told.contains("CANARY"), "{live}: {told}");
    told
}

#[test]
fn who_shows_who_it_is_comes_in_and_others_are_told_why_not() {
    let Some(broker) = Guarded::start("") else { return };
    let server = token_server();
    let pulsar = |address: &str| format!("pulsar = \"{address}\"");
    let (plain, tls) = (pulsar(&broker.plain()), pulsar(&broker.tls()));
    let file = |key: &str, name: &str| format!("{key} = \"{}\"", broker.file(name).display());
    let tls = format!("{tls}, {}", file("ca", "ca.pem"));
    let certificate = |name: &str| {
        format!("{}, {}", file("certificate", &format!("{name}.pem")), file("key", &format!("{name}.key")))
    };
    let with_token = |text: &str| format!("token = {}", broker.secret("token", text));
    let basic = |password: &str| format!("user = \"basic\", password = {}", broker.secret("password", password));
    let client = |secret: &str| {
        let credential = broker.secret("credential", &format!("ana:{secret}"));
        format!("credential = {credential}, oauth2_uri = \"{server}\", audience = \"urn\"")
    };

    let issuer = server.replace("/token", "/.well-known/openid-configuration");
    let of_issuer = |address: &str| {
        let key =
            format!(r#"{{"type": "sn_service_account", "client_id": "ana", "client_secret": "{CLIENT_SECRET}"}}"#);
        format!("credential = {}, oauth2_uri = \"{address}\", audience = \"urn\"", broker.secret("key-file", &key))
    };

    let ways = [
        format!("{plain}, {}", with_token(&token("token", 3600))),
        format!("{tls}, {}", with_token(&token("token", 3600))),
        format!("{tls}, {}", basic("open sesame")),
        format!("{tls}, {}", certificate("client")),
        format!("{tls}, {}", client(CLIENT_SECRET)),
        format!("{tls}, {}", of_issuer(&issuer)),
    ];
    for (number, way) in ways.iter().enumerate() {
        assert_eq!(comes_in(way), 3 * (number + 1), "{way}");
    }

    let kept = |live: String, what: &str| {
        let told = kept_out(&live);
        assert!(told.contains(what), "{live}: expected \"{what}\": {told}");
    };
    for wrong in [token("token", -60), foreign_token("token"), "CANARY".to_owned()] {
        kept(format!("{tls}, {}", with_token(&wrong)), "the broker answered AuthenticationError: ");
    }
    kept(format!("{tls}, {}", basic("CANARY")), "the broker answered AuthenticationError: ");
    kept(format!("{tls}, {}", with_token(&token("nobody", 3600))), "the broker answered AuthorizationError: ");
    kept(format!("{tls}, {}", certificate("nobody")), "the broker answered AuthorizationError: ");
    kept(format!("{tls}, {}", client("CANARY")), "refuses the client (401): look at credential (ID:SECRET)");
    let elsewhere = server.replace("/token", "/none/.well-known/openid-configuration");
    kept(format!("{tls}, {}", of_issuer(&elsewhere)), "is no token server (401): set oauth2_uri of live");
    let unknown = format!("{}, {}", pulsar(&broker.tls()), certificate("client"));
    kept(unknown.clone(), "of an authority that is not trusted here: name the authority's certificate with ca");
    kept(format!("{unknown}, {}", file("ca", "other.pem")), "of an authority that is not trusted here");
    let by_number = broker.tls().replace("localhost", "127.0.0.1");
    kept(format!("{}, {}", pulsar(&by_number), file("ca", "ca.pem")), "the broker's certificate is not for this host");
    kept(format!("{tls}, {}", certificate("foreign")), "does not accept the client's certificate");
    let swapped = format!("{}, {}", file("certificate", "client.pem"), file("key", "nobody.key"));
    kept(format!("{tls}, {swapped}"), "cannot be used together");
    kept(
        format!("{}, {}", pulsar(&broker.tls()), file("ca", "server.key")),
        "server.key with a certificate as PEM cannot be used",
    );
    kept(
        format!("{}, {}", pulsar(&broker.tls()), file("ca", "none.pem")),
        "none.pem with a certificate as PEM cannot be used",
    );
    let plain_in_tls = broker.plain().replace("pulsar://", "pulsar+ssl://");
    let told = with(&format!("{}, {}", pulsar(&plain_in_tls), file("ca", "ca.pem"))).refused(&["tail", "plays"], "dev");
    assert!(told.contains("the port for TLS belongs after pulsar+ssl://"), "{told}");
    let tls_in_plain = broker.tls().replace("pulsar+ssl://", "pulsar://");
    let told = with(&pulsar(&tls_in_plain)).refused(&["tail", "plays"], "dev");
    assert!(told.contains("pulsar+ssl://"), "{told}");
    let nobody = "credential = \"env:RIVERRUN_NO_SUCH\", oauth2_uri = \"http://localhost:1/token\"";
    kept(
        format!("{tls}, {nobody}"),
        "the environment variable RIVERRUN_NO_SUCH with the credential of Pulsar is not set",
    );
}

#[test]
fn a_broker_that_wants_a_certificate_says_so() {
    let Some(broker) = Guarded::start("tlsRequireTrustedClientCertOnConnect=true\n") else { return };
    let tls = format!("pulsar = \"{}\", ca = \"{}\"", broker.tls(), broker.file("ca.pem").display());
    let token = format!("token = {}", broker.secret("token", &token("token", 3600)));
    let told = kept_out(&format!("{tls}, {token}"));
    assert!(
        told.contains("does not accept the client's certificate") && told.contains("certificate and key of live"),
        "{told}"
    );
    let certificate = broker.file("client.pem");
    let key = broker.file("client.key");
    let shown = format!("certificate = \"{}\", key = \"{}\"", certificate.display(), key.display());
    assert_eq!(comes_in(&format!("{tls}, {token}, {shown}")), 3);
}
