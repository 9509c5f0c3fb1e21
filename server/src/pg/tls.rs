//! TLS from PEM files (rustls with the ring provider).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsFiles;
use crate::trusted_file::{FileError, read_secret};

/// No key is longer.
const KEY_BYTES_MAX: u64 = 1 << 20;

/// Why certificate and key do not make a TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{option} {}: {source}; give {wanted} in PEM's form", path.display())]
    Pem { option: &'static str, path: PathBuf, source: pem::Error, wanted: &'static str },
    #[error("--tls-key: the TLS key {0}")]
    Key(#[from] FileError),
    #[error("--tls-cert {} holds no certificate; give a file with the line -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    #[error("certificate {certificates} and key {key} do not work together: {source}")]
    Refused { certificates: PathBuf, key: PathBuf, source: rustls::Error },
}

/// Reads both files once.
pub fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor, TlsError> {
    let broken = |option, path: &Path, wanted| {
        let path = path.to_path_buf();
        move |source| TlsError::Pem { option, path, source, wanted }
    };
    let certificates = CertificateDer::pem_file_iter(&files.certificates)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(broken("--tls-cert", &files.certificates, "the server's certificate and those that lead to it"))?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(files.certificates.clone()));
    }
    let key = read_secret(&files.key, KEY_BYTES_MAX)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(broken(
        "--tls-key",
        &files.key,
        "the certificate's private key",
    ))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let refused =
        |source| TlsError::Refused { certificates: files.certificates.clone(), key: files.key.clone(), source };
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(refused)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(refused)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
