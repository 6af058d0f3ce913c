//! A person's certificates: what the municipality's counter asks for. Report, "New JPKI".

use crate::CertificateKind;
use crate::authority::Authority;
use crate::error::AuthorityError;
use crate::store::StoreError;
use pki::profile::{self, BirthDate, FourAttributes, LeafProfile, Municipality, Sex, Validity};
use pki::serial::SerialNumber;
use protocol::entropy::Entropy;
use protocol::time::UnixSeconds;

/// Octets of a card certificate's serial number: 62 random bits.
const SERIAL_OCTETS: usize = 8;
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
        let (auth_serial, sign_serial) = self.spend_serials(person.sign_spki.is_some(), now, entropy)?;
        let validity = Validity { not_before: now, not_after: person.valid_until };
        let municipality = &person.municipality;

        let common_name = profile::auth_common_name(municipality, entropy);
        let shape = LeafProfile::JpkiAuth {
            common_name: &common_name,
            municipality,
            ocsp_uri: None,
            list_place: None,
        };
        let card_holder_auth = self.issue_one(
            CertificateKind::CardHolderAuth,
            &shape,
            auth_serial,
            validity,
            &person.auth_spki,
        )?;

        let document_signature = match (sign_serial, &person.sign_spki) {
            (Some(serial), Some(spki)) => {
                let attributes = FourAttributes {
                    name: person.name.clone(),
                    birth_date: person.birth_date,
                    sex: person.sex,
                    address: person.address.clone(),
                };
                let common_name = profile::sign_common_name(municipality, now, entropy);
                let shape = LeafProfile::JpkiSign {
                    common_name: &common_name,
                    municipality,
                    attributes: &attributes,
                    list_place: None,
                };
                Some(self.issue_one(CertificateKind::DocumentSignature, &shape, serial, validity, spki)?)
            }
            _ => None,
        };
        Ok(PersonCertificates { card_holder_auth, document_signature })
    }

    /// Draws and spends one serial number, or two for a card with both keys.
    fn spend_serials(
        &self,
        with_signature: bool,
        now: UnixSeconds,
        entropy: &mut dyn Entropy,
    ) -> Result<(SerialNumber, Option<SerialNumber>), AuthorityError> {
        let mut draws = 0;
        loop {
            let auth_serial = SerialNumber::random(SERIAL_OCTETS, entropy);
            let sign_serial = with_signature.then(|| SerialNumber::random(SERIAL_OCTETS, entropy));
            let mut serials = vec![(CertificateKind::CardHolderAuth, auth_serial)];
            serials.extend(sign_serial.map(|serial| (CertificateKind::DocumentSignature, serial)));
            draws += 1;
            match self.store.spend_serials(&serials, now) {
                Ok(()) => return Ok((auth_serial, sign_serial)),
                Err(StoreError::SerialTaken) if draws < DRAWS_MAX => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn issue_one(
        &self,
        kind: CertificateKind,
        shape: &LeafProfile<'_>,
        serial: SerialNumber,
        validity: Validity,
        spki: &[u8],
    ) -> Result<IssuedCertificate, AuthorityError> {
        let der = self.branch(kind).issuing.issue(shape, serial, validity, spki)?;
        self.store.keep_certificate(kind, &serial, &der, validity.not_after)?;
        metrics::counter!("kazasu_certificates_issued_total", "kind" => kind.word()).increment(1);
        Ok(IssuedCertificate { serial, der })
    }
}
