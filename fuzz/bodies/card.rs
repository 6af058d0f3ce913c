//! A whole My Number Card under any sequence of commands: no panic, a status word each time, and nothing of
//! the signature certificate without its password.

use card::EmulatedCard;
use card::apdu::ResponseApdu;
use card::cvc::{CvcAuthority, KeyReference};
use card::image::CardImage;
use card::my_number_card::{
    AuthPin, CertifiedKey, MyNumberCard, Personalisation, SignPassword, SignatureFunction,
};
use card::rsa_key::CardRsaKey;
use protocol::entropy::Seeded;
use std::sync::{Arc, LazyLock};

/// Stands in the signature certificate and nowhere else.
const SECRET_MARK: [u8; 8] = *b"KEINSEHN";
/// Commands of one input.
const COMMANDS_MAX: usize = 16;

static IMAGE: LazyLock<Arc<CardImage>> = LazyLock::new(|| Arc::new(image()));

fn image() -> CardImage {
    let new_key = || CardRsaKey::generate().expect("a key");
    let certified = |end_entity: &[u8]| CertifiedKey {
        end_entity_der: end_entity.to_vec(),
        issuer_der: vec![0x30, 0x00],
        private_key: new_key(),
    };
    let root = CvcAuthority::new(KeyReference::numbered(7_000_001, 1).expect("a name"), new_key());
    let signature = SignatureFunction {
        certified: certified(&[&[0x30, 0x81, 0xC8][..], &SECRET_MARK.repeat(25)].concat()),
        // Unlike any secret in the corpus: signing is too slow to be done a million times.
        password: SignPassword::parse("Q7X9W2E4R6T8").expect("a password"),
    };
    Personalisation::adult(
        certified(&[0x30, 0x03, 0x02, 0x01, 0x05]),
        AuthPin::parse("8051").expect("a PIN"),
        signature,
        root.public_key().expect("a public key"),
    )
    .image()
    .expect("an image")
}

pub(super) fn run(data: &[u8]) {
    let mut emulated = MyNumberCard::new(Arc::clone(&IMAGE));
    emulated.power_on();
    let mut entropy = Seeded::new(1);
    let mut rest = data;
    // Each command stands after its length in two octets; the last one may be cut short.
    for _ in 0..COMMANDS_MAX {
        let Some((&length, after)) = rest.split_first_chunk::<2>() else {
            return;
        };
        let length = usize::from(u16::from_be_bytes(length)).min(after.len());
        let (command, next) = after.split_at(length);
        let response = emulated.transmit(command, &mut entropy);
        let answer = ResponseApdu::parse(&response).expect("a status word");
        assert!(
            !answer.data.windows(8).any(|window| window == SECRET_MARK),
            "the signature certificate is out"
        );
        rest = next;
    }
}
