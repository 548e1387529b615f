//! A certificate authority: made once, kept on disk, signs everything else. To [`crate::certificate`].

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use time::{Duration, OffsetDateTime};

use crate::PkiError;
use crate::certificate::{KeyedCertificate, Request};

/// Authorities live ten years, as kubeadm's do.
const LIFETIME: Duration = Duration::days(3650);
/// Clocks of machines differ: certificates are valid from a little before they are made.
pub(crate) const BACKDATE: Duration = Duration::minutes(5);

/// A CA that can sign.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    cert_pem: String,
}

impl Authority {
    /// Makes a new self-signed authority with an ECDSA P-256 key.
    ///
    /// # Errors
    /// When the key or the certificate cannot be made.
    pub fn generate(common_name: &str) -> Result<Self, PkiError> {
        let issue = |source| PkiError::Issue { subject: common_name.to_owned(), source };
        let key = KeyPair::generate().map_err(issue)?;
        let now = OffsetDateTime::now_utc();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = now - BACKDATE;
        params.not_after = now + LIFETIME;
        let cert = params.self_signed(&key).map_err(issue)?;
        Ok(Self { cert_pem: cert.pem(), issuer: Issuer::new(params, key) })
    }

    /// Reads an authority from its PEM texts.
    ///
    /// # Errors
    /// The library's error when either text is not what it should be.
    pub fn from_pem(cert_pem: &str, key_pem: &str) -> Result<Self, rcgen::Error> {
        let issuer = Issuer::from_ca_cert_pem(cert_pem, KeyPair::from_pem(key_pem)?)?;
        Ok(Self { issuer, cert_pem: cert_pem.to_owned() })
    }

    /// The certificate, for trust bundles.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key: for the authority's own file only.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Makes a key and a certificate for it.
    ///
    /// # Errors
    /// When a name is not valid in a certificate or signing fails.
    pub fn issue(&self, request: &Request) -> Result<KeyedCertificate, PkiError> {
        let issue = |source| PkiError::Issue { subject: request.common_name.clone(), source };
        let key = KeyPair::generate().map_err(issue)?;
        let params = request.params(OffsetDateTime::now_utc()).map_err(issue)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(issue)?;
        Ok(KeyedCertificate { cert_pem: cert.pem(), key_pem: key.serialize_pem() })
    }
}
