//! Ingress and `IngressClass`; pure.

use super::*;

#[derive(Debug)]
pub(in crate::kinds) struct Ingress;

impl Strategy for Ingress {
    fn has_status(&self) -> bool {
        true
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let annotated = meta::annotations(object).any(|(key, _)| key == "kubernetes.io/ingress.class");
        if annotated && !spec["ingressClassName"].is_null() {
            let at = Path::new("annotations").child("kubernetes.io/ingress.class");
            let detail = "can not be set when the class field is also set";
            errors.push(FieldError::invalid(
                &at,
                &object["metadata"]["annotations"]["kubernetes.io/ingress.class"],
                detail,
            ));
        }
        ingress_spec(spec, &path, &mut errors);
        errors
    }

    fn validate_update(&self, part: Part<'_>, new: &Value, _old: &Value) -> Vec<FieldError> {
        match part {
            Part::Status => {
                let mut errors = Errors::new();
                let path = Path::new("status").child("loadBalancer");
                load_balancer_status(&new["status"]["loadBalancer"], &path, &mut errors);
                errors
            }
            Part::Whole | Part::Other(_) => {
                // A class annotation beside the field is tolerated on objects that have it.
                let mut errors = Errors::new();
                ingress_spec(&new["spec"], &Path::new("spec"), &mut errors);
                errors
            }
        }
    }
}

fn ingress_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let rules = items(spec, "rules");
    if rules.is_empty() && spec["defaultBackend"].is_null() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(FieldError::invalid_shown(path, go_list(rules), detail));
    }
    if !spec["defaultBackend"].is_null() {
        backend(&spec["defaultBackend"], &path.child("defaultBackend"), errors);
    }
    for (index, rule) in rules.iter().enumerate() {
        let at = path.child("rules").index(index);
        if let Some(host) = text(rule, "host").filter(|host| !host.is_empty()) {
            host_name(host, &at.child("host"), errors);
        }
        let http = &rule["http"];
        if !http.is_null() {
            let paths = items(http, "paths");
            let at = at.child("http").child("paths");
            if paths.is_empty() {
                errors.push(FieldError::required(&at, ""));
            }
            for (number, route) in paths.iter().enumerate() {
                http_path(route, &at.index(number), errors);
            }
        }
    }
    for (index, tls) in items(spec, "tls").iter().enumerate() {
        let at = path.child("tls").index(index);
        for (number, host) in texts(tls, "hosts").into_iter().enumerate() {
            if host.starts_with('*') {
                words(&at.child("hosts").index(number), host, name::wildcard_dns_subdomain(host), errors);
            } else {
                words(&at.child("hosts").index(number), host, name::dns_subdomain(host, false), errors);
            }
        }
        if let Some(secret) = text(tls, "secretName").filter(|secret| !secret.is_empty()) {
            words(&at.child("secretName"), secret, name::dns_subdomain(secret, false), errors);
        }
    }
    if let Some(class) = text(spec, "ingressClassName") {
        words(&path.child("ingressClassName"), class, name::dns_subdomain(class, false), errors);
    }
}

fn go_list(rules: &[Value]) -> String {
    if rules.is_empty() { "null".to_owned() } else { Value::from(rules.to_vec()).to_string() }
}

fn host_name(host: &str, path: &Path, errors: &mut Errors) {
    if host.parse::<IpAddr>().is_ok() {
        errors.push(FieldError::invalid_text(path, host, "must be a DNS name, not an IP address"));
    }
    let broken = if host.contains('*') { name::wildcard_dns_subdomain(host) } else { name::dns_subdomain(host, false) };
    words(path, host, broken, errors);
}

