//! `CertificateSigningRequest`: a request stays as it was made; approval and certificate come by subresources; pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::pod_validation::{Errors, integer, items, text, words};
use crate::field::{FieldError, Path};
use crate::meta;
use crate::name;
use crate::strategy::{Part, Strategy};

const SHORTEST_SECONDS: i64 = 600;

/// What a key may be for.
const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

#[derive(Debug)]
pub(super) struct CertificateSigningRequest;

impl Strategy for CertificateSigningRequest {
    fn has_status(&self) -> bool {
        true
    }

    fn field_labels(&self) -> &'static [&'static str] {
        &["spec.signerName"]
    }

    fn prepare_for_update(&self, part: Part<'_>, new: &mut Value, old: &Value) {
        let keep = |new: &mut Value, field: &str| {
            let before = old.get(field).cloned().unwrap_or_else(|| json!({}));
            meta::as_map_mut(new).insert(field.to_owned(), before);
        };
        match part {
            Part::Whole => {
                keep(new, "spec");
                keep(new, "status");
            }
            Part::Other("approval") => {
                let conditions = new["status"]["conditions"].clone();
                keep(new, "spec");
                keep(new, "status");
                let status = meta::map_mut(new, "status");
                status.remove("conditions");
                if !conditions.is_null() {
                    status.insert("conditions".to_owned(), conditions);
                }
            }
            // Only approval may change what was decided.
            Part::Status => keep_decisions(new, old),
            Part::Other(_) => {}
        }
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let request = text(spec, "request").and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        if !has_block(&request, "CERTIFICATE REQUEST") {
            let detail = "PEM block type must be CERTIFICATE REQUEST";
            errors.push(FieldError::invalid(&path.child("request"), &spec["request"], detail));
        }
        let usages = items(spec, "usages");
        if usages.is_empty() {
            errors.push(FieldError::required(&path.child("usages"), ""));
        }
        for (index, usage) in usages.iter().enumerate() {
            let at = path.child("usages").index(index);
            if !usage.as_str().is_some_and(|usage| USAGES.contains(&usage)) {
                errors.push(FieldError::not_supported(&at, usage, USAGES));
            }
            if usages.iter().take(index).any(|earlier| earlier == usage) {
                errors.push(FieldError::duplicate(&at, usage));
            }
        }
        match text(spec, "signerName").unwrap_or_default() {
            "" => errors.push(FieldError::required(&path.child("signerName"), "")),
            "kubernetes.io/legacy-unknown" => {
                let detail = "the legacy signerName is not allowed via this API version";
                let at = path.child("signerName");
                errors.push(FieldError::invalid_text(&at, "kubernetes.io/legacy-unknown", detail));
            }
            signer => signer_name(signer, &path.child("signerName"), &mut errors),
        }
        if let Some(seconds) = integer(spec, "expirationSeconds")
            && seconds < SHORTEST_SECONDS
        {
            let detail = "may not specify a duration less than 600 seconds (10 minutes)";
            errors.push(FieldError::invalid_number(&path.child("expirationSeconds"), seconds, detail));
        }
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        if part == Part::Whole {
            return errors;
        }
        conditions(part, new, old, &mut errors);
        let (certificate, before) = (&new["status"]["certificate"], &old["status"]["certificate"]);
        let path = Path::new("status").child("certificate");
        if certificate != before && !before.is_null() {
            errors.push(FieldError::forbidden(&path, "updates may not modify existing certificate content"));
        }
        if !certificate.is_null() && certificate != before {
            let bytes = certificate.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
            if !has_block(&bytes, "CERTIFICATE") {
                let detail = "must contain at least one CERTIFICATE PEM block";
                errors.push(FieldError::invalid_text(&path, "<certificate data>", detail));
            }
        }
        errors
    }
}

/// Keeps the old Approved and Denied conditions where the new object has as many of them.
fn keep_decisions(new: &mut Value, old: &Value) {
    for kind in ["Approved", "Denied"] {
        let is_kind = |condition: &&Value| condition["type"] == kind;
        let before: Vec<Value> = items(&old["status"], "conditions").iter().filter(is_kind).cloned().collect();
        if items(&new["status"], "conditions").iter().filter(is_kind).count() != before.len() {
            continue;
        }
        let now = new.pointer_mut("/status/conditions").and_then(Value::as_array_mut).into_iter().flatten();
        for (condition, before) in now.filter(|condition| condition["type"] == kind).zip(before) {
            *condition = before;
        }
    }
}

fn has_block(pem: &[u8], kind: &str) -> bool {
    String::from_utf8_lossy(pem).contains(&format!("-----BEGIN {kind}-----"))
}

fn signer_name(signer: &str, path: &Path, errors: &mut Errors) {
    let Some((domain, rest)) = signer.split_once('/') else {
        let detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
        errors.push(FieldError::invalid_text(path, signer, detail));
        return;
    };
    words(path, domain, name::dns_subdomain(domain, false), errors);
    if domain.split('.').count() < 2 {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(FieldError::invalid_text(path, domain, detail));
    }
    words(path, rest, name::dns_subdomain(rest, false), errors);
}

fn conditions(part: Part<'_>, new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("conditions");
    let kinds = |object: &Value| -> Vec<String> {
        let conditions = items(&object["status"], "conditions").iter();
        conditions.filter_map(|condition| text(condition, "type")).map(str::to_owned).collect()
    };
    let (now, before) = (kinds(new), kinds(old));
    for (index, condition) in items(&new["status"], "conditions").iter().enumerate() {
        let at = path.index(index);
        let kind = text(condition, "type").unwrap_or_default();
        let status = text(condition, "status").unwrap_or_default();
        if kind.is_empty() {
            errors.push(FieldError::required(&at.child("type"), ""));
        }
        let fixed = matches!(kind, "Approved" | "Denied" | "Failed");
        match status {
            "" => errors.push(FieldError::required(&at.child("status"), "")),
            "True" => {}
            "False" | "Unknown" if fixed => {
                errors.push(FieldError::not_supported(&at.child("status"), &json!(status), &["True"]));
            }
            "False" | "Unknown" => {}
            _ => {
                let supported = &["False", "True", "Unknown"];
                errors.push(FieldError::not_supported(&at.child("status"), &json!(status), supported));
            }
        }
        if now.iter().take(index).any(|earlier| earlier == kind) {
            errors.push(FieldError::duplicate(&at.child("type"), &json!(kind)));
        }
    }
    let has = |kind: &str| now.iter().any(|found| found == kind);
    if has("Approved") && has("Denied") {
        let detail = "Approved and Denied conditions are mutually exclusive";
        errors.push(FieldError::invalid_text(&path, "Denied", detail));
    }
    for kind in ["Approved", "Denied"] {
        if part != Part::Other("approval") && has(kind) && !before.iter().any(|found| found == kind) {
            let detail = format!("updates may not add a condition of type \"{kind}\"");
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
    for kind in ["Approved", "Denied", "Failed"] {
        if before.iter().any(|found| found == kind) && !has(kind) {
            let detail = format!("updates may not remove a condition of type \"{kind}\"");
            errors.push(FieldError::forbidden(&path, detail));
        }
    }
}
