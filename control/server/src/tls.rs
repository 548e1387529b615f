//! Certificates for both directions: what the server shows and accepts, and how it calls kubelets. From the configured files; to the
//! listener and the kubelet client.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Config, KubeletClientConfig};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// TLS 1.2 and up; a client certificate is optional, and must come from the client authority.
///
/// # Errors
/// When a file cannot be read, or key and certificate do not belong together.
pub fn server(config: &Config) -> anyhow::Result<ServerConfig> {
    let provider = provider();
    let roots = Arc::new(roots(&config.client_ca)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .with_context(|| format!("client authority {}", config.client_ca.display()))?;
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(&config.serving_cert)?, key(&config.serving_key)?)
        .with_context(|| format!("serving certificate {}", config.serving_cert.display()))?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

/// The server as a client of kubelets: HTTP/1.1, because streams are upgraded.
///
/// # Errors
/// When a file cannot be read, or key and certificate do not belong together.
pub fn kubelet_client(config: &KubeletClientConfig) -> anyhow::Result<ClientConfig> {
    let mut tls = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .context("TLS versions")?
        .with_root_certificates(roots(&config.ca)?)
        .with_client_auth_cert(chain(&config.cert)?, key(&config.key)?)
        .with_context(|| format!("kubelet client certificate {}", config.cert.display()))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_file_iter(path)
        .with_context(|| format!("read {}", path.display()))?
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{}: not PEM", path.display()))?;
    if certificates.is_empty() {
        bail!("{}: no certificate in it", path.display());
    }
    Ok(certificates)
}

fn key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).with_context(|| format!("{}: no private key in it", path.display()))
}

fn roots(path: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).with_context(|| format!("{}: authority", path.display()))?;
    }
    Ok(roots)
}
