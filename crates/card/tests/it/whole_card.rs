//! A card with all five applications. Keys are made anew in every run.

use crate::town::{AUTHORITY, adult_holder, powered, send};
use card::EmulatedCard;
use card::cvc::{CvcAuthority, CvcPublicKey, KeyReference};
use card::image::CardImage;
use card::my_number_card::common_data::CardData;
use card::my_number_card::contents_issuer::{ContentsIssuer, SignedApplication};
use card::my_number_card::other_applications::{
    ApplicationKeys, ApplicationPins, ContentsIssuers, HolderPictures, OtherApplications,
};
use card::my_number_card::printed::{CardDate, ReferenceA, SecurityCode, Sex};
use card::my_number_card::resident_register::ResidentRecordCode;
use card::my_number_card::text_input::{AttributesText, TextInputPin};
use card::my_number_card::{MyNumberCard, card_face, common_data, resident_register, text_input};
use card::rsa_key::CardRsaKey;
use protocol::entropy::{Entropy, Seeded};
use std::sync::LazyLock;

pub(crate) const NAME: &str = "見本　花子";
pub(crate) const ADDRESS: &str = "見本県見本市本町一丁目１番地";
pub(crate) const BIRTH: CardDate = CardDate::new(1985, 4, 1).unwrap();
pub(crate) const EXPIRY: CardDate = CardDate::new(2036, 4, 1).unwrap();
pub(crate) const NUMBER: &[u8; 12] = b"123456789018";
/// 昭和60年4月1日, 2036, security code.
pub(crate) const REFERENCE_B: &[u8; 14] = b"60040120367319";
pub(crate) const BIRTH_CODE: &[u8; 6] = b"600401";
pub(crate) const SECURITY_CODE: &str = "7319";
pub(crate) const RESIDENT_CODE: &[u8; 11] = b"88800077766";
pub(crate) const TEXT_PIN: &[u8; 4] = b"2580";
pub(crate) const REGISTER_PIN: &[u8; 4] = b"3691";
pub(crate) const COMMON_PIN: &[u8; 4] = b"1470";
/// Stands in for drawn pictures: found again wherever it may not be.
pub(crate) const NAME_PICTURE: [u8; 150] = [0xB1; 150];
pub(crate) const ADDRESS_PICTURE: [u8; 300] = [0xB2; 300];
pub(crate) const PHOTO: [u8; 1800] = [0xB3; 1800];

pub(crate) const CARD_FACE: &[u8; 10] = &card_face::CARD_FACE_AID;
pub(crate) const TEXT_INPUT: &[u8; 10] = &text_input::TEXT_INPUT_AID;
pub(crate) const REGISTER: &[u8; 10] = &resident_register::RESIDENT_REGISTER_AID;
pub(crate) const COMMON: &[u8; 10] = &common_data::COMMON_AID;

/// Who issues the contents, and the card's keys.
pub(crate) struct Issue {
    root: CvcAuthority,
    card_face_issuer: ContentsIssuer,
    text_input_issuer: ContentsIssuer,
    pub(crate) card_face: CardRsaKey,
    pub(crate) text_input: CardRsaKey,
    pub(crate) session: CardRsaKey,
    pub(crate) internal_authenticate: CardRsaKey,
}

pub(crate) static ISSUE: LazyLock<Issue> = LazyLock::new(|| {
    let key = || CardRsaKey::generate().unwrap();
    // The keys of the terminals' authority under other names: making them is what takes the time.
    let again = |key: &CardRsaKey| CardRsaKey::from_pkcs8(&key.pkcs8_der().unwrap()).unwrap();
    let name = KeyReference::numbered(7_000_023, 1).unwrap();
    let root = CvcAuthority::new(name, again(AUTHORITY.root.private_key()));
    let issuer = |application| {
        ContentsIssuer::certified(&root, application, 99_001, again(AUTHORITY.body.private_key())).unwrap()
    };
    Issue {
        card_face_issuer: issuer(SignedApplication::CardFace),
        text_input_issuer: issuer(SignedApplication::TextInput),
        root,
        card_face: key(),
        text_input: key(),
        session: key(),
        internal_authenticate: key(),
    }
});

