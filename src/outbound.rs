//! What every request to another machine has in common: whose certificates are believed, and that a machine which is
//! short of threads is an error and no panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// A file with the certificates that a server is checked with (PEM), instead of the well-known ones: the variable that
/// OpenSSL and most tools read.
pub const CERTIFICATES: &str = "SSL_CERT_FILE";

/// How the other side is checked: with the certificates in a file and no others, or with the well-known ones.
///
/// # Errors
/// In words: the file has no certificates.
pub fn checked_with(path: Option<&Path>) -> Result<TlsConfig, String> {
    let Some(path) = path else { return Ok(TlsConfig::default()) };
    Ok(TlsConfig::builder().root_certs(RootCerts::from(certificates(path)?)).build())
}

/// The certificates in a file; keys that stand beside them are left out.
///
/// # Errors
/// In words: the file cannot be read, or there are none.
pub fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let failed = |why: String| format!("the certificates of {}: {why}", path.display());
    if !path.is_file() {
        return Err(failed("it is no file".into()));
    }
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(failed(error.to_string()))),
    });
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(failed("there are none".into()));
    }
    Ok(certificates)
}

/// Does `request`, in which names are looked up: `ureq` does that in a thread, and one that cannot be started
/// (`ulimit -u`) is a panic down there.
///
/// # Errors
/// What the request says, or in words: no thread can be started, or it panicked all the same.
pub fn guarded<T, E: From<String>>(request: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let thread = std::thread::Builder::new().spawn(|| ()).map(std::thread::JoinHandle::join);
    if let Err(error) = thread {
        return Err(E::from(format!("no thread can be started: {error}")));
    }
    catch_unwind(AssertUnwindSafe(request)).unwrap_or_else(|_| Err(E::from("it failed".to_owned())))
}
