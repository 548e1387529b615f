//! Service account tokens for projected volumes, renewed before they expire; from the TokenRequest API; to
//! [`payload`](super::payload). Performs IO.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::VolumeError;
use crate::pod;

/// Seconds a token is valid unless the volume says otherwise.
const DEFAULT_SECONDS: i64 = 3600;
/// Tokens are renewed at this age even if they are valid longer.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    pod_uid: String,
    audience: Option<String>,
    seconds: i64,
}

#[derive(Clone, Debug)]
struct Token {
    text: String,
    requested: jiff::Timestamp,
    expires: jiff::Timestamp,
}

impl Token {
    /// Four fifths of the life are over, or a day.
    fn is_old(&self, now: jiff::Timestamp) -> bool {
        let age = now.duration_since(self.requested).as_secs();
        let life = self.expires.duration_since(self.requested).as_secs();
        age * 5 > life * 4 || age > i64::try_from(MAX_AGE.as_secs()).unwrap_or(i64::MAX)
    }
}

/// Tokens by pod, audience and lifetime.
pub struct Tokens {
    client: Option<Client>,
    known: Mutex<HashMap<Key, Token>>,
}

impl Tokens {
    /// No tokens yet.
    pub fn new(client: Option<Client>) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// A valid token for the pod's service account.
    ///
    /// # Errors
    /// The API server refused, or is away and no token is known that is still valid.
    pub async fn get(&self, pod: &Pod, projection: &ServiceAccountTokenProjection) -> Result<String, VolumeError> {
        let key = Key {
            pod_uid: pod::uid(pod).to_owned(),
            audience: projection.audience.clone().filter(|audience| !audience.is_empty()),
            seconds: projection.expiration_seconds.unwrap_or(DEFAULT_SECONDS),
        };
        let known = self.known.lock().get(&key).cloned();
        let now = jiff::Timestamp::now();
        if let Some(token) = known.as_ref().filter(|token| !token.is_old(now)) {
            return Ok(token.text.clone());
        }
        match self.request(pod, &key).await {
            Ok(token) => {
                let text = token.text.clone();
                self.known.lock().insert(key, token);
                Ok(text)
            }
            Err(error) => match known.filter(|token| token.expires > now) {
                Some(token) => {
                    tracing::warn!(pod = pod::formatted(pod), %error, "renew service account token");
                    Ok(token.text)
                }
                None => Err(error),
            },
        }
    }

    async fn request(&self, pod: &Pod, key: &Key) -> Result<Token, VolumeError> {
        let client = self.client.clone().ok_or(VolumeError::Unsupported("serviceAccountToken (no API server)"))?;
        let account = pod::spec(pod).service_account_name.clone().filter(|name| !name.is_empty());
        let account = account.unwrap_or_else(|| "default".to_owned());
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: key.audience.clone().into_iter().collect(),
                bound_object_ref: Some(BoundObjectReference {
                    api_version: Some("v1".to_owned()),
                    kind: Some("Pod".to_owned()),
                    name: Some(pod::name(pod).to_owned()),
                    uid: Some(pod::uid(pod).to_owned()),
                }),
                expiration_seconds: Some(key.seconds),
            },
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(client, pod::namespace(pod));
        let requested = jiff::Timestamp::now();
        let answer: TokenRequest = accounts
            .create_subresource("token", &account, &PostParams::default(), &request)
            .await
            .map_err(|source| VolumeError::Api {
                what: format!("failed to fetch token: serviceaccount {}/{account}", pod::namespace(pod)),
                source: Box::new(source),
            })?;
        let status = answer.status.ok_or(VolumeError::NoToken)?;
        Ok(Token { text: status.token, requested, expires: status.expiration_timestamp.0 })
    }

    /// Forgets the tokens of a pod that is gone.
    pub fn forget(&self, pod_uid: &str) {
        self.known.lock().retain(|key, _| key.pod_uid != pod_uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_age_at_four_fifths_of_their_life() {
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let token = Token { text: String::new(), requested: at(0), expires: at(3600) };
        assert!(!token.is_old(at(2880)));
        assert!(token.is_old(at(2881)));
        let long = Token { expires: at(100 * 86_400), ..token };
        assert!(long.is_old(at(86_401)));
    }
}