fn http_path(route: &Value, path: &Path, errors: &mut Errors) {
    let kind = text(route, "pathType");
    let value = text(route, "path").unwrap_or_default();
    let at = path.child("path");
    match kind {
        None => errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified")),
        Some("Exact" | "Prefix") => {
            if !value.starts_with('/') {
                errors.push(FieldError::invalid_text(&at, value, "must be an absolute path"));
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"].into_iter().filter(|part| value.contains(part)) {
                errors.push(FieldError::invalid_text(&at, value, format!("must not contain '{part}'")));
            }
            for end in ["/..", "/."].into_iter().filter(|end| value.ends_with(end)) {
                errors.push(FieldError::invalid_text(&at, value, format!("cannot end with '{end}'")));
            }
        }
        Some("ImplementationSpecific") => {
            if !value.is_empty() && !value.starts_with('/') {
                errors.push(FieldError::invalid_text(&at, value, "must be an absolute path"));
            }
        }
        Some(_) => {
            let supported = &["Exact", "Prefix", "ImplementationSpecific"];
            errors.push(FieldError::not_supported(&path.child("pathType"), &route["pathType"], supported));
        }
    }
    backend(&route["backend"], &path.child("backend"), errors);
}

fn backend(backend: &Value, path: &Path, errors: &mut Errors) {
    let (service, resource) = (&backend["service"], &backend["resource"]);
    match (service.is_null(), resource.is_null()) {
        (false, false) => {
            let detail = "cannot set both resource and service backends";
            errors.push(FieldError::invalid_text(path, "", detail));
        }
        (true, true) => errors.push(FieldError::required(path, "resource or service backend is required")),
        (true, false) => {
            for field in ["kind", "name"] {
                let at = path.child("resource");
                required(resource, field, &at, errors);
            }
        }
        (false, true) => {
            let at = path.child("service");
            if required(service, "name", &at, errors) {
                let name = text(service, "name").unwrap_or_default();
                words(&at.child("name"), name, name::dns1035_label(name, false), errors);
            }
            let port = &service["port"];
            let (number, name) = (integer(port, "number").unwrap_or(0), text(port, "name").unwrap_or_default());
            if name.is_empty() && number == 0 {
                errors.push(FieldError::required(&at, "port name or number is required"));
            } else if !name.is_empty() && number != 0 {
                let detail = "cannot set both port name & port number";
                errors.push(FieldError::invalid_text(&at, "", detail));
            } else if name.is_empty() {
                port_number(number, &at.child("port").child("number"), errors);
            } else {
                words(&at.child("port").child("name"), name, port_name(name), errors);
            }
        }
    }
}

#[derive(Debug)]
pub(in crate::kinds) struct IngressClass;

impl Strategy for IngressClass {
    fn defaults(&self, object: &mut Value) {
        let Some(Value::Object(spec)) = object.get_mut("spec") else { return };
        object_at(spec, "parameters", |parameters| absent(parameters, "scope", "Cluster"));
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate_create(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let (spec, path) = (&object["spec"], Path::new("spec"));
        let controller = text(spec, "controller").unwrap_or_default();
        if controller.len() > 250 {
            errors.push(FieldError::too_long(&path.child("controller"), 250));
        }
        domain_prefixed_path(controller, &path.child("controller"), &mut errors);
        let (parameters, at) = (&spec["parameters"], path.child("parameters"));
        if !parameters.is_null() {
            required(parameters, "kind", &at, &mut errors);
            required(parameters, "name", &at, &mut errors);
            let namespace = text(parameters, "namespace").unwrap_or_default();
            match text(parameters, "scope").unwrap_or_default() {
                "Namespace" if namespace.is_empty() => {
                    let detail = "`parameters.scope` is set to 'Namespace'";
                    errors.push(FieldError::required(&at.child("namespace"), detail));
                }
                "Cluster" if !namespace.is_empty() => {
                    let detail = "`parameters.scope` is set to 'Cluster'";
                    errors.push(FieldError::forbidden(&at.child("namespace"), detail));
                }
                "Namespace" | "Cluster" => {}
                _ => one_of(parameters, "scope", &["Cluster", "Namespace"], false, &at, &mut errors),
            }
        }
        errors
    }

    fn validate_update(&self, _part: Part<'_>, new: &Value, old: &Value) -> Vec<FieldError> {
        let mut errors = Errors::new();
        let path = Path::new("spec").child("controller");
        immutable(&new["spec"]["controller"], &old["spec"]["controller"], &path, &mut errors);
        errors.extend(self.validate_create(new));
        errors
    }
}
