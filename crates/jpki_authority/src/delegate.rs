//! Delegates: P-256 keys that answer OCSP in the authorities' place, for days. RFC 6960 §4.2.2.2.
//!
//! A P-256 signature costs a thirty-sixth of an RSA-2048 one (docs/performance.md), and an authority's own
//! key does not belong on the path of requests from everybody. A delegate's key is made in this process's
//! memory or in a PKCS#11 token's, never written down, and gone with the process; nobody can revoke its certificate (id-pkix-ocsp-nocheck), so
//! it is short-lived and replaced at half of its life.

use crate::CertificateKind;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::store::{NewCertificate, StoreError};
use hsm::Pkcs11Signer;
use pki::ocsp::response::OcspDelegate;
use pki::profile::{LeafProfile, Validity};
use pki::serial::SerialNumber;
use pki::signer::{IssuerSigner, SoftwareP256Signer, generate_p256_pkcs8};
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
        let common_name = format!("OCSP responder {} {}", kind.word(), now.0);
        let signer: Box<dyn IssuerSigner> = match &self.config.keys.ocsp_delegates {
            None => Box::new(SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8()?)?),
            Some(token) => Box::new(Pkcs11Signer::passing_p256(token, &common_name)?),
        };
        let branch = self.branch(kind);
        let not_before = now.minus(BACKDATED_SECONDS).max(branch.issuing.not_before());
        let not_after = now.plus(life_seconds).min(branch.issuing.not_after());
        let serial = self.spend_delegate_serial(kind, now, entropy)?;
        let profile = LeafProfile::OcspDelegate { common_name: &common_name };
        let validity = Validity { not_before, not_after };
        let certificate = branch.issuing.issue(&profile, serial, validity, signer.spki_der())?;
        self.store.keep_certificate(kind, &serial, &certificate, not_after)?;
        Ok(Delegate {
            signer: OcspDelegate::new(&certificate, signer)?,
            replace_at: now.plus(life_seconds / 2),
        })
    }

    /// Lets go of a delegate that did not sign: the token that held its key may have been taken out. The next
    /// turn of [`Self::rotate_delegates`] makes another; until then requests are told to try later.
    pub(crate) fn dismiss_delegate(&self, unable: &OcspDelegate) {
        for kind in CertificateKind::ALL {
            let slot = &self.branch(kind).delegate;
            if slot.load().as_ref().is_some_and(|delegate| std::ptr::eq(&raw const delegate.signer, unable)) {
                slot.store(None);
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use pki::ocsp::request::request_der;
    use pki::ocsp::{CertIdHash, ResponseStatus};
    use pki::public_key::SignatureAlgorithm;
    use pki::signer::SignError;
    use protocol::entropy::Seeded;

    /// A key whose token was taken out.
    struct Gone(SoftwareP256Signer);

    impl IssuerSigner for Gone {
        fn algorithm(&self) -> SignatureAlgorithm {
            self.0.algorithm()
        }
        fn spki_der(&self) -> &[u8] {
            self.0.spki_der()
        }
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
            Err(SignError::Refused("the token went away"))
        }
    }

    #[test]
    fn a_delegate_that_does_not_sign_is_replaced_at_the_next_turn() {
        let folder = std::env::temp_dir().join(format!("kazasu-delegate-{}", std::process::id()));
        let text = include_str!("../../../samples/jpki_authority.toml");
        let config: Config = chassis::config::parse_text("sample".as_ref(), text).unwrap();
        let now = UnixSeconds(1_763_773_323);
        let authority = Authority::init(config.resolved(&folder), now, &mut Seeded::new(1)).unwrap();
        let kind = CertificateKind::CardHolderAuth;
        let branch = authority.branch(kind);
        let key = Gone(SoftwareP256Signer::from_pkcs8(&generate_p256_pkcs8().unwrap()).unwrap());
        let serial = SerialNumber::random(16, &mut Seeded::new(2));
        let profile = LeafProfile::OcspDelegate { common_name: "gone" };
        let validity = Validity { not_before: now, not_after: now.plus(86_400) };
        let certificate = branch.issuing.issue(&profile, serial, validity, key.spki_der()).unwrap();
        let signer = OcspDelegate::new(&certificate, Box::new(key)).unwrap();
        branch.delegate.store(Some(Arc::new(Delegate { signer, replace_at: now.plus(43_200) })));

        let request = request_der(&[branch.issuer_hashes.cert_id_der(CertIdHash::Sha1, &serial)], None);
        // Not an error for ever: the client is told to come again.
        assert_eq!(authority.answer_ocsp(&request, now).status, ResponseStatus::TryLater);
        assert!(branch.delegate.load().is_none());
        authority.rotate_delegates(now, &mut Seeded::new(3)).unwrap();
        assert_eq!(authority.answer_ocsp(&request, now).status, ResponseStatus::Successful);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
