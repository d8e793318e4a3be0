//! Failures of a TLS handshake that no retry cures.

use std::error::Error as StdError;
use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::error::TlsTrouble;

/// What is wrong with a host's TLS, if that is the cause of `error`. A connection that broke during the handshake
/// isn't.
pub(super) fn trouble(error: &(dyn StdError + 'static)) -> Option<TlsTrouble> {
    if let Some(error) = error.downcast_ref::<Error>() {
        return of(error);
    }
    // The error inside an I/O error isn't among its sources.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = inner.map(|inner| -> &(dyn StdError + 'static) { inner });
    trouble(inner.or_else(|| error.source())?)
}

fn of(error: &Error) -> Option<TlsTrouble> {
    Some(match error {
        Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => TlsTrouble::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsTrouble::WrongName
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsTrouble::Expired,
            error if is_of_authority(error) => TlsTrouble::AuthorityCertificate,
            _ => TlsTrouble::Certificate,
        },
        // The first byte isn't TLS.
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => TlsTrouble::NoTls,
        Error::PeerIncompatible(_) => TlsTrouble::Refused,
        Error::AlertReceived(alert) if is_final(*alert) => TlsTrouble::Refused,
        _ => return None,
    })
}

/// Whether a certificate was refused because it is marked as an authority's, not a server's.
pub(super) fn is_of_authority(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else { return false };
    other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity)
}

/// Whether a server that sends this alert will send it again.
fn is_final(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::UnrecognisedName
            | AlertDescription::AccessDenied
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateRequired
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_library_wraps_is_found() {
        let wrapped = |error: Error| io::Error::other(io::Error::new(io::ErrorKind::InvalidData, error));
        let found = |error: Error| trouble(&wrapped(error));
        assert_eq!(found(CertificateError::UnknownIssuer.into()), Some(TlsTrouble::UnknownAuthority));
        assert_eq!(found(CertificateError::NotValidForName.into()), Some(TlsTrouble::WrongName));
        assert_eq!(found(InvalidMessage::InvalidContentType.into()), Some(TlsTrouble::NoTls));
        assert_eq!(found(Error::AlertReceived(AlertDescription::ProtocolVersion)), Some(TlsTrouble::Refused));
        assert_eq!(found(Error::AlertReceived(AlertDescription::InternalError)), None, "it may pass");
        assert_eq!(trouble(&io::Error::from(io::ErrorKind::ConnectionReset)), None);
    }
}
