//! The key that signs service-account tokens: ECDSA P-256 (ES256), PKCS #8 private and SPKI public PEM, as `sa.key` and `sa.pub`.

use rcgen::KeyPair;

use crate::PkiError;

/// Private and public half, as PEM.
#[derive(Clone, Debug)]
pub struct ServiceAccountKey {
    /// PKCS #8.
    pub private_pem: String,
    /// `SubjectPublicKeyInfo`.
    pub public_pem: String,
}

impl ServiceAccountKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, PkiError> {
        let key =
            KeyPair::generate().map_err(|source| PkiError::Issue { subject: "service-account key".into(), source })?;
        Ok(Self { private_pem: key.serialize_pem(), public_pem: key.public_key_pem() })
    }
}
