//! What stands on the specimen people's cards: who issues it, and the numbers that are made for each at
//! run time.
//!
//! A holder's number is nowhere but on the card and in the card's file: not in the town's description, in
//! no room's store, in no log. It follows from the town's seed, so that the same town can be made again.

use crate::town::people::Specimen;
use anyhow::Context as _;
use card::cvc::{CvcAuthority, CvcPublicKey, KeyReference};
use card::eac::card_side::BatchMaterial;
use card::image::Contents;
use card::my_number_card::common_data::CardData;
use card::my_number_card::contents_issuer::{ContentsIssuer, SignedApplication};
use card::my_number_card::other_applications::{
    ApplicationKeys, ApplicationPins, ContentsIssuers, HolderPictures, OtherApplications,
};
use card::my_number_card::printed::{BirthCode, CardDate, ReferenceA, ReferenceB, SecurityCode, Sex};
use card::my_number_card::resident_register::ResidentRecordCode;
use card::my_number_card::text_input::{AttributesText, TextInputPin};
use card::my_number_card::{
    AuthPin, CertifiedKey, Personalisation, SignPassword, SignatureFunction, TokenInfo,
};
use card::rsa_key::CardRsaKey;
use protocol::entropy::Seeded;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The municipality of every specimen: prefecture 99 does not exist.
pub(crate) const MUNICIPALITY: &str = "99001";
/// Name of the key behind the contents of all cards of the town.
const ROOT_NUMBER: (u32, u16) = (9_990_023, 1);
/// How many RSA keys an office takes.
pub(crate) const OFFICE_KEYS: u64 = 5;
/// How many RSA keys each card takes beside those of the JPKI application.
pub(crate) const CARD_KEYS: u64 = 2;
/// From this age on a card is good for ten years, below it for five.
const GROWN_UP_AGE: i16 = 18;

/// The card-issuing office: keys behind the contents, and the two keys that all its cards share.
pub(crate) struct CardOffice {
    /// Certifies the issuers of contents.
    root: CvcAuthority,
    /// Signs what the card face application holds.
    card_face: ContentsIssuer,
    /// Signs what the text input application holds.
    text_input: ContentsIssuer,
    /// Takes session keys.
    session: CardRsaKey,
    /// Answers INTERNAL AUTHENTICATE.
    internal_authenticate: CardRsaKey,
}

/// What a person's card is made of.
pub(crate) struct CardOrder<'a> {
    /// Who.
    pub(crate) specimen: &'a Specimen,
    /// The person's place among the specimens.
    pub(crate) place: usize,
    /// The town's seed.
    pub(crate) seed: u64,
    /// Last day of the card.
    pub(crate) expiry: CardDate,
    /// Authentication: key, certificate, issuer.
    pub(crate) card_holder_auth: CertifiedKey,
    /// Signature, unless the person is a child.
    pub(crate) document_signature: Option<CertifiedKey>,
    /// Root of the terminal certificates, profile `jicsap`.
    pub(crate) terminal_root: CvcPublicKey,
    /// The batch it belongs to: with it the card speaks profile `eac` too.
    pub(crate) batch: BatchMaterial,
    /// Presence keys of the card face and the text input.
    pub(crate) presence_keys: [CardRsaKey; 2],
    /// Every PIN of four digits.
    pub(crate) pin: &'a str,
    /// The signature password.
    pub(crate) sign_password: &'a str,
}

/// What is printed on the front and opens the card face: for scripts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PrintedNumbers {
    /// Birth date as the card asks for it, `YYMMDD` with the Japanese year.
    pub(crate) birth_code: String,
    /// 14 digits: birth code, year of expiry, security code.
    pub(crate) reference_b: String,
}

impl CardOffice {
    /// Opens an office with [`OFFICE_KEYS`] keys from `next`.
    pub(crate) fn open(next: &mut dyn FnMut() -> anyhow::Result<CardRsaKey>) -> anyhow::Result<Self> {
        let reference = KeyReference::numbered(ROOT_NUMBER.0, ROOT_NUMBER.1).context("a key reference")?;
        let root = CvcAuthority::new(reference, next()?);
        let municipality = MUNICIPALITY.parse()?;
        let mut issuer =
            |application| anyhow::Ok(ContentsIssuer::certified(&root, application, municipality, next()?)?);
        let card_face = issuer(SignedApplication::CardFace)?;
        let text_input = issuer(SignedApplication::TextInput)?;
        Ok(Self { root, card_face, text_input, session: next()?, internal_authenticate: next()? })
    }

    /// The key that readers of the contents have to know: SubjectPublicKeyInfo, DER.
    pub(crate) fn root_spki(&self) -> &[u8] {
        self.root.private_key().spki_der()
    }

