//! Who makes a request: client certificate, bearer token, or nobody; then whom they impersonate. From the listener; to the other filters.

pub mod impersonate;

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::admission::Lister;
use crate::identity::User;
use crate::status::ApiError;
use crate::tokens::Tokens;

/// Where a request came in.
#[derive(Clone, Debug)]
pub enum Connection {
    /// Over TCP and TLS, with the user of the verified client certificate.
    Tls {
        /// The certificate's user.
        certificate: Option<Arc<User>>,
        /// The other end.
        peer: std::net::SocketAddr,
    },
    /// From a component in this process.
    Local(Arc<User>),
}

/// The user of a verified client certificate: common name and organizations.
#[must_use]
pub fn certificate_user(der: &[u8]) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok().filter(|name| !name.is_empty())?;
    let groups = subject.iter_organization().filter_map(|o| o.as_str().ok()).map(str::to_owned);
    let mut user = User::authenticated(name, groups.collect::<Vec<_>>());
    let digest: String = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
    user.extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={digest}")]);
    Some(user)
}

/// Finds out who makes a request.
///
/// # Errors
/// 401 when credentials were shown and are not good.
pub fn authenticate(
    connection: &Connection,
    headers: &HeaderMap,
    tokens: &Tokens,
    lister: &dyn Lister,
) -> Result<User, ApiError> {
    let certificate = match connection {
        Connection::Local(user) => return Ok(User::clone(user)),
        Connection::Tls { certificate, .. } => certificate,
    };
    if let Some(user) = certificate {
        return Ok(User::clone(user));
    }
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(User::anonymous()) };
    let text = header.to_str().unwrap_or_default().trim();
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => token.trim(),
        // Other schemes are not credentials we know.
        _ => return Ok(User::anonymous()),
    };
    match tokens.check(token, tokens.audiences(), lister) {
        Ok((user, _)) => Ok(user),
        Err(error) => {
            tracing::debug!(error = &error as &dyn std::error::Error, "bearer token refused");
            Err(ApiError::unauthorized())
        }
    }
}
