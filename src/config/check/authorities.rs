//! Files of authorities that are trusted besides the public ones.

use crate::config::source;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::path::Path;

/// The certificates of a file in PEM; one at least, each of them one that can be trusted.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    source::absolute(path)?;
    let name = path.display();
    let (pem, _) = source::bounded(path, source::FILE_MAX_BYTES)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| format!("{name}: {error}"))?;
    if certificates.is_empty() {
        return Err(format!("{name} holds no certificate in PEM"));
    }
    for certificate in &certificates {
        let added = RootCertStore::empty().add(certificate.clone());
        added.map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(certificates)
}
