//! `CertificateApproval`, `CertificateSigning`, `CertificateSubjectRestriction`: who may approve and sign, and for whom. Pure over the lister.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

use super::{Attributes, Lister, Operation, Rejection};
use crate::json_field::{map_mut, text};

const GROUP: &str = "certificates.k8s.io";
const REQUESTS: &str = "certificatesigningrequests";
/// Signer of client certificates that the API server trusts.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// A request speaks for whoever makes it, whatever it says itself.
pub(super) fn mutate(attributes: &Attributes<'_>, request: &mut Value) {
    if attributes.operation != Operation::Create || !attributes.is(GROUP, REQUESTS) {
        return;
    }
    let user = attributes.user;
    let Some(spec) = map_mut(request, "spec") else { return };
    let facts = [
        ("username", json!(user.name), user.name.is_empty()),
        ("uid", json!(user.uid), user.uid.is_empty()),
        ("groups", json!(user.groups), user.groups.is_empty()),
        ("extra", json!(user.extra), user.extra.is_empty()),
    ];
    for (field, value, empty) in facts {
        spec.remove(field);
        if !empty {
            spec.insert(field.to_owned(), value);
        }
    }
}

pub(super) fn validate(
    lister: &dyn Lister,
    attributes: &Attributes<'_>,
    request: &Value,
    old: Option<&Value>,
) -> Result<(), Rejection> {
    let signer = text(request, "/spec/signerName");
    if attributes.operation == Operation::Create && attributes.is(GROUP, REQUESTS) {
        return restrict_subject(request, signer);
    }
    let Some(old) = old else { return Ok(()) };
    let signer = text(old, "/spec/signerName");
    if attributes.operation != Operation::Update {
        return Ok(());
    }
    if attributes.is_part(GROUP, REQUESTS, "approval") && !authorized(lister, attributes, "approve", signer) {
        return Err(Rejection::forbidden(format!("user not permitted to approve requests with signerName {signer:?}")));
    }
    if attributes.is_part(GROUP, REQUESTS, "status") {
        let signs = request.pointer("/status/certificate") != old.pointer("/status/certificate")
            || request.pointer("/status/conditions") != old.pointer("/status/conditions");
        if signs && !authorized(lister, attributes, "sign", signer) {
            return Err(Rejection::forbidden(format!(
                "user not permitted to sign requests with signerName {signer:?}"
            )));
        }
    }
    Ok(())
}

/// Rights are on the signer's name, or on all signers of its domain.
fn authorized(lister: &dyn Lister, attributes: &Attributes<'_>, verb: &str, signer: &str) -> bool {
    let allowed = |name: &str| lister.authorized(attributes.user, verb, GROUP, "signers", name);
    let domain = signer.split_once('/').map_or(signer, |(domain, _)| domain);
    allowed(signer) || allowed(&format!("{domain}/*"))
}

fn restrict_subject(request: &Value, signer: &str) -> Result<(), Rejection> {
    if signer != CLIENT_SIGNER {
        return Ok(());
    }
    let organizations = organizations(text(request, "/spec/request"))
        .ok_or_else(|| Rejection::forbidden("unable to parse the certificate request"))?;
    if organizations.iter().any(|organization| organization == "system:masters") {
        return Err(Rejection::forbidden(format!(
            "use of {CLIENT_SIGNER} signer with system:masters group is not allowed"
        )));
    }
    Ok(())
}

/// Organizations of the subject of a base64 PEM request; none when it cannot be read.
fn organizations(request: &str) -> Option<Vec<String>> {
    let pem = STANDARD.decode(request).ok()?;
    let (_, block) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
    let (_, parsed) = X509CertificationRequest::from_der(&block.contents).ok()?;
    let subject = &parsed.certification_request_info.subject;
    Some(subject.iter_organization().filter_map(|value| value.as_str().ok()).map(str::to_owned).collect())
}
