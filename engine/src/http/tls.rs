//! The wrapping that a monitor puts on: its certificate, what leads to its issuer, and the private key, from PEM files.
//!
//! TLS 1.2 and 1.3 by rustls, HTTP/1.1 inside. Nothing is asked of the other side but to finish the
//! handshake in time; who may ask what is for tokens to say.

use std::sync::Arc;

use anyhow::{Context, bail};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::Tls;
use crate::guarded;

/// Reads both files.
///
/// # Errors
/// One of them can't be read, holds nothing of use, or the key isn't the certificate's.
pub(super) fn load(tls: &Tls) -> anyhow::Result<Arc<ServerConfig>> {
    let name = tls.cert.display();
    let pem = std::fs::read(&tls.cert).with_context(|| format!("tls_cert: can't read {name}"))?;
    let certs = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certs = certs.with_context(|| format!("tls_cert: {name} isn't PEM"))?;
    if certs.is_empty() {
        bail!("tls_cert: {name} holds no certificate; it should begin with -----BEGIN CERTIFICATE-----");
    }
    let pem = guarded::read(&tls.key).context("tls_key")?;
    let key = PrivateKeyDer::from_pem_slice(&pem);
    let key = key.with_context(|| format!("tls_key: {} holds no private key in PEM", tls.key.display()))?;
    let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let versions = versions.with_safe_default_protocol_versions().context("no version of TLS is to be had")?;
    let config = versions.with_no_client_auth().with_single_cert(certs, key);
    let mut config = config.with_context(|| format!("{name} and {} don't go together", tls.key.display()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
