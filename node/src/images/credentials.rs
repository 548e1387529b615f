//! Registry credentials out of image pull secrets; from Secrets; to [`images`](super). Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_cri::v1::AuthConfig;
use serde_json::Value;

use crate::objects::ObjectData;

/// Credentials for one registry, or a path in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    registry: String,
    auth: AuthConfig,
}

/// Credentials in a Secret of type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`; none in others.
pub fn from_secret(secret: &ObjectData) -> Vec<Credential> {
    let parse = |key: &str| secret.values.get(key).and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let auths = match parse(".dockerconfigjson") {
        Some(mut config) => config["auths"].take(),
        None => parse(".dockercfg").unwrap_or_default(),
    };
    auths.as_object().into_iter().flatten().map(|(registry, entry)| credential(registry, entry)).collect()
}

fn credential(registry: &str, entry: &Value) -> Credential {
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let (mut username, mut password) = (text("username"), text("password"));
    let decoded = STANDARD.decode(text("auth")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, secret)) = decoded.as_deref().and_then(|pair| pair.split_once(':')) {
        user.clone_into(&mut username);
        secret.trim_end_matches('\0').clone_into(&mut password);
    }
    let host = registry.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let host = host.strip_suffix("/v1").or_else(|| host.strip_suffix("/v2")).unwrap_or(host);
    let host = if host == "index.docker.io" { "docker.io" } else { host };
    let auth = AuthConfig {
        username,
        password,
        identity_token: text("identitytoken"),
        registry_token: text("registrytoken"),
        ..AuthConfig::default()
    };
    Credential { registry: host.to_owned(), auth }
}

/// What to try for a registry, in order.
pub fn for_registry(credentials: &[Credential], registry: &str) -> Vec<Option<AuthConfig>> {
    let fits = |credential: &&Credential| credential.registry.split('/').next() == Some(registry);
    credentials.iter().filter(fits).map(|credential| Some(credential.auth.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_docker_configurations() {
        let config = r#"{"auths":{"https://index.docker.io/v1/":{"auth":"bWU6c2VjcmV0"},"reg:5000":{"username":"u","password":"p"}}}"#;
        let values = [(".dockerconfigjson".to_owned(), config.as_bytes().to_vec())].into();
        let found = from_secret(&ObjectData { values, ..ObjectData::default() });
        let hub = for_registry(&found, "docker.io");
        assert_eq!(hub.len(), 1);
        assert_eq!(
            hub[0].as_ref().map(|auth| (auth.username.as_str(), auth.password.as_str())),
            Some(("me", "secret"))
        );
        assert_eq!(for_registry(&found, "reg:5000").len(), 1);
        assert!(for_registry(&found, "other").is_empty());
    }
}
