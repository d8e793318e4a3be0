//! The certificate authorities that a registry's certificate is checked against.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::tls_error::is_of_authority;
use crate::error::Error;
use crate::workspace;

/// The largest file of authorities, in bytes: a system's whole bundle takes half a megabyte.
const FILE_LIMIT: u64 = 16 * 1024 * 1024;

/// Certificate authorities in addition to the system's.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Folders whose PEM files (`.crt`, `.pem`, `.cer`) are read.
    pub directories: Vec<PathBuf>,
    /// PEM files.
    pub files: Vec<PathBuf>,
}

impl Trust {
    /// Reads all files and folders.
    ///
    /// # Errors
    /// One can't be read or contains no certificate.
    pub fn check(&self) -> Result<(), Error> {
        self.add_to(&mut Roots { store: RootCertStore::empty(), named: Vec::new() })
    }

    fn add_to(&self, roots: &mut Roots) -> Result<(), Error> {
        for directory in &self.directories {
            add_directory(roots, directory)?;
        }
        for file in &self.files {
            if add_file(roots, file)? == 0 {
                return Err(Error::usage(format!("--ca-file {}: no PEM certificate in it", file.display())));
            }
        }
        Ok(())
    }
}

/// Who is trusted.
struct Roots {
    /// Authorities.
    store: RootCertStore,
    /// The certificates in the user's files: a server may present one of these as its own.
    named: Vec<CertificateDer<'static>>,
}

/// Whether a host's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    /// It is checked.
    Full,
    /// Any certificate is accepted: the user allowed it for this host.
    None,
}

/// The TLS settings of a client: the system's roots (or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`), or the built-in
/// ones if there are none (a scratch container), and always those of `trust`.
///
/// # Errors
/// A file or folder of `trust` can't be read or contains no certificate.
pub(crate) fn client_config(trust: &Trust, verification: Verification) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .context("TLS can't be set up")?;
    let config = match verification {
        Verification::Full => {
            let Roots { store, named } = roots(trust)?;
            if named.is_empty() {
                return Ok(builder.with_root_certificates(store).with_no_client_auth());
            }
            let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
                .build()
                .context("TLS can't be set up")?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(NamedVerification { inner, named }))
                .with_no_client_auth()
        }
        Verification::None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(NoVerification(provider)))
            .with_no_client_auth(),
    };
    Ok(config)
}

/// TLS settings that trust nobody, for a client that only uses plain HTTP: reading the system's roots takes longer
/// than a request on the loopback.
///
/// # Errors
/// The TLS library refuses its own defaults.
pub(crate) fn no_trust() -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS can't be set up")?;
    Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

fn roots(trust: &Trust) -> Result<Roots, Error> {
    let mut roots = Roots { store: RootCertStore::empty(), named: Vec::new() };
    // Errors of single files are ignored: a system's folder contains all kinds of things.
    roots.store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.store.is_empty() {
        roots.store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    trust.add_to(&mut roots)?;
    Ok(roots)
}

fn add_directory(roots: &mut Roots, directory: &Path) -> Result<(), Error> {
    let fail = |error: std::io::Error| Error::usage(format!("--ca-dir {}: {error}", directory.display()));
    let mut found = 0;
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        // In a mounted ConfigMap or Secret, files are links to `..data`; is_file follows them.
        if matches!(extension, "crt" | "pem" | "cer") && path.is_file() {
            found += add_file(roots, &path)?;
        }
    }
    if found == 0 {
        return Err(Error::usage(format!(
            "--ca-dir {}: no PEM certificate in it (*.crt, *.pem, *.cer)",
            directory.display()
        )));
    }
    Ok(())
}

fn add_file(roots: &mut Roots, path: &Path) -> Result<usize, Error> {
    let bytes = workspace::read_linked(path, FILE_LIMIT).map_err(Error::file("read", path))?;
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let added = certificate
            // The library's message would quote the file, which may be a secret instead of a certificate.
            .map_err(|_| "it is not well-formed PEM".to_owned())
            .and_then(|certificate| {
                roots.store.add(certificate.clone()).map_err(|error| error.to_string())?;
                roots.named.push(certificate);
                Ok(())
            });
        added.map_err(|error| Error::usage(format!("{}: not a certificate authority: {error}", path.display())))?;
        found += 1;
    }
    Ok(found)
}

/// Also accepts a certificate that is byte for byte in one of the user's files although it is marked as an
/// authority's: `openssl req -x509` makes such certificates, and whoever trusts one to sign others trusts it to be
/// itself.
#[derive(Debug)]
struct NamedVerification {
    inner: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for NamedVerification {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let result = self.inner.verify_server_cert(own, others, name, ocsp, now);
        match &result {
            // Its validity has been checked before its purpose, its name has not.
            Err(rustls::Error::InvalidCertificate(error))
                if is_of_authority(error) && self.named.iter().any(|named| named.as_ref() == own.as_ref()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            _ => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Accepts any certificate; signatures of the handshake are still checked.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
