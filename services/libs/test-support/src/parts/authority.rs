//! Certificates for servers of tests.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use uuid::Uuid;

use store::tls::Trust;

/// An authority of one test's own, which nobody trusts who was not told to.
#[derive(Debug)]
pub struct TestAuthority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a server shows to whoever connects, and how it proves that it is its own. Both in PEM.
#[derive(Debug)]
pub struct TestIdentity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Default for TestAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl TestAuthority {
    /// Makes an authority.
    ///
    /// # Panics
    /// If the system has no randomness to give.
    #[must_use]
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        let name = format!("Authority {} of a test", Uuid::now_v7().simple());
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = parameters.self_signed(&key).expect("a certificate can be signed");
        Self { pem: certificate.pem(), issuer: Issuer::new(parameters, key) }
    }

    /// Returns its certificate, in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Trusts it.
    ///
    /// # Panics
    /// Never: its certificate can be read.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust::with(&self.pem).expect("its certificate can be read")
    }

    /// Issues a certificate for these names and addresses.
    ///
    /// # Panics
    /// If one of them can't be in a certificate.
    #[must_use]
    pub fn issue(&self, names: &[&str]) -> TestIdentity {
        self.sign(names, |_| {})
    }

    /// Issues a certificate that has expired long ago.
    ///
    /// # Panics
    /// As [`TestAuthority::issue`].
    #[must_use]
    pub fn issue_expired(&self, names: &[&str]) -> TestIdentity {
        self.sign(names, |parameters| {
            parameters.not_before = date_time_ymd(2001, 1, 1);
            parameters.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    fn sign(&self, names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> TestIdentity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).expect("these are names");
        adjust(&mut parameters);
        let key = KeyPair::generate().expect("a key can be made");
        let signed = parameters.signed_by(&key, &self.issuer);
        let certificate = signed.expect("a certificate can be signed").pem();
        TestIdentity { certificate, key: key.serialize_pem() }
    }
}