    /// Name and key of each that signs contents, for the files they are kept in.
    pub(crate) fn signing_keys(&self) -> [(&'static str, &CardRsaKey); 3] {
        [
            ("card-contents-root", self.root.private_key()),
            ("card-face-issuer", self.card_face.private_key()),
            ("text-input-issuer", self.text_input.private_key()),
        ]
    }

    /// Fills every slot of a person's card.
    pub(crate) fn personalise(&self, order: CardOrder<'_>) -> anyhow::Result<(Contents, PrintedNumbers)> {
        let numbers = SpecimenNumbers::of(order.seed, order.place)?;
        let birth = card_date(order.specimen.birth_date)?;
        let printed = PrintedNumbers {
            birth_code: digits_text(BirthCode::of(birth)?.octets()),
            reference_b: digits_text(ReferenceB::of(birth, order.expiry, &numbers.security_code)?.octets()),
        };
        let municipality = MUNICIPALITY.as_bytes().try_into()?;
        let address = order.specimen.address(order.place);
        let pin = || TextInputPin::parse(order.pin);
        let [card_face, text_input] = &order.presence_keys;
        let other = OtherApplications {
            holder: AttributesText {
                name: order.specimen.written,
                address: &address,
                birth,
                sex: Sex::parse(order.specimen.sex.as_bytes())?,
            },
            number: &numbers.number,
            security_code: &numbers.security_code,
            card_data: &CardData::new(numbers.card_serial, municipality, order.expiry)?,
            resident_record_code: &numbers.resident_record_code,
            pictures: HolderPictures {
                name: picture(NAMES, order.specimen.name),
                address: ADDRESSES.get(order.place).copied(),
                photo: PHOTO,
            },
            keys: ApplicationKeys {
                card_face,
                text_input,
                session: &self.session,
                internal_authenticate: &self.internal_authenticate,
            },
            pins: &ApplicationPins { text_input: pin()?, resident_register: pin()?, common: pin()? },
            issuers: ContentsIssuers { card_face: &self.card_face, text_input: &self.text_input },
        };
        let holder = Personalisation {
            card_holder_auth: order.card_holder_auth,
            auth_pin: AuthPin::parse(order.pin)?,
            document_signature: match order.document_signature {
                Some(certified) => {
                    Some(SignatureFunction { certified, password: SignPassword::parse(order.sign_password)? })
                }
                None => None,
            },
            terminal_root: order.terminal_root,
            token_info: TokenInfo::emulated(),
            batch: Some(order.batch),
        };
        Ok((holder.whole_contents(&other)?, printed))
    }
}

fn digits_text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// `YYYY-MM-DD` as the card has it.
fn card_date(text: &str) -> anyhow::Result<CardDate> {
    Ok(CardDate::parse(text.replace('-', "").as_bytes())?)
}

/// The last day of a card that is made today: the tenth birthday from now on, for children the fifth.
pub(crate) fn last_day(birth: &str, today: jiff::civil::Date) -> anyhow::Result<CardDate> {
    let birth: jiff::civil::Date = birth.parse()?;
    let years = if age(birth, today) >= GROWN_UP_AGE { 10 } else { 5 };
    let day = birthday(birth, today, years)?;
    let date = CardDate::new(day.year().try_into()?, day.month().try_into()?, day.day().try_into()?);
    date.context("a last day")
}

/// Full years.
pub(crate) fn age(birth: jiff::civil::Date, today: jiff::civil::Date) -> i16 {
    today.year() - birth.year() - i16::from((today.month(), today.day()) < (birth.month(), birth.day()))
}

/// The `count`th birthday after today; who was born on 29 February has it on the 28th in other years.
pub(crate) fn birthday(
    birth: jiff::civil::Date,
    today: jiff::civil::Date,
    count: i16,
) -> anyhow::Result<jiff::civil::Date> {
    let year = birth.year() + age(birth, today) + count;
    let last_of_month = jiff::civil::Date::new(year, birth.month(), 1)?.days_in_month();
    Ok(jiff::civil::Date::new(year, birth.month(), birth.day().min(last_of_month))?)
}

/// The numbers of one person's card, from the seed. `Debug` is left out: half of them are secrets.
struct SpecimenNumbers {
    number: ReferenceA,
    security_code: SecurityCode,
    resident_record_code: ResidentRecordCode,
    card_serial: [u8; 15],
}

impl SpecimenNumbers {
    fn of(seed: u64, place: usize) -> anyhow::Result<Self> {
        // Another stream than those of insured numbers and person keys.
        let mut stream =
            Seeded::new(seed.rotate_left(17) ^ (place as u64).wrapping_mul(0xD1B5_4A32_D192_ED03));
        let number = ReferenceA::with_check_digit(&digits(&mut stream))?;
        let security_code = digits::<4>(&mut stream);
        let mut card_serial: [u8; 15] = *digits(&mut stream);
        if let Some(head) = card_serial.first_chunk_mut() {
            *head = *b"99";
        }
        Ok(Self {
            number,
            security_code: SecurityCode::parse(&digits_text(security_code.as_slice()))?,
            resident_record_code: ResidentRecordCode::from_octets(digits::<11>(&mut stream).as_slice())?,
            card_serial,
        })
    }
}

/// ASCII digits from the stream.
fn digits<const N: usize>(stream: &mut Seeded) -> Zeroizing<[u8; N]> {
    let mut digits = Zeroizing::new([b'0'; N]);
    for digit in digits.iter_mut() {
        *digit += u8::try_from(stream.next_u64() % 10).unwrap_or(0);
    }
    digits
}

macro_rules! asset {
    ($name:literal) => {
        include_bytes!(concat!("../../assets/card_face/", $name))
    };
}

/// One silhouette for everybody: a drawing, not a person.
const PHOTO: &[u8] = asset!("specimen.jp2");

/// Names as printed, drawn for this project with Noto Sans CJK (SIL Open Font License, which does not
/// cover what is drawn with it). Who is not here gets a hatched frame.
const NAMES: &[(&str, &[u8])] = &[
    ("hanako", asset!("hanako.name.png")),
    ("taro", asset!("taro.name.png")),
    ("saburo", asset!("saburo.name.png")),
    ("moved", asset!("moved.name.png")),
    ("lost", asset!("lost.name.png")),
    ("returned", asset!("returned.name.png")),
    ("gone", asset!("gone.name.png")),
    ("double", asset!("double.name.png")),
    ("unlinked", asset!("unlinked.name.png")),
];

/// Addresses as printed, by the person's place: house numbers 1 to 12.
const ADDRESSES: [&[u8]; 12] = [
    asset!("address-1.png"),
    asset!("address-2.png"),
    asset!("address-3.png"),
    asset!("address-4.png"),
    asset!("address-5.png"),
    asset!("address-6.png"),
    asset!("address-7.png"),
    asset!("address-8.png"),
    asset!("address-9.png"),
    asset!("address-10.png"),
    asset!("address-11.png"),
    asset!("address-12.png"),
];

fn picture<'a>(pictures: &[(&str, &'a [u8])], name: &str) -> Option<&'a [u8]> {
    pictures.iter().find(|(who, _)| *who == name).map(|(_, drawn)| *drawn)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::town::people::SPECIMENS;

    #[test]
    fn numbers_follow_from_the_seed_and_differ_between_people() {
        let all = |seed| -> Vec<[u8; 12]> {
            (0..SPECIMENS.len())
                .map(|place| *SpecimenNumbers::of(seed, place).unwrap().number.octets())
                .collect()
        };
        let first = all(1);
        assert_eq!(first, all(1));
        assert!(first.iter().zip(all(2)).all(|(one, other)| *one != other));
        let mut distinct = first.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), SPECIMENS.len());
        let numbers = SpecimenNumbers::of(1, 0).unwrap();
        assert!(numbers.card_serial.starts_with(b"99"));
        assert!(numbers.card_serial.iter().all(u8::is_ascii_digit));
    }

    #[test]
    fn a_card_ends_on_a_birthday() {
        let today = jiff::civil::date(2026, 6, 1);
        for (birth, last) in [
            ("1985-04-01", "20360401"), // had this year's birthday
            ("1985-06-01", "20360601"), // has it today: the next one is the first
            ("1985-06-02", "20350602"),
            ("2022-06-15", "20300615"), // a child
            ("2008-06-01", "20360601"), // eighteen today
            ("2008-06-02", "20300602"),
            ("2004-02-29", "20360229"),
            ("2000-02-29", "20360229"),
        ] {
            let expected = CardDate::parse(last.as_bytes()).unwrap();
            let found = last_day(birth, today).unwrap();
            assert_eq!(found.digits(), expected.digits(), "{birth}");
        }
        assert_eq!(last_day("2004-02-29", jiff::civil::date(2025, 3, 1)).unwrap().digits(), "20350228");
    }

    #[test]
    fn everybody_has_a_drawn_name_and_address() {
        for (place, specimen) in SPECIMENS.iter().enumerate() {
            let name = picture(NAMES, specimen.name).unwrap();
            let address = ADDRESSES.get(place).unwrap();
            for (drawn, width) in [(name, 216u32), (*address, 288)] {
                assert!(drawn.starts_with(b"\x89PNG\r\n\x1a\n"), "{}", specimen.name);
                assert_eq!(drawn[16..24], [width.to_be_bytes(), 12u32.to_be_bytes()].concat());
            }
        }
        // JPEG 2000, ISO/IEC 15444-1 annex I.5.1.
        assert!(PHOTO.starts_with(b"\0\0\0\x0CjP  \r\n\x87\n"));
        assert_eq!(picture(NAMES, "nobody"), None);
    }
}
