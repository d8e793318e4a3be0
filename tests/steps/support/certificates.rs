//! Keys and certificates, generated for each test.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

/// A key, a certificate for it, and the authority that signed it.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub pem: String,
    pub der: Vec<u8>,
    pub key_pem: String,
    /// The authority's certificate, which clients must trust.
    pub authority_pem: String,
    key_der: Vec<u8>,
}

impl Certificate {
    /// A certificate for servers at `127.0.0.1` or `localhost`, and for signing.
    pub fn new() -> Self {
        Self::for_names(&["127.0.0.1", "localhost"])
    }

    /// A certificate for servers with these names.
    pub fn for_names(names: &[&str]) -> Self {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "authority of the tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server of the tests");
        let certificate = params.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            authority_pem,
            key_der: key.serialize_der(),
        }
    }

    /// A self-signed certificate for the same names, marked as an authority, as `openssl req -x509` makes it.
    pub fn self_signed(names: &[&str], is_valid: bool) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, "its own authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if !is_valid {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
            params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            key_pem: key.serialize_pem(),
            authority_pem: certificate.pem(),
            key_der: key.serialize_der(),
        }
    }

    /// An ES256 signature of `message`: 64 bytes, as in JSON Web Signatures.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key_pair().sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
    }

    /// The coordinates of the public key, 32 bytes each.
    pub fn point(&self) -> (Vec<u8>, Vec<u8>) {
        let key = self.key_pair();
        // 0x04 (uncompressed), then x, then y.
        let point = key.public_key().as_ref();
        (point[1..33].to_vec(), point[33..65].to_vec())
    }

    fn key_pair(&self) -> EcdsaKeyPair {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key_der, &SystemRandom::new()).unwrap()
    }
}
