//! Service-account tokens: made for `TokenRequest`s, read from requests, and the public keys others check them with. From the key files;
//! to authentication and the subresource `token`.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::admission::Lister;
use crate::config::ServiceAccountConfig;
use crate::identity::User;

/// Signs and checks tokens.
pub struct Tokens {
    signing: EncodingKey,
    signing_algorithm: Algorithm,
    signing_id: String,
    keys: Vec<Key>,
    issuer: String,
    audiences: Vec<String>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

struct Key {
    id: String,
    algorithm: Algorithm,
    decoding: DecodingKey,
    jwk: Value,
}

/// The content of a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    /// Audiences.
    pub aud: Vec<String>,
    /// End of life, seconds since 1970.
    pub exp: i64,
    /// When it was made.
    pub iat: i64,
    /// Issuer.
    pub iss: String,
    /// Unique id.
    #[serde(default)]
    pub jti: String,
    /// What it is bound to.
    #[serde(rename = "kubernetes.io")]
    pub bound: Bound,
    /// When it starts to be good.
    #[serde(default)]
    pub nbf: i64,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub sub: String,
}

/// The objects a token lives and dies with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Bound {
    /// Namespace of all of them.
    pub namespace: String,
    /// The node of the pod, or the node the token is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Reference>,
    /// Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Reference>,
    /// Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<Reference>,
    /// The account itself.
    pub serviceaccount: Reference,
    /// When clients should be warned that they use the token beyond its asked lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnafter: Option<i64>,
}

/// An object by name and uid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Name.
    pub name: String,
    /// Uid; empty when not known.
    #[serde(default)]
    pub uid: String,
}

/// Why a token is not accepted; told to nobody but the log.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is not one of ours: other authenticators may know it.
    #[error("not a token of this cluster")]
    Foreign,
    /// Wrong signature, too old, too new.
    #[error("service-account token")]
    Invalid(#[source] jsonwebtoken::errors::Error),
    /// None of its audiences is asked for.
    #[error("token audiences {found:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        /// In the token.
        found: Vec<String>,
        /// Accepted.
        wanted: Vec<String>,
    },
    /// The account or an object it is bound to is gone.
    #[error("{0} of the service-account token does not exist any more")]
    Gone(&'static str),
}

impl Tokens {
    /// Reads the key files.
    ///
    /// # Errors
    /// When a file cannot be read or holds no ECDSA P-256 or RSA key.
    pub fn load(config: &ServiceAccountConfig) -> anyhow::Result<Self> {
        let signing_pem = read(&config.signing_key)?;
        let keys = config.public_keys.iter().map(|path| Key::read(path)).collect::<anyhow::Result<Vec<_>>>()?;
        let (signing, signing_algorithm) = EncodingKey::from_ec_pem(&signing_pem)
            .map(|key| (key, Algorithm::ES256))
            .or_else(|_| EncodingKey::from_rsa_pem(&signing_pem).map(|key| (key, Algorithm::RS256)))
            .with_context(|| {
                format!("{}: neither an ECDSA (PKCS #8) nor an RSA private key", config.signing_key.display())
            })?;
        let audiences =
            if config.audiences.is_empty() { vec![config.issuer.clone()] } else { config.audiences.clone() };
        let mut tokens = Self {
            signing,
            signing_algorithm,
            signing_id: String::new(),
            keys,
            issuer: config.issuer.clone(),
            audiences,
        };
        // The public half of the signing key is the one that understands what it signs.
        let probe = jsonwebtoken::encode(&Header::new(tokens.signing_algorithm), &json!({}), &tokens.signing)
            .context("sign with the service-account key")?;
        let own = tokens.keys.iter().find(|key| {
            let mut validation = Validation::new(key.algorithm);
            validation.required_spec_claims.clear();
            validation.validate_exp = false;
            jsonwebtoken::decode::<Value>(&probe, &key.decoding, &validation).is_ok()
        });
        match own {
            Some(key) => tokens.signing_id = key.id.clone(),
            None => bail!("no service-account public key belongs to {}", config.signing_key.display()),
        }
        Ok(tokens)
    }

