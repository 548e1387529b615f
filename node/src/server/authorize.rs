//! Who may ask the kubelet for what: client certificates and bearer tokens, then the API server's own rules (`TokenReview`,
//! `SubjectAccessReview`); from [`server`](super); to the API. Performs IO.

use http::{HeaderMap, Method};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::kubelet::Kubelet;

/// Group whose members may do everything.
const MASTERS: &str = "system:masters";
/// User the API server calls kubelets as.
const API_SERVER: &str = "kube-apiserver-kubelet-client";

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// User name.
    pub user: String,
    /// Groups.
    pub groups: Vec<String>,
}

impl Caller {
    /// Out of a verified client certificate: common name and organizations.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate.as_ref()).ok()?;
        let subject = certificate.subject();
        let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok().map(str::to_owned)).collect();
        Some(Self { user, groups })
    }

    fn is_trusted(&self) -> bool {
        self.user == API_SERVER || self.groups.iter().any(|group| group == MASTERS || group == API_SERVER)
    }
}

/// Who calls: by certificate, or by a bearer token that the API server knows. `None` for nobody known.
pub async fn authenticate(kubelet: &Kubelet, caller: Option<Caller>, headers: &HeaderMap) -> Option<Caller> {
    if caller.is_some() {
        return caller;
    }
    let token = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?.to_owned();
    let reviews: Api<TokenReview> = Api::all(kubelet.client.clone()?);
    let review =
        TokenReview { spec: TokenReviewSpec { token: Some(token), audiences: None }, ..TokenReview::default() };
    let status = match reviews.create(&PostParams::default(), &review).await {
        Ok(review) => review.status?,
        Err(error) => {
            tracing::warn!(%error, "review a bearer token");
            return None;
        }
    };
    let user = status.user.filter(|_| status.authenticated == Some(true))?;
    Some(Caller { user: user.username?, groups: user.groups.unwrap_or_default() })
}

/// Lets the caller pass, or says why not.
///
/// # Errors
/// The caller may not do that.
pub async fn authorize(kubelet: &Kubelet, caller: &Caller, method: &Method, path: &str) -> Result<(), String> {
    if caller.is_trusted() {
        return Ok(());
    }
    let (verb, subresource) = attributes(method, path);
    let name = &kubelet.config.node_name;
    let denied =
        format!("Forbidden (user={}, verb={verb}, resource=nodes, subresource(s)=[{subresource}])", caller.user);
    let Some(client) = kubelet.client.clone() else { return Err(denied) };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(caller.user.clone()),
            groups: Some(caller.groups.clone()),
            resource_attributes: Some(ResourceAttributes {
                verb: Some(verb.to_owned()),
                version: Some("v1".to_owned()),
                resource: Some("nodes".to_owned()),
                subresource: Some(subresource.to_owned()),
                name: Some(name.clone()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    match reviews.create(&PostParams::default(), &review).await {
        Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => Ok(()),
        Ok(_) => Err(denied),
        Err(error) => Err(format!("{denied}: {error}")),
    }
}

/// Verb and subresource of `nodes` that a request needs, as upstream's kubelet asks for them.
fn attributes(method: &Method, path: &str) -> (&'static str, &'static str) {
    let verb = match *method {
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    };
    let subresource = match path.split('/').nth(1) {
        Some("stats") => "stats",
        Some("metrics") => "metrics",
        Some("logs") => "log",
        Some("pods") => "pods",
        Some("healthz") => "healthz",
        Some("configz") => "configz",
        _ => "proxy",
    };
    (verb, subresource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_and_masters_are_trusted() {
        let caller = |user: &str, group: &str| Caller { user: user.to_owned(), groups: vec![group.to_owned()] };
        assert!(caller("kube-apiserver-kubelet-client", "x").is_trusted());
        assert!(caller("admin", "system:masters").is_trusted());
        assert!(!caller("system:node:n1", "system:nodes").is_trusted());
    }

    #[test]
    fn requests_ask_for_node_subresources() {
        assert_eq!(attributes(&Method::GET, "/metrics/resource"), ("get", "metrics"));
        assert_eq!(attributes(&Method::POST, "/exec/a/b/c"), ("create", "proxy"));
        assert_eq!(attributes(&Method::GET, "/stats/summary"), ("get", "stats"));
    }
}
