//! TLS to what lies outside of a service: whom it trusts, and what is said when it does not.
//!
//! One implementation, rustls, for PostgreSQL, Redis and the farmers' market. A certificate is always verified, and so is the
//! name in it.

use std::{error::Error, fmt, sync::Arc};

use contracts::Timestamp;
use rustls::{
    CertificateError, ClientConfig, InvalidMessage, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, UnixTime, pem, pem::PemObject as _},
    time_provider::TimeProvider,
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::TlsConnector;

/// The variable with the certificates that are trusted beside the public ones.
const VARIABLE: &str = "CHEFCITO_TRUSTED_CERTIFICATES";

/// Whose word is taken for a name: that of the public authorities, which are compiled in, so that an image needs none of its
/// own; and that of those whose certificates are given beside them. Clones are the same.
#[derive(Clone, Default)]
pub struct Trust {
    given: Arc<[CertificateDer<'static>]>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Trust(public authorities and {} more)", self.given.len())
    }
}

impl Trust {
    /// Trusts the public authorities and these, in PEM.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn with(pem: &str) -> Result<Self, String> {
        let mut given = Vec::new();
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(pem.as_bytes()).enumerate() {
            let nth = index + 1;
            let certificate = certificate.map_err(|error| broken(nth, &error))?;
            roots
                .add(certificate.clone())
                .map_err(|error| format!("certificate {nth} of it is none ({error})"))?;
            given.push(certificate);
        }
        match given.is_empty() {
            true => Err("there is none in it".into()),
            false => Ok(Self { given: given.into() }),
        }
    }

    /// Returns how PostgreSQL is spoken to, sign of the protocol included: a server that wants to be greeted by TLS at once
    /// (`sslnegotiation=direct`) asks for it.
    pub fn to_postgres(&self) -> MakeRustlsConnect {
        let mut config = self.client();
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        MakeRustlsConnect::new(config)
    }

    /// Returns how a server is spoken to that speaks nothing but TLS.
    pub fn connector(&self) -> TlsConnector {
        Arc::new(self.client()).into()
    }

    /// Returns how a client speaks TLS.
    ///
    /// # Panics
    /// Never: ring has what the usual versions of TLS need.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        // Each of them could be added when it was read.
        roots.add_parsable_certificates(self.given.iter().cloned());
        let provider = Arc::new(ring::default_provider());
        ClientConfig::builder_with_details(provider, Arc::new(SystemClock))
            .with_safe_default_protocol_versions()
            .expect("ring has what they need")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

/// The system's clock. While it is before 1970 it is 1970, when no certificate is valid: the library's own panics.
#[derive(Debug)]
struct SystemClock;

impl TimeProvider for SystemClock {
    fn current_time(&self) -> Option<UnixTime> {
        let since_1970 = Timestamp::now().since(Timestamp::default());
        Some(UnixTime::since_unix_epoch(since_1970))
    }
}

fn broken(nth: usize, error: &pem::Error) -> String {
    format!("certificate {nth} of it is broken ({error})")
}

/// Returns why a connection was not trusted, and what to do about it, if that is what an error comes from.
pub fn distrust(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(one) = cause {
        if let Some(error) = tls_error(one) {
            return explained(error);
        }
        cause = one.source();
    }
    None
}

/// Looks into an error of the system, too, which hides what it was made of.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let hidden = || error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref();
    error.downcast_ref().or_else(hidden)
}

/// Returns `None` for what may be over when the same is tried again.
fn explained(error: &rustls::Error) -> Option<String> {
    let why = match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer => format!(
                "its certificate comes from an authority that is not trusted here; give that authority's certificate by \
                 {VARIABLE} or {VARIABLE}_FILE"
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is for another name; put one that it is for into its URL ({error})")
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                format!("its certificate is not valid at this time; renew it, or set the clock ({error})")
            }
            _ => format!("its certificate is not one to be trusted; it needs another ({error})"),
        },
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it speaks no TLS at that port; turn it on there, or name in its URL the port that has it".into()
        }
        _ => return None,
    };
    Some(why)
}
