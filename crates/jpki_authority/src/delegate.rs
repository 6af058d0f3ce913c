//! Delegates: P-256 keys that answer OCSP in the authorities' place, for days. RFC 6960 §4.2.2.2.
//!
//! A P-256 signature costs a thirty-sixth of an RSA-2048 one (docs/performance.md), and an authority's own
//! key does not belong on the path of requests from everybody. A delegate's key is made in memory, never
//! written down, and gone with the process; nobody can revoke its certificate (id-pkix-ocsp-nocheck), so
//! it is short-lived and replaced at half of its life.

use crate::CertificateKind;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::store::{NewCertificate, StoreError};
use pki::ocsp::response::OcspDelegate;
use pki::profile::{LeafProfile, Validity};
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner as _, SoftwareP256Signer, generate_p256_pkcs8};
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;
use std::sync::Arc;

/// How far a delegate's validity begins before its making, for clients whose clocks are behind.
const BACKDATED_SECONDS: u64 = 300;
/// Octets of a delegate certificate's serial number.
const SERIAL_OCTETS: usize = 16;

/// A delegate at work.
pub(crate) struct Delegate {
    pub(crate) signer: OcspDelegate,
    /// From here on another one is made.
    replace_at: UnixSeconds,
}

impl Authority {
    /// Makes a delegate for each kind that has none, or one past half of its life.
    ///
    /// # Errors
    /// A store or a signer that refuses; a delegate that is there stays.
    pub fn rotate_delegates(
        &self,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<(), AuthorityError> {
        for kind in CertificateKind::ALL {
            let fresh = self
                .branch(kind)
                .delegate
                .load()
                .as_ref()
                .is_some_and(|delegate| now < delegate.replace_at && delegate.signer.is_valid_at(now));
            if !fresh {
                let delegate = self.make_delegate(kind, now, entropy)?;
                self.branch(kind).delegate.store(Some(Arc::new(delegate)));
                metrics::counter!("kazasu_ocsp_delegates_total", "kind" => kind.word()).increment(1);
            }
        }
        Ok(())
    }

    pub(crate) fn make_delegate(
        &self,
        kind: CertificateKind,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<Delegate, AuthorityError> {
        let life_seconds = self.config.ocsp.delegate_seconds;
        let signer = SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8()?)?;
        let branch = self.branch(kind);
        let not_before = now.minus(BACKDATED_SECONDS).max(branch.issuing.not_before());
        let not_after = now.plus(life_seconds).min(branch.issuing.not_after());
        let serial = self.spend_delegate_serial(kind, now, entropy)?;
        let common_name = format!("OCSP responder {} {}", kind.word(), now.0);
        let profile = LeafProfile::OcspDelegate { common_name: &common_name };
        let validity = Validity { not_before, not_after };
        let certificate = branch.issuing.issue(&profile, serial, validity, signer.spki_der())?;
        self.store.keep_certificate(kind, &serial, &certificate, not_after)?;
        Ok(Delegate {
            signer: OcspDelegate::new(&certificate, Box::new(signer))?,
            replace_at: now.plus(life_seconds / 2),
        })
    }

    /// Committed before signing, as every serial number.
    fn spend_delegate_serial(
        &self,
        kind: CertificateKind,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<SerialNumber, AuthorityError> {
        loop {
            let serial = SerialNumber::random(SERIAL_OCTETS, entropy);
            // Listed in no shard: nobody looks a delegate up.
            match self.store.spend_serials(&[NewCertificate { kind, serial, shard: None }], None, now) {
                Ok(()) => return Ok(serial),
                // 126 random bits: once in the life of the world, and then not twice.
                Err(StoreError::SerialTaken) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
