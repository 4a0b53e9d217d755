//! Where a file lies in an object store, as its location says it.

use dataflow::{Error, Result};

/// The hosts of Azure's stores, before the part that says which cloud it is.
const AZURE_HOSTS: [&str; 2] = [".dfs.", ".blob."];

/// The object stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreKind {
    S3,
    Google,
    Azure,
}

/// A bucket of a store; a container, as Azure calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Bucket {
    pub kind: StoreKind,
    pub name: String,
    /// `ACCOUNT.dfs.core.windows.net` of Azure, where the location says it.
    pub host: Option<String>,
}

impl Bucket {
    /// The bucket that a location names, and what is the key of the file in it.
    pub fn of(location: &str) -> Result<(Bucket, &str)> {
        let unknown = || {
            Error::invalid(format!(
                "\"{location}\" lies in no store that is supported; expected s3://BUCKET/.., gs://BUCKET/.., \
                 abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/.. or file:///.."
            ))
        };
        let (scheme, rest) = location.split_once("://").ok_or_else(unknown)?;
        let (authority, key) = rest.split_once('/').ok_or_else(unknown)?;
        let kind = match scheme {
            "s3" | "s3a" | "s3n" => StoreKind::S3,
            "gs" | "gcs" => StoreKind::Google,
            "abfs" | "abfss" | "wasb" | "wasbs" => StoreKind::Azure,
            _ => return Err(unknown()),
        };
        let (name, host) = match (kind, authority.split_once('@')) {
            (StoreKind::Azure, Some((name, host))) if !host.is_empty() => (name, Some(host.to_owned())),
            (_, None) => (authority, None),
            _ => return Err(unknown()),
        };
        match name {
            "" => Err(unknown()),
            name => Ok((Bucket { kind, name: name.to_owned(), host }, key)),
        }
    }

    /// The account of Azure, where the location says it.
    pub fn account(&self) -> Option<&str> {
        self.host.as_deref().map(|host| host.split('.').next().unwrap_or(host))
    }

    /// The address of the account, where the location says it: files are reached as those of a store of blobs, whichever of
    /// its two hosts is named.
    pub fn endpoint(&self) -> Option<String> {
        let host = self.host.as_deref()?;
        let (account, cloud) = AZURE_HOSTS.iter().find_map(|part| host.split_once(part))?;
        Some(format!("https://{account}.blob.{cloud}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_names_a_bucket_and_a_key() {
        let of = |location: &str| {
            let (bucket, key) = Bucket::of(location).unwrap();
            format!("{:?} {} {} {key}", bucket.kind, bucket.name, bucket.endpoint().unwrap_or_default())
        };
        for (location, is) in [
            ("s3://lake/a/b", "S3 lake  a/b"),
            ("s3a://lake/a", "S3 lake  a"),
            ("gs://lake/a", "Google lake  a"),
            ("abfss://lake@us.dfs.core.windows.net/a", "Azure lake https://us.blob.core.windows.net a"),
            ("wasbs://lake@us.blob.core.windows.net/a", "Azure lake https://us.blob.core.windows.net a"),
            ("abfs://lake@us.dfs.core.chinacloudapi.cn/a", "Azure lake https://us.blob.core.chinacloudapi.cn a"),
            ("abfss://lake/a", "Azure lake  a"),
        ] {
            assert_eq!(of(location), is, "{location}");
        }
        for location in ["lake/a", "s3://lake", "s3:///a", "hdfs://h/a", "s3://a@b/c", "abfss://a@/c", "abfss://@b/c"] {
            let error = Bucket::of(location).unwrap_err().to_string();
            assert!(error.contains("lies in no store that is supported"), "{error}");
        }
        assert_eq!(Bucket::of("abfss://lake@us.dfs.core.windows.net/a").unwrap().0.account(), Some("us"));
    }
}
