//! Where a topic is, as the answer to a lookup says it.

use crate::address::{Address, Service};
use crate::error::{Error, Result};
use crate::wire::protocol::{LookupTopicResponse, LookupType};

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub address: Address,
    /// It is reached through the proxy that was asked, which is told the address.
    pub is_proxied: bool,
    /// Another broker is to be asked, in this way; none where the address is the owner's.
    pub redirect: Option<Redirect>,
}

/// How another broker is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// It answers for the topic, whatever it would have said by itself.
    pub is_authoritative: bool,
}

/// Reads an answer; a broker that was not found is an error of the kind that the broker gave.
pub fn found(answer: &LookupTopicResponse, is_tls: bool) -> Result<Found> {
    let kind = answer.response.and_then(|kind| LookupType::try_from(kind).ok()).unwrap_or(LookupType::Failed);
    if kind == LookupType::Failed {
        return Err(Error::from_broker(
            answer.error.unwrap_or_default(),
            answer.message.as_deref().unwrap_or_default(),
        ));
    }
    let (url, how) = match is_tls {
        true => (&answer.broker_service_url_tls, "with"),
        false => (&answer.broker_service_url, "without"),
    };
    let missing = || Error::unavailable(format!("the broker that has the topic has no address {how} TLS"));
    let url = url.as_deref().filter(|url| !url.is_empty()).ok_or_else(missing)?;
    let is_authoritative = answer.authoritative.unwrap_or_default();
    Ok(Found {
        address: Service::parse(url)?.address,
        is_proxied: answer.proxy_through_service_url.unwrap_or_default(),
        redirect: (kind == LookupType::Redirect).then_some(Redirect { is_authoritative }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_gives_the_address_that_the_client_can_use() {
        let answer = LookupTopicResponse {
            response: Some(LookupType::Redirect as i32),
            broker_service_url: Some("pulsar://plain:1".into()),
            authoritative: Some(true),
            ..Default::default()
        };
        let plain = found(&answer, false).unwrap();
        assert_eq!((plain.address.host.as_str(), plain.is_proxied), ("plain", false));
        assert_eq!(plain.redirect, Some(Redirect { is_authoritative: true }));
        let error = found(&answer, true).unwrap_err().to_string();
        assert!(error.contains("has no address with TLS"), "{error}");
        let failed = LookupTopicResponse { response: Some(LookupType::Failed as i32), ..answer };
        assert!(found(&failed, false).is_err());
    }
}
