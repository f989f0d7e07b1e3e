//! TLS: certificates from files, read again when they change; whose certificate a client showed.

use std::{path::Path, sync::Arc, time::Duration};

use model::{Error, Result, error::codes};
use parking_lot::{Mutex, RwLock};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use world::World;

use crate::{ClientAuth, Principal, TlsSettings, der};

/// Between two looks at files that may have changed. By their content: links and clocks may say nothing.
pub(crate) const LOOK: Duration = Duration::from_secs(2);

/// The door's certificate and whom it trusts, as the files say now or said when they last made sense.
pub struct Tls {
    settings: TlsSettings,
    world: World,
    config: RwLock<Arc<ServerConfig>>,
    /// What the files held when last looked at.
    seen: Mutex<Files>,
}

/// Content of the files.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    pub fn load(settings: TlsSettings, world: World) -> Result<Self> {
        let files = read(&settings, &world)?;
        let config = configure(&settings, &files)?;
        Ok(Self { settings, world, config: RwLock::new(config), seen: Mutex::new(files) })
    }

    /// For the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.read().clone()
    }

    /// Reads the files; if they changed and make sense, connections from now on use them. Says whether they do.
    pub fn reload(&self) -> Result<bool> {
        let files = read(&self.settings, &self.world)?;
        if *self.seen.lock() == files {
            return Ok(false);
        }
        *self.seen.lock() = files.clone();
        *self.config.write() = configure(&self.settings, &files)?;
        Ok(true)
    }

    pub(crate) async fn keep_reloading(self: Arc<Self>) {
        let mut failing = String::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = self.world.tasks.stopping() => return,
            }
            match self.reload() {
                Ok(true) => {
                    failing.clear();
                    tracing::info!(certificate = %self.settings.certificate.display(), "new certificates are in use");
                }
                Ok(false) => {}
                Err(error) if error.to_string() == failing => {}
                Err(error) => {
                    tracing::error!(%error, "changed certificates cannot be used; those read before stay in use");
                    failing = error.to_string();
                }
            }
        }
    }
}

/// What a client needs: whom it trusts (a file of PEM and its content; the system's roots if there is none) and the
/// certificate and key it shows, if it is asked for one.
///
/// # Errors
/// LH0603 if a file makes no sense or nobody is trusted.
pub fn client_config(
    roots: Option<(&Path, &[u8])>,
    identity: Option<(&Path, &[u8], &[u8])>,
) -> Result<Arc<ClientConfig>> {
    let roots = match roots {
        Some((path, pem)) => root_store(path, pem)?,
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    if roots.is_empty() {
        return Err(Error::new(codes::CERTIFICATE_INVALID, "the system trusts no root certificate")
            .hint("name a file of the roots to trust"));
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((path, certificate, key)) => {
            let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| invalid(path, error))?;
            let chain = certificates(path, certificate)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| invalid(path, error))?
        }
    };
    Ok(Arc::new(config))
}

/// Who showed this certificate: its subject. `None` if it has none.
pub fn principal_of(certificates: &[CertificateDer<'_>]) -> Option<Principal> {
    der::subject(certificates.first()?).map(|subject| Principal::user(&subject))
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn invalid(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(codes::CERTIFICATE_INVALID, format!("`{}` cannot be used", path.display())).detail(why.to_string())
}

/// A file of the operator, whole.
pub(crate) fn read_file(world: &World, path: &Path) -> Result<Vec<u8>> {
    match world.disk.read(path) {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => Err(invalid(path, "there is no such file")),
        Err(error) => Err(invalid(path, error)),
    }
}

fn read(settings: &TlsSettings, world: &World) -> Result<Files> {
    Ok(Files {
        certificate: read_file(world, &settings.certificate)?,
        key: read_file(world, &settings.key)?,
        client_ca: settings.client_ca.as_ref().map(|path| read_file(world, path)).transpose()?,
    })
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err(invalid(path, "there is no certificate in it")),
        Ok(found) => Ok(found),
        Err(error) => Err(invalid(path, error)),
    }
}

fn root_store(path: &Path, pem: &[u8]) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path, pem)? {
        roots.add(root).map_err(|error| invalid(path, error))?;
    }
    Ok(roots)
}

fn configure(settings: &TlsSettings, files: &Files) -> Result<Arc<ServerConfig>> {
    let chain = certificates(&settings.certificate, &files.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|error| invalid(&settings.key, error))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal(format!("TLS cannot be set up: {error}")))?;
    let builder = match (settings.client_auth, &settings.client_ca, &files.client_ca) {
        (ClientAuth::None, ..) => builder.with_no_client_auth(),
        (client_auth, Some(path), Some(pem)) => {
            let roots = Arc::new(root_store(path, pem)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = match client_auth {
                ClientAuth::Requested => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| invalid(path, error))?)
        }
        _ => {
            return Err(Error::new(codes::SECURITY_SETTINGS_INVALID, "a setting of the door's security is wrong")
                .detail("certificates of clients cannot be checked without the roots they lead to"));
        }
    };
    // Refuses a key that is not the certificate's.
    let config = builder.with_single_cert(chain, key).map_err(|error| invalid(&settings.certificate, error))?;
    Ok(Arc::new(config))
}
