//! Locations that mean the same, written in one way.

/// A location without what engines write in several ways: the scheme of a store, the service of an account of Azure, the
/// authority of a file, slashes that are written twice or at the end.
pub fn plain(location: &str) -> String {
    let scheme = location.split_once("://").map(|(scheme, rest)| (scheme.to_ascii_lowercase(), rest));
    let (place, path) = match scheme.as_ref().map(|(scheme, rest)| (scheme.as_str(), *rest)) {
        Some(("file", rest)) => ("", rest.to_owned()),
        Some(("s3" | "s3a" | "s3n", rest)) => ("s3:", rest.to_owned()),
        Some(("gs" | "gcs", rest)) => ("gs:", rest.to_owned()),
        Some(("abfs" | "abfss" | "wasb" | "wasbs", rest)) => ("abfs:", without_service(rest)),
        Some((scheme, rest)) => (scheme, rest.to_owned()),
        None => ("", location.strip_prefix("file:").unwrap_or(location).to_owned()),
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        // On a disk it is the folder above; in a store it is a name like others, which nobody gives.
        if part == ".." && place.is_empty() {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    parts.into_iter().fold(place.to_owned(), |whole, part| whole + "/" + part)
}

/// `CONTAINER@ACCOUNT.SERVICE/PATH` without the service: one account has several.
fn without_service(rest: &str) -> String {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let account = authority.split_once('.').map_or(authority, |(account, _)| account);
    format!("{account}/{path}")
}
