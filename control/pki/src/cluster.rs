//! Every key and certificate of a control plane, kept under one directory by kubeadm's names.
//!
//! Made when missing, made anew when names changed or a third of the life is left. To cli (`skep server`, `skep up`).

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;

use crate::authority::Authority;
use crate::certificate::{KeyedCertificate, Request, Usage};
use crate::service_account::ServiceAccountKey;
use crate::{PkiError, secret_file};

/// How the API server is reached.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// DNS names besides the ones every cluster has.
    pub dns: Vec<String>,
    /// Addresses: of the machine, and the first of every Service range.
    pub addresses: Vec<IpAddr>,
    /// The cluster's DNS domain, usually `cluster.local`.
    pub domain: String,
}

/// The files of a control plane.
#[derive(Debug)]
pub struct ClusterPki {
    directory: PathBuf,
    ca: Authority,
}

impl ClusterPki {
    /// Opens the directory, and makes what is missing or out of date in it.
    ///
    /// # Errors
    /// When a file cannot be read, written or understood.
    pub fn ensure(directory: &Path, names: &Names) -> Result<Self, PkiError> {
        let pki = Self { ca: authority(directory, "ca", "kubernetes")?, directory: directory.to_owned() };
        let front_proxy = authority(directory, "front-proxy-ca", "front-proxy-ca")?;
        let mut dns = vec![
            "localhost".to_owned(),
            "kubernetes".to_owned(),
            "kubernetes.default".to_owned(),
            "kubernetes.default.svc".to_owned(),
            format!("kubernetes.default.svc.{}", names.domain),
        ];
        dns.extend(names.dns.iter().filter(|d| !dns.contains(d)).cloned().collect::<Vec<_>>());
        pki.ensure_leaf("apiserver", &pki.ca, &Request::server("kube-apiserver", dns, names.addresses.clone()))?;
        let kubelet_client = Request::client("kube-apiserver-kubelet-client", Some("kubeadm:cluster-admins"));
        pki.ensure_leaf("apiserver-kubelet-client", &pki.ca, &kubelet_client)?;
        pki.ensure_leaf("front-proxy-client", &front_proxy, &Request::client("front-proxy-client", None))?;
        pki.ensure_leaf("admin", &pki.ca, &Request::client("kubernetes-admin", Some("system:masters")))?;
        if secret_file::read(&pki.path("sa.key"))?.is_none() {
            let key = ServiceAccountKey::generate()?;
            secret_file::write(&pki.path("sa.pub"), &key.public_pem, 0o644)?;
            secret_file::write(&pki.path("sa.key"), &key.private_pem, 0o600)?;
        }
        Ok(pki)
    }

    /// A file of the directory: `ca.crt`, `apiserver.key`, `sa.pub`, …
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// The cluster's authority.
    #[must_use]
    pub fn ca(&self) -> &Authority {
        &self.ca
    }

    /// The administrator's certificate (group `system:masters`).
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn admin(&self) -> Result<KeyedCertificate, PkiError> {
        self.leaf("admin")?.ok_or_else(|| PkiError::File {
            action: "read",
            path: self.path("admin.crt").display().to_string(),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    /// A kubelet's certificate: client of the API server as `system:node:NAME`, and server of its own port.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn kubelet(&self, node: &str, addresses: Vec<IpAddr>) -> Result<KeyedCertificate, PkiError> {
        self.ca.issue(&Request {
            dns_names: vec![node.to_owned()],
            addresses,
            usage: Usage::Both,
            ..Request::client(&format!("system:node:{node}"), Some("system:nodes"))
        })
    }

    /// Makes what an etcd of the cluster's own needs: `etcd/ca`, `etcd/server` and the API server's `apiserver-etcd-client`. Its authority is apart, so that no
    /// other certificate of the cluster opens it.
    ///
    /// # Errors
    /// When a file cannot be read, written or understood.
    pub fn ensure_etcd(&self, addresses: Vec<IpAddr>) -> Result<(), PkiError> {
        let ca = authority(&self.directory, "etcd/ca", "etcd-ca")?;
        // Members call each other, and themselves, with the certificate they serve with.
        let server = Request { usage: Usage::Both, ..Request::server("etcd", vec!["localhost".to_owned()], addresses) };
        self.ensure_leaf("etcd/server", &ca, &server)?;
        self.ensure_leaf("apiserver-etcd-client", &ca, &Request::client("kube-apiserver-etcd-client", None))
    }

    fn leaf(&self, name: &str) -> Result<Option<KeyedCertificate>, PkiError> {
        let cert_pem = secret_file::read(&self.path(&format!("{name}.crt")))?;
        let key_pem = secret_file::read(&self.path(&format!("{name}.key")))?;
        Ok(cert_pem.zip(key_pem).map(|(cert_pem, key_pem)| KeyedCertificate { cert_pem, key_pem }))
    }

    fn ensure_leaf(&self, name: &str, ca: &Authority, request: &Request) -> Result<(), PkiError> {
        let now = OffsetDateTime::now_utc();
        if self.leaf(name)?.is_some_and(|leaf| request.is_met_by(&leaf.cert_pem, now)) {
            return Ok(());
        }
        let leaf = ca.issue(request)?;
        // The key goes first: a crash between the two leaves a certificate that does not match, which the next start replaces.
        secret_file::write(&self.path(&format!("{name}.crt")), "", 0o644)?;
        secret_file::write(&self.path(&format!("{name}.key")), &leaf.key_pem, 0o600)?;
        secret_file::write(&self.path(&format!("{name}.crt")), &leaf.cert_pem, 0o644)
    }
}

fn authority(directory: &Path, name: &str, common_name: &str) -> Result<Authority, PkiError> {
    let (cert, key) = (directory.join(format!("{name}.crt")), directory.join(format!("{name}.key")));
    if let (Some(cert_pem), Some(key_pem)) = (secret_file::read(&cert)?, secret_file::read(&key)?) {
        return Authority::from_pem(&cert_pem, &key_pem)
            .map_err(|source| PkiError::Parse { path: cert.display().to_string(), source });
    }
    let authority = Authority::generate(common_name)?;
    secret_file::write(&key, &authority.key_pem(), 0o600)?;
    secret_file::write(&cert, authority.cert_pem(), 0o644)?;
    Ok(authority)
}

#[cfg(test)]
mod tests;