    /// Audiences of this server.
    #[must_use]
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// A new token.
    ///
    /// # Errors
    /// When signing fails.
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let mut header = Header::new(self.signing_algorithm);
        header.typ = None;
        header.kid = Some(self.signing_id.clone());
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(TokenError::Invalid)
    }

    /// The issuer written into tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Checks signature, times, audiences and that everything the token is bound to still exists.
    ///
    /// # Errors
    /// Why the token is not accepted.
    pub fn check(
        &self,
        token: &str,
        audiences: &[String],
        lister: &dyn Lister,
    ) -> Result<(User, Vec<String>), TokenError> {
        let claims = self.verify(token)?;
        let shared: Vec<String> = claims.aud.iter().filter(|a| audiences.contains(a)).cloned().collect();
        if shared.is_empty() {
            return Err(TokenError::Audience { found: claims.aud, wanted: audiences.to_vec() });
        }
        let bound = &claims.bound;
        let account = &bound.serviceaccount;
        if claims.sub != format!("system:serviceaccount:{}:{}", bound.namespace, account.name) {
            return Err(TokenError::Gone("the account"));
        }
        let exists = |resource: &str, namespace: &str, wanted: &Reference| {
            lister
                .get("", resource, namespace, &wanted.name)
                .is_some_and(|object| wanted.uid.is_empty() || skep_api::meta::uid(&object) == wanted.uid)
        };
        if !exists("serviceaccounts", &bound.namespace, account) {
            return Err(TokenError::Gone("the account"));
        }
        if bound.secret.as_ref().is_some_and(|secret| !exists("secrets", &bound.namespace, secret)) {
            return Err(TokenError::Gone("the secret"));
        }
        if bound.pod.as_ref().is_some_and(|pod| !exists("pods", &bound.namespace, pod)) {
            return Err(TokenError::Gone("the pod"));
        }
        if bound.pod.is_none() && bound.node.as_ref().is_some_and(|node| !exists("nodes", "", node)) {
            return Err(TokenError::Gone("the node"));
        }
        Ok((user(&claims), shared))
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        let header = jsonwebtoken::decode_header(token).map_err(|_not_a_jwt| TokenError::Foreign)?;
        #[derive(Deserialize)]
        struct Issuer {
            #[serde(default)]
            iss: String,
        }
        let unchecked =
            jsonwebtoken::dangerous::insecure_decode::<Issuer>(token).map_err(|_no_claims| TokenError::Foreign)?;
        if unchecked.claims.iss != self.issuer {
            return Err(TokenError::Foreign);
        }
        let mut last = None;
        for key in self.keys.iter().filter(|key| header.kid.as_ref().is_none_or(|id| *id == key.id)) {
            let mut validation = Validation::new(key.algorithm);
            validation.leeway = 10;
            validation.validate_nbf = true;
            validation.validate_aud = false;
            validation.iss = Some(HashSet::from([self.issuer.clone()]));
            match jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(TokenError::Foreign, TokenError::Invalid))
    }

    /// The document at `/openid/v1/jwks`.
    #[must_use]
    pub fn jwks(&self) -> Value {
        json!({"keys": self.keys.iter().map(|key| key.jwk.clone()).collect::<Vec<_>>()})
    }

    /// The document at `/.well-known/openid-configuration`.
    #[must_use]
    pub fn discovery(&self) -> Value {
        let algorithms: std::collections::BTreeSet<String> =
            self.keys.iter().map(|key| format!("{:?}", key.algorithm)).collect();
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{}/openid/v1/jwks", self.issuer),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        })
    }
}

/// The user a service account is.
#[must_use]
pub fn account_user(namespace: &str, name: &str, uid: &str) -> User {
    let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    let mut user = User::authenticated(format!("system:serviceaccount:{namespace}:{name}"), groups);
    user.uid = uid.to_owned();
    user
}

fn user(claims: &Claims) -> User {
    let bound = &claims.bound;
    let mut user = account_user(&bound.namespace, &bound.serviceaccount.name, &bound.serviceaccount.uid);
    let mut extra = BTreeMap::new();
    let mut add = |name: &str, value: String| {
        if !value.is_empty() {
            extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value]);
        }
    };
    if !claims.jti.is_empty() {
        add("credential-id", format!("JTI={}", claims.jti));
    }
    for (kind, reference) in [("pod", &bound.pod), ("node", &bound.node)] {
        if let Some(reference) = reference {
            add(&format!("{kind}-name"), reference.name.clone());
            add(&format!("{kind}-uid"), reference.uid.clone());
        }
    }
    user.extra = extra;
    user
}

impl Key {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read(path)?;
        let parsed = pem::parse(&text).with_context(|| format!("{}: not PEM", path.display()))?;
        let (_, info) = SubjectPublicKeyInfo::from_der(parsed.contents())
            .with_context(|| format!("{}: not a public key (SubjectPublicKeyInfo)", path.display()))?;
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(parsed.contents()));
        let key = info.parsed().with_context(|| format!("{}: public key", path.display()))?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "every other algorithm is refused alike")]
        let (algorithm, decoding, jwk) = match key {
            PublicKey::EC(point) => {
                let (x, y) = match point.data() {
                    [4, coordinates @ ..] if coordinates.len() == 64 => coordinates.split_at(32),
                    _ => bail!("{}: only P-256 keys are supported", path.display()),
                };
                let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
                let decoding = DecodingKey::from_ec_components(&x, &y)?;
                (Algorithm::ES256, decoding, json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}))
            }
            PublicKey::RSA(rsa) => {
                let modulus: Vec<u8> = rsa.modulus.iter().copied().skip_while(|b| *b == 0).collect();
                let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(rsa.exponent));
                let decoding = DecodingKey::from_rsa_components(&n, &e)?;
                (Algorithm::RS256, decoding, json!({"kty": "RSA", "n": n, "e": e}))
            }
            _ => bail!("{}: neither an ECDSA nor an RSA key", path.display()),
        };
        let mut jwk = jwk;
        jwk["use"] = json!("sig");
        jwk["kid"] = json!(id);
        jwk["alg"] = json!(format!("{algorithm:?}"));
        Ok(Self { id, algorithm, decoding, jwk })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests;
