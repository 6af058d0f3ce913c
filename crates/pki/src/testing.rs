//! Keys and a small town for this crate's tests. Keys are made once per test process.

use crate::crl::{CrlContents, RevokedEntry};
use crate::issue::IssuingAuthority;
use crate::profile::{
    AuthorityProfile, BirthDate, FourAttributes, JpkiPurpose, LeafProfile, Municipality, Sex, Validity,
};
use crate::revocation::RevocationReason;
use crate::serial::SerialNumber;
use crate::signer::{IssuerSigner, generate_p256_pkcs8, generate_rsa_2048_pkcs8, software_signer};
use crate::validate::TrustAnchor;
use protocol::time::UnixSeconds;
use std::net::IpAddr;
use std::sync::OnceLock;

/// 2025-11-22T01:02:03Z.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_763_773_323);
pub(crate) const TEN_YEARS_SECONDS: u64 = 315_532_800;
pub(crate) const YEAR_SECONDS: u64 = 31_536_000;

pub(crate) fn rsa_key(which: usize) -> &'static [u8] {
    static KEYS: [OnceLock<Vec<u8>>; 3] = [const { OnceLock::new() }; 3];
    KEYS[which].get_or_init(|| generate_rsa_2048_pkcs8().unwrap().to_vec())
}

pub(crate) fn p256_key(which: usize) -> &'static [u8] {
    static KEYS: [OnceLock<Vec<u8>>; 3] = [const { OnceLock::new() }; 3];
    KEYS[which].get_or_init(|| generate_p256_pkcs8().unwrap().to_vec())
}

pub(crate) fn signer(pkcs8: &[u8]) -> Box<dyn IssuerSigner> {
    software_signer(pkcs8).unwrap()
}

pub(crate) fn rsa_spki(which: usize) -> Vec<u8> {
    signer(rsa_key(which)).spki_der().to_vec()
}

pub(crate) fn p256_spki(which: usize) -> Vec<u8> {
    signer(p256_key(which)).spki_der().to_vec()
}

pub(crate) fn serial(number: u64) -> SerialNumber {
    SerialNumber::from_octets(&number.to_be_bytes()).unwrap()
}

pub(crate) fn municipality() -> Municipality {
    Municipality::new("13221", "Tokyo-to", "Kiyose-shi").unwrap()
}

pub(crate) fn jpki_authority(purpose: JpkiPurpose, key: usize) -> IssuingAuthority {
    let profile = AuthorityProfile::Jpki { purpose, organization: "JPKI-EMULATED", operator: "KAZASU TEST" };
    let validity = Validity { not_before: NOW, not_after: NOW.plus(TEN_YEARS_SECONDS) };
    IssuingAuthority::self_signed(&profile, serial(1), validity, signer(rsa_key(key))).unwrap()
}

/// Two authorities on two keys and the certificates they issue; the leaf key is RSA 2 or P-256 1.
pub(crate) struct Town {
    pub(crate) auth: IssuingAuthority,
    pub(crate) town: IssuingAuthority,
}

impl Town {
    pub(crate) fn new() -> Self {
        let validity = Validity { not_before: NOW, not_after: NOW.plus(TEN_YEARS_SECONDS) };
        let profile = AuthorityProfile::Town { common_name: "Kazasu town CA" };
        Self {
            auth: jpki_authority(JpkiPurpose::Authentication, 0),
            town: IssuingAuthority::self_signed(&profile, serial(1), validity, signer(p256_key(0))).unwrap(),
        }
    }

    pub(crate) fn anchors(&self) -> Vec<TrustAnchor> {
        [&self.auth, &self.town].map(|ca| TrustAnchor::from_certificate(ca.certificate_der()).unwrap()).into()
    }

    fn issue(authority: &IssuingAuthority, profile: &LeafProfile<'_>, number: u64, spki: &[u8]) -> Vec<u8> {
        let validity = Validity { not_before: NOW, not_after: NOW.plus(YEAR_SECONDS) };
        authority.issue(profile, serial(number), validity, spki).unwrap()
    }

    pub(crate) fn auth_leaf(&self) -> Vec<u8> {
        let municipality = municipality();
        let profile = LeafProfile::JpkiAuth {
            common_name: "ABCDEFGHIJKLMN13221003A",
            municipality: &municipality,
            ocsp_uri: Some("http://ocsp.example/"),
            list_place: None,
        };
        Self::issue(&self.auth, &profile, 1_001, &rsa_spki(2))
    }

    pub(crate) fn sign_leaf(&self) -> Vec<u8> {
        let municipality = municipality();
        let attributes = FourAttributes {
            name: "試験 花子".into(),
            birth_date: BirthDate::new(1990, 4, 1).unwrap(),
            sex: Sex::Female,
            address: "東京都清瀬市".into(),
        };
        let profile = LeafProfile::JpkiSign {
            common_name: "2025112201020300000013221003A",
            municipality: &municipality,
            attributes: &attributes,
            list_place: None,
        };
        Self::issue(&self.auth, &profile, 1_002, &rsa_spki(2))
    }

    pub(crate) fn terminal_leaf(&self) -> Vec<u8> {
        let profile = LeafProfile::TlsClient {
            institution_name: "かざす診療所",
            institution_code: "1310000001",
            terminal_name: "reception 1",
        };
        Self::issue(&self.town, &profile, 1_003, &p256_spki(1))
    }

    pub(crate) fn server_leaf(&self) -> Vec<u8> {
        let addresses = ["127.0.0.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let profile = LeafProfile::TlsServer {
            common_name: "localhost",
            dns_names: &["localhost"],
            ip_addresses: &addresses,
        };
        Self::issue(&self.town, &profile, 1_004, &p256_spki(1))
    }

    pub(crate) fn crl(&self, number: u64, entries: &[(u64, RevocationReason)]) -> Vec<u8> {
        let entries: Vec<_> = entries
            .iter()
            .map(|(number, reason)| RevokedEntry {
                serial: serial(*number),
                revoked_at: NOW.plus(*number),
                reason: *reason,
                invalid_since: number.is_multiple_of(2).then_some(NOW),
            })
            .collect();
        let next_update = NOW.plus(86_400);
        let contents = CrlContents { number, this_update: NOW, next_update, entries: &entries };
        self.auth.issue_crl(&contents).unwrap()
    }
}
