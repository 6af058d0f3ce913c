//! A person's certificates: what the municipality's counter asks for. Report, "New JPKI".

use crate::CertificateKind;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::revoke::CardEvent;
use crate::store::{NewCertificate, StoreError};
use pki::crl::ListPlace;
use pki::profile::{self, BirthDate, FourAttributes, LeafProfile, Municipality, Sex, Validity};
use pki::serial::SerialNumber;
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;

/// Octets of a card certificate's serial number: 62 random bits.
pub(crate) const SERIAL_OCTETS: usize = 8;
/// How often new serial numbers are drawn if one was used before. Once is already a rarity.
const DRAWS_MAX: usize = 8;

/// A person at the counter, with the public keys that the card made. Personal.
#[derive(Clone)]
pub struct PersonRegistration {
    /// Whose register the person is in.
    pub municipality: Municipality,
    /// Full name.
    pub name: String,
    /// Date of birth.
    pub birth_date: BirthDate,
    /// Sex.
    pub sex: Sex,
    /// Address.
    pub address: String,
    /// The card's authentication key: DER SubjectPublicKeyInfo, RSA-2048.
    pub auth_spki: Vec<u8>,
    /// The card's signature key, if it gets one (not under 15 years of age).
    pub sign_spki: Option<Vec<u8>>,
    /// Last instant of validity: by the rules, the holder's fifth birthday after issue.
    pub valid_until: UnixSeconds,
}

impl std::fmt::Debug for PersonRegistration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonRegistration(****)")
    }
}

/// A certificate just issued.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Its serial number.
    pub serial: SerialNumber,
    /// The certificate in DER.
    pub der: Vec<u8>,
}

impl std::fmt::Debug for IssuedCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IssuedCertificate(****)")
    }
}

/// The certificates of one card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PersonCertificates {
    /// Card-holder authentication.
    pub card_holder_auth: IssuedCertificate,
    /// Document signature, if the card has that key.
    pub document_signature: Option<IssuedCertificate>,
}

impl Authority {
    /// Issues the certificates of one card. The serial numbers are durable before anything is signed: a
    /// failure afterwards burns them, and nothing that was signed is unknown here.
    ///
    /// # Errors
    /// Attributes or keys that the profile cannot hold, a validity outside the authority's own, a signer
    /// or a store that refuses.
    pub fn issue_person_certificates(
        &self,
        person: &PersonRegistration,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<PersonCertificates, AuthorityError> {
        self.issue_card(person, None, now, entropy)
    }

    /// Renews a card: issues new certificates, ties them to the old card, and only then supersedes the old
    /// ones. A failure in between leaves the old card good; renewing again is right.
    ///
    /// # Errors
    /// As [`Self::issue_person_certificates`], and [`StoreError::NotIssued`] for an old serial number that
    /// was never spent here.
    pub fn renew_person_certificates(
        &self,
        old_auth_serial: &SerialNumber,
        person: &PersonRegistration,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<PersonCertificates, AuthorityError> {
        let renewed = self.issue_card(person, Some(old_auth_serial), now, entropy)?;
        self.apply_event(CardEvent::Renewed, old_auth_serial, now)?;
        Ok(renewed)
    }

    fn issue_card(
        &self,
        person: &PersonRegistration,
        successor_of: Option<&SerialNumber>,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<PersonCertificates, AuthorityError> {
        let with_signature = person.sign_spki.is_some();
        let (auth, sign) = self.spend_serials(with_signature, successor_of, now, entropy)?;
        let validity = Validity { not_before: now, not_after: person.valid_until };
        let municipality = &person.municipality;

        let common_name = profile::auth_common_name(municipality, entropy);
        let ocsp_uri = self.ocsp_uri();
        let place = self.place_of(&auth)?;
        let shape = LeafProfile::JpkiAuth {
            common_name: &common_name,
            municipality,
            ocsp_uri: Some(&ocsp_uri),
            list_place: place.as_ref(),
        };
        let card_holder_auth = self.issue_one(&auth, &shape, validity, &person.auth_spki)?;

        let document_signature = match (sign, &person.sign_spki) {
            (Some(new), Some(spki)) => {
                let attributes = FourAttributes {
                    name: person.name.clone(),
                    birth_date: person.birth_date,
                    sex: person.sex,
                    address: person.address.clone(),
                };
                let common_name = profile::sign_common_name(municipality, now, entropy);
                let place = self.place_of(&new)?;
                let shape = LeafProfile::JpkiSign {
                    common_name: &common_name,
                    municipality,
                    attributes: &attributes,
                    list_place: place.as_ref(),
                };
                Some(self.issue_one(&new, &shape, validity, spki)?)
            }
            _ => None,
        };
        Ok(PersonCertificates { card_holder_auth, document_signature })
    }

    /// Where OCSP answers, as authentication certificates say it. Signature certificates of the real
    /// hierarchy name no such address, and ours do not either; the answer is there for both.
    pub fn ocsp_uri(&self) -> String {
        format!("{}/ocsp", self.config.status.url)
    }

    fn place_of(&self, new: &NewCertificate) -> Result<Option<ListPlace>, AuthorityError> {
        new.shard.map(|shard| self.list_place(new.kind, shard)).transpose()
    }

    /// A certificate's part of the list, by the last octets of its serial number, which are random.
    fn shard_of(&self, serial: &SerialNumber) -> Option<u16> {
        let shards = u32::from(self.config.crl.shards);
        let low = serial.as_bytes().last_chunk::<4>().map_or(0, |low| u32::from_be_bytes(*low));
        low.checked_rem(shards).and_then(|shard| u16::try_from(shard).ok())
    }

    /// Draws and spends one serial number, or two for a card with both keys.
    fn spend_serials(
        &self,
        with_signature: bool,
        successor_of: Option<&SerialNumber>,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<(NewCertificate, Option<NewCertificate>), AuthorityError> {
        let mut draws = 0;
        loop {
            let mut draw = |kind| {
                let serial = SerialNumber::random(SERIAL_OCTETS, entropy);
                NewCertificate { kind, serial, shard: self.shard_of(&serial) }
            };
            let auth = draw(CertificateKind::CardHolderAuth);
            let sign = with_signature.then(|| draw(CertificateKind::DocumentSignature));
            let certificates: Vec<NewCertificate> = std::iter::once(auth).chain(sign).collect();
            draws += 1;
            match self.store.spend_serials(&certificates, successor_of, now) {
                Ok(()) => return Ok((auth, sign)),
                Err(StoreError::SerialTaken) if draws < DRAWS_MAX => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn issue_one(
        &self,
        new: &NewCertificate,
        shape: &LeafProfile<'_>,
        validity: Validity,
        spki: &[u8],
    ) -> Result<IssuedCertificate, AuthorityError> {
        let (kind, serial) = (new.kind, new.serial);
        let der = self.branch(kind).issuing.issue(shape, serial, validity, spki)?;
        self.store.keep_certificate(kind, &serial, &der, validity.not_after)?;
        metrics::counter!("kazasu_certificates_issued_total", "kind" => kind.word()).increment(1);
        Ok(IssuedCertificate { serial, der })
    }
}
