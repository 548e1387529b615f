//! What a certificate is asked to say, and whether one on disk still says it. From [`crate::cluster`]; to [`crate::authority`]. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::authority::BACKDATE;

/// Who a certificate is for. In client certificates Kubernetes reads the user from the common name and the group from the organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Common name.
    pub common_name: String,
    /// Organization: rcgen writes one at most, and no component of a cluster needs more.
    pub organization: Option<String>,
    /// DNS names a server is reached by.
    pub dns_names: Vec<String>,
    /// Addresses a server is reached by.
    pub addresses: Vec<IpAddr>,
    /// For which side of a connection it is good.
    pub usage: Usage,
    /// How long it is good.
    pub lifetime: std::time::Duration,
}

/// The side of a connection that shows the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// Clients.
    Client,
    /// Servers.
    Server,
    /// Both, as kubelets do.
    Both,
}

/// A certificate and its private key, as PEM.
#[derive(Clone, Debug)]
pub struct KeyedCertificate {
    /// The certificate.
    pub cert_pem: String,
    /// The private key, PKCS #8.
    pub key_pem: String,
}

/// One year, as kubeadm's; renewed by [`crate::cluster`] when a third of it is left.
pub const LEAF_LIFETIME: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);

impl Request {
    /// A client certificate for a user, in a group.
    #[must_use]
    pub fn client(user: &str, group: Option<&str>) -> Self {
        Self {
            common_name: user.to_owned(),
            organization: group.map(str::to_owned),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            usage: Usage::Client,
            lifetime: LEAF_LIFETIME,
        }
    }

    /// A serving certificate for names and addresses.
    #[must_use]
    pub fn server(common_name: &str, dns_names: Vec<String>, addresses: Vec<IpAddr>) -> Self {
        Self { dns_names, addresses, usage: Usage::Server, ..Self::client(common_name, None) }
    }

    pub(crate) fn params(&self, now: OffsetDateTime) -> Result<CertificateParams, rcgen::Error> {
        let mut params = CertificateParams::new(self.dns_names.clone())?;
        params.subject_alt_names.extend(self.addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        if let Some(organization) = &self.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages = match self.usage {
            Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Usage::Both => vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth],
        };
        params.use_authority_key_identifier_extension = true;
        params.not_before = now - BACKDATE;
        params.not_after = now + Duration::try_from(self.lifetime).unwrap_or(Duration::days(365));
        Ok(params)
    }

    /// Whether the certificate in `cert_pem` still serves: right names, and more than a third of its life left.
    #[must_use]
    pub fn is_met_by(&self, cert_pem: &str, now: OffsetDateTime) -> bool {
        let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(cert_pem.as_bytes()) else { return false };
        let Ok((_, cert)) = X509Certificate::from_der(&pem.contents) else { return false };
        let left = cert.validity().not_after.timestamp() - now.unix_timestamp();
        let whole = cert.validity().not_after.timestamp() - cert.validity().not_before.timestamp();
        if left < whole / 3 || cert.validity().not_before.timestamp() > now.unix_timestamp() {
            return false;
        }
        let mut names = BTreeSet::new();
        let mut addresses = BTreeSet::new();
        if let Ok(Some(san)) = cert.subject_alternative_name() {
            for name in &san.value.general_names {
                #[expect(clippy::wildcard_enum_match_arm, reason = "we ask for DNS names and addresses only")]
                match name {
                    GeneralName::DNSName(dns) => drop(names.insert((*dns).to_owned())),
                    GeneralName::IPAddress(bytes) => {
                        let address = <[u8; 4]>::try_from(*bytes)
                            .map(IpAddr::from)
                            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
                        addresses.extend(address.ok());
                    }
                    _ => {}
                }
            }
        }
        let common_name = cert.subject().iter_common_name().next().and_then(|c| c.as_str().ok());
        let organization = cert.subject().iter_organization().next().and_then(|o| o.as_str().ok());
        common_name == Some(self.common_name.as_str())
            && organization == self.organization.as_deref()
            && self.dns_names.iter().all(|n| names.contains(n))
            && self.addresses.iter().all(|a| addresses.contains(a))
    }
}