/// What a terminal knows.
pub(crate) fn contents_root() -> CvcPublicKey {
    ISSUE.root.public_key().unwrap()
}

/// The card, with power.
pub(crate) fn whole_card() -> MyNumberCard {
    powered(MyNumberCard::new(whole_image()))
}

/// What the card is made of.
pub(crate) fn whole_image() -> CardImage {
    let issue = &*ISSUE;
    let number = ReferenceA::from_octets(NUMBER).unwrap();
    let pin = |octets: &[u8]| TextInputPin::parse(std::str::from_utf8(octets).unwrap()).unwrap();
    let pins = ApplicationPins {
        text_input: pin(TEXT_PIN),
        resident_register: pin(REGISTER_PIN),
        common: pin(COMMON_PIN),
    };
    let other = OtherApplications {
        holder: AttributesText { name: NAME, address: ADDRESS, birth: BIRTH, sex: Sex::Female },
        number: &number,
        security_code: &SecurityCode::parse(SECURITY_CODE).unwrap(),
        card_data: &CardData::new(*b"990000000000017", *b"99001", EXPIRY).unwrap(),
        resident_record_code: &ResidentRecordCode::from_octets(RESIDENT_CODE).unwrap(),
        pictures: HolderPictures {
            name: Some(&NAME_PICTURE),
            address: Some(&ADDRESS_PICTURE),
            photo: &PHOTO,
        },
        keys: ApplicationKeys {
            card_face: &issue.card_face,
            text_input: &issue.text_input,
            session: &issue.session,
            internal_authenticate: &issue.internal_authenticate,
        },
        pins: &pins,
        issuers: ContentsIssuers { card_face: &issue.card_face_issuer, text_input: &issue.text_input_issuer },
    };
    adult_holder().whole_image(&other).unwrap()
}

/// Selects an application.
pub(crate) fn select(card: &mut dyn EmulatedCard, application: &[u8]) {
    let command = [&[0x00, 0xA4, 0x04, 0x0C, 10][..], application].concat();
    assert_eq!(send(card, &command), (Vec::new(), 0x9000));
}

/// VERIFY by short reference; gives the status word.
pub(crate) fn verify(card: &mut dyn EmulatedCard, reference: u16, secret: &[u8]) -> u16 {
    let length = u8::try_from(secret.len()).unwrap();
    let short = 0x80 | u8::try_from(reference & 0x1F).unwrap();
    send(card, &[&[0x00, 0x20, 0x00, short, length][..], secret].concat()).1
}

/// Tries left, as an empty VERIFY says.
pub(crate) fn tries(card: &mut dyn EmulatedCard, reference: u16) -> u16 {
    send(card, &[0x00, 0x20, 0x00, 0x80 | u8::try_from(reference & 0x1F).unwrap()]).1
}

/// Selects a file and reads from its beginning; gives data and status word.
pub(crate) fn read(card: &mut dyn EmulatedCard, fid: u16) -> (Vec<u8>, u16) {
    let [high, low] = fid.to_be_bytes();
    assert_eq!(send(card, &[0x00, 0xA4, 0x02, 0x0C, 0x02, high, low]).1, 0x9000, "{fid:04X}");
    send(card, &[0x00, 0xB0, 0x00, 0x00, 0x00])
}

/// Selects a file and reads its first record.
pub(crate) fn record(card: &mut dyn EmulatedCard, fid: u16) -> (Vec<u8>, u16) {
    let [high, low] = fid.to_be_bytes();
    assert_eq!(send(card, &[0x00, 0xA4, 0x02, 0x0C, 0x02, high, low]).1, 0x9000, "{fid:04X}");
    send(card, &[0x00, 0xB2, 0x01, 0x04, 0x00])
}

/// Which of these files answer now.
pub(crate) fn readable(card: &mut dyn EmulatedCard, fids: &[u16]) -> Vec<u16> {
    fids.iter().copied().filter(|fid| read(card, *fid).1 == 0x9000).collect()
}

/// A stream that a dialogue may draw from.
pub(crate) fn entropy() -> impl Entropy {
    Seeded::new(77)
}
