//! The text input application's own secure messaging: confidentiality without integrity.
//!
//! The terminal makes up 32 octets, encrypts them to the key in EF 0006 and hands them over with SET
//! SESSION KEY; from then on data travel under AES-128. All of it is public by observation of cards:
//!
//! | part | as the card has it |
//! |---|---|
//! | handing over | `80 AE 00 00`, RSAES-OAEP with SHA-256 (RFC 8017 §7.1) of `A0 22 { 80 20 seed }`; the PIN first |
//! | key | the first 16 octets of the seed |
//! | counter N | 1 for the first command, one more after each |
//! | IV of N | AES of N as 16 octets, big-endian: the same for command and response |
//! | command | class 08, exactly one object: `86 (01, cryptogram)` with VERIFY and SELECT, `96 03 00 Le Le` with READ BINARY |
//! | response | `86 (01, cryptogram)`, the status word in the clear |
//! | padding | `80 00 …`, always |
//!
//! There is **no authentication code**: class 0C is answered 6987, for there is no key for one. Whoever
//! can change what travels can flip bits, and read nothing. What this protects is the number: reference
//! number A is the number itself, and only here can it be presented or read without showing it to whoever
//! listens. The PIN that opens the session has travelled in the clear before.

use super::contents_issuer::{ContentsError, PresenceKey};
use super::record_file::RecordFileError;
use super::text_input::parse_session_public_key;
use crate::apdu::{ApduError, CommandApdu, CommandBuilder, ResponseApdu, StatusWord};
use crate::rsa_key::{CardRsaKey, RSA_OCTETS, RsaKeyError};
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_lc_rs::signature::RsaPublicKeyComponents;
use std::fmt;
use zeroize::Zeroizing;

/// Octets that are handed over; the card takes the first half.
pub const SEED_LEN: usize = 32;
/// What stands before them: the template, and the encryption key in it. No other object is taken.
const DELIVERY_HEAD: [u8; 4] = [0xA0, 0x22, 0x80, 0x20];
const BLOCK: usize = 16;
/// Class bits of secure messaging whose header is not authenticated, ISO/IEC 7816-4:2020 §5.4.1.
pub(crate) const CLASS: u8 = 0x08;
const CRYPTOGRAM: u8 = 0x86;
const EXPECTED: u8 = 0x96;
const PADDING_INDICATOR: u8 = 0x01;

/// Why a message does not pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SessionKeyError {
    /// Not the object that has to stand there, or padding that is none: counters or keys differ.
    #[error("not a message of this session")]
    Message,
    /// A command that cannot travel so.
    #[error("not a command that this secure messaging carries")]
    Command,
    /// The card's public key file is none.
    #[error("the card's key for session keys: {0}")]
    Key(#[from] RecordFileError),
    /// What was handed over is not a session key.
    #[error("what was handed over is not a session key")]
    Delivery,
    /// What was handed over is not below the modulus.
    #[error("the cryptogram is not below the modulus")]
    Range,
    /// The counter has come to its end.
    #[error("the session's counter is used up")]
    Counter,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

impl From<ApduError> for SessionKeyError {
    fn from(_: ApduError) -> Self {
        Self::Command
    }
}

/// A session's key and counter. Neither copies nor shows itself.
pub(crate) struct SessionKey {
    encrypting: EncryptingKey,
    decrypting: DecryptingKey,
    counter: u32,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey(message {})", self.counter)
    }
}

impl SessionKey {
    fn from_seed(seed: &[u8; SEED_LEN]) -> Result<Self, SessionKeyError> {
        let (key, _) = seed.split_first_chunk::<BLOCK>().ok_or(SessionKeyError::Library)?;
        let key = || UnboundCipherKey::new(&AES_128, key).map_err(|_| SessionKeyError::Library);
        Ok(Self {
            encrypting: EncryptingKey::cbc(key()?).map_err(|_| SessionKeyError::Library)?,
            decrypting: DecryptingKey::cbc(key()?).map_err(|_| SessionKeyError::Library)?,
            counter: 1,
        })
    }

    /// The card's side of SET SESSION KEY.
    pub(crate) fn received(private_key: &CardRsaKey, cryptogram: &[u8]) -> Result<Self, SessionKeyError> {
        let message = private_key.decrypt_oaep_sha256(cryptogram).map_err(|error| match error {
            RsaKeyError::Range => SessionKeyError::Range,
            _ => SessionKeyError::Delivery,
        })?;
        let seed = message.strip_prefix(&DELIVERY_HEAD).ok_or(SessionKeyError::Delivery)?;
        Self::from_seed(seed.try_into().map_err(|_| SessionKeyError::Delivery)?)
    }

    /// After a command that was decrypted, whatever became of it.
    pub(crate) fn advance(&mut self) -> Result<(), SessionKeyError> {
        self.counter = self.counter.checked_add(1).ok_or(SessionKeyError::Counter)?;
        Ok(())
    }

    fn initialisation_vector(&self) -> Result<FixedLength<BLOCK>, SessionKeyError> {
        let mut block = u128::from(self.counter).to_be_bytes();
        let zero = EncryptionContext::Iv128(FixedLength::from([0; BLOCK]));
        self.encrypting.less_safe_encrypt(&mut block, zero).map_err(|_| SessionKeyError::Library)?;
        Ok(FixedLength::from(block))
    }

    /// `86 (01, cryptogram)` of these octets.
    pub(crate) fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, SessionKeyError> {
        let mut buffer = Zeroizing::new(plain.to_vec());
        buffer.push(0x80);
        let whole = buffer.len().next_multiple_of(BLOCK);
        buffer.resize(whole, 0);
        let vector = EncryptionContext::Iv128(self.initialisation_vector()?);
        self.encrypting.less_safe_encrypt(&mut buffer, vector).map_err(|_| SessionKeyError::Library)?;
        let mut object = vec![CRYPTOGRAM];
        match buffer.len() + 1 {
            length @ ..0x80 => object.extend(u8::try_from(length)),
            length => {
                object.push(0x82);
                object.extend_from_slice(
                    &u16::try_from(length).map_err(|_| SessionKeyError::Command)?.to_be_bytes(),
                );
            }
        }
        object.push(PADDING_INDICATOR);
        object.extend_from_slice(&buffer);
        Ok(object)
    }

    /// The octets in exactly one `86 (01, cryptogram)`.
    pub(crate) fn open(&self, object: &[u8]) -> Result<Zeroizing<Vec<u8>>, SessionKeyError> {
        let value = only_object(object, CRYPTOGRAM)?;
        let cryptogram = value.strip_prefix(&[PADDING_INDICATOR]).ok_or(SessionKeyError::Message)?;
        if cryptogram.is_empty() || !cryptogram.len().is_multiple_of(BLOCK) {
            return Err(SessionKeyError::Message);
        }
        let mut plain = Zeroizing::new(cryptogram.to_vec());
        let vector = DecryptionContext::Iv128(self.initialisation_vector()?);
        self.decrypting.decrypt(&mut plain, vector).map_err(|_| SessionKeyError::Library)?;
        let end = plain.iter().rposition(|octet| *octet != 0).ok_or(SessionKeyError::Message)?;
        if plain.get(end) != Some(&0x80) || plain.len() - end > BLOCK {
            return Err(SessionKeyError::Message);
        }
        plain.truncate(end);
        Ok(plain)
    }

    /// Ne from exactly one `96 03 00 Le Le`; 0 asks for everything.
    pub(crate) fn expected(object: &[u8]) -> Result<u32, SessionKeyError> {
        match only_object(object, EXPECTED)? {
            [0, 0, 0] => Ok(65_536),
            [0, high, low] => Ok(u32::from(u16::from_be_bytes([*high, *low]))),
            _ => Err(SessionKeyError::Message),
        }
    }
}

/// The value of the one object with this one-octet tag; lengths of one, two or three octets, in any of
/// the forms, as the card takes them.
fn only_object(bytes: &[u8], tag: u8) -> Result<&[u8], SessionKeyError> {
    let (&[found, first], rest) = bytes.split_first_chunk::<2>().ok_or(SessionKeyError::Message)?;
    let (length, value) = match (first, rest) {
        (0..=0x7F, rest) => (usize::from(first), rest),
        (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
        (0x82, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return Err(SessionKeyError::Message),
    };
    if found == tag && value.len() == length { Ok(value) } else { Err(SessionKeyError::Message) }
}

/// The terminal's side of a session.
#[derive(Debug)]
pub struct TerminalSession(Box<SessionKey>);

impl TerminalSession {
    /// A new session with the card whose EF 0006 this is, and the command that hands its key over. A
    /// card that refuses it has no session.
    ///
    /// The seed must be random and new for every session: the counter starts at 1 again. OAEP draws its
    /// own randomness inside the cryptographic library, which takes none from outside.
    pub fn hand_over(key_file: &[u8], seed: &[u8; SEED_LEN]) -> Result<(Vec<u8>, Self), SessionKeyError> {
        let message = Zeroizing::new([&DELIVERY_HEAD[..], seed.as_slice()].concat());
        let cryptogram = encrypt(parse_session_public_key(key_file)?, &message)?;
        let command = CommandBuilder::new(0x80, 0xAE, 0x00, 0x00).data(&cryptogram).encode()?;
        Ok((command, Self(Box::new(SessionKey::from_seed(seed)?))))
    }

    /// A plain command (class 00; VERIFY, SELECT, CHANGE REFERENCE DATA with data, READ BINARY with Le)
    /// as it travels.
    pub fn protect(&self, command: &[u8]) -> Result<Vec<u8>, SessionKeyError> {
        let plain = CommandApdu::parse(command)?;
        let [class, ins, p1, p2] = [plain.cla | CLASS, plain.ins, plain.p1, plain.p2];
        if plain.cla != 0 {
            return Err(SessionKeyError::Command);
        }
        let builder = CommandBuilder::new(class, ins, p1, p2);
        match (ins, plain.data, plain.expected) {
            (0x20 | 0x24 | 0xA4, data @ [_, ..], None) => Ok(builder.data(&self.0.seal(data)?).encode()?),
            (0xB0, [], Some(ne)) => {
                let [_, _, high, low] = if plain.expects_everything() { [0; 4] } else { ne.to_be_bytes() };
                let object = [EXPECTED, 3, 0, high, low];
                Ok(builder.data(&object).expect(65_536).encode()?)
            }
            _ => Err(SessionKeyError::Command),
        }
    }

    /// The card's response to the last protected command: data and status word. Every response moves
    /// the counter, a refusal too.
    pub fn open(&mut self, response: &[u8]) -> Result<(Zeroizing<Vec<u8>>, StatusWord), SessionKeyError> {
        let response = ResponseApdu::parse(response)?;
        let data = match response.data {
            [] => Zeroizing::default(),
            object => self.0.open(object)?,
        };
        self.0.advance()?;
        Ok((data, response.status))
    }
}

fn encrypt(key: PresenceKey<'_>, message: &[u8]) -> Result<[u8; RSA_OCTETS], SessionKeyError> {
    let components = RsaPublicKeyComponents { n: key.modulus().as_slice(), e: [1u8, 0, 1].as_slice() };
    let key: PublicEncryptingKey = components.try_into().map_err(|_| SessionKeyError::Library)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| SessionKeyError::Library)?;
    let mut cryptogram = [0; RSA_OCTETS];
    key.encrypt(&OAEP_SHA256_MGF1SHA256, message, &mut cryptogram, None)
        .map_err(|_| SessionKeyError::Library)?;
    Ok(cryptogram)
}

impl From<SessionKeyError> for ContentsError {
    fn from(error: SessionKeyError) -> Self {
        match error {
            SessionKeyError::Key(error) => Self::File(error),
            _ => Self::Session,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text_input::session_public_key;
    use super::*;

    fn pair() -> (SessionKey, TerminalSession) {
        let key = CardRsaKey::generate().unwrap();
        let file = session_public_key(&key).unwrap();
        let (command, terminal) = TerminalSession::hand_over(&file, &[3; SEED_LEN]).unwrap();
        let command = CommandApdu::parse(&command).unwrap();
        assert_eq!([command.cla, command.ins, command.p1, command.p2], [0x80, 0xAE, 0, 0]);
        (SessionKey::received(&key, command.data).unwrap(), terminal)
    }

    #[test]
    fn both_sides_have_the_same_key() {
        let (mut card, mut terminal) = pair();
        for (ins, plain) in [(0x20u8, &b"1234"[..]), (0x20, &[7; 16]), (0x24, &[0; 31]), (0xA4, &[0x80, 0])] {
            let command = CommandBuilder::new(0, ins, 0, 0x80).data(plain).encode().unwrap();
            let travelling = terminal.protect(&command).unwrap();
            assert!(!travelling.windows(plain.len()).any(|part| part == plain));
            let travelling = CommandApdu::parse(&travelling).unwrap();
            assert_eq!((travelling.cla, travelling.ins), (0x08, ins));
            assert_eq!(*card.open(travelling.data).unwrap(), plain);
            let answer = [&card.seal(plain).unwrap()[..], &[0x90, 0]].concat();
            card.advance().unwrap();
            assert_eq!(terminal.open(&answer).unwrap(), (Zeroizing::new(plain.to_vec()), StatusWord::OK));
        }
        assert_eq!(
            format!("{card:?}{terminal:?}"),
            "SessionKey(message 5)TerminalSession(SessionKey(message 5))"
        );
    }

    /// The message that public readers document: 86 11 01 and one block for a PIN; the IV depends on
    /// key and counter alone.
    #[test]
    fn messages_have_the_documented_form() {
        let seed = [0x11; SEED_LEN];
        let mut key = SessionKey::from_seed(&seed).unwrap();
        let object = key.seal(b"1234").unwrap();
        assert_eq!((object.len(), &object[..3]), (0x13, &[0x86, 0x11, 0x01][..]));
        assert_eq!(key.seal(b"1234").unwrap(), object);
        let vector = key.initialisation_vector().unwrap();
        assert_eq!(vector.as_ref(), &FIRST_VECTOR);
        key.advance().unwrap();
        assert_ne!(key.seal(b"1234").unwrap(), object);
        assert_eq!(key.open(&object), Err(SessionKeyError::Message), "a replay");
        assert_eq!(key.seal(&[0; 127]).unwrap()[..4], [0x86, 0x82, 0x00, 0x81]);
        let other = SessionKey::from_seed(&[0x12; SEED_LEN]).unwrap();
        assert_ne!(other.seal(b"1234").unwrap(), object);
    }

    /// `printf '%032x' 1 | xxd -r -p | openssl enc -aes-128-ecb -K 1111… -nopad`
    const FIRST_VECTOR: [u8; 16] =
        [0x93, 0xC2, 0x51, 0x19, 0x97, 0x5F, 0x5E, 0xFC, 0xA9, 0xF4, 0xFB, 0x08, 0x46, 0x2E, 0x7E, 0xC5];

    #[test]
    fn what_is_not_a_message() {
        let key = SessionKey::from_seed(&[5; SEED_LEN]).unwrap();
        let object = key.seal(b"1234").unwrap();
        let long_form = [&[0x86, 0x81, 0x11][..], &object[2..]].concat();
        assert_eq!(*key.open(&long_form).unwrap(), b"1234");
        for bad in [
            Vec::new(),
            object[..18].to_vec(),
            [&object[..], &object].concat(),
            [&object[..], &[0]].concat(),
            [&[0x87][..], &object[1..]].concat(),
            [&object[..2], &[2], &object[3..]].concat(),
            vec![0x86, 0x01, 0x01],
            vec![0x86, 0x00],
            [&[0x86, 0x80][..], &object[2..], &[0, 0]].concat(),
        ] {
            assert_eq!(key.open(&bad), Err(SessionKeyError::Message), "{bad:02X?}");
        }
        for at in 3..19 {
            let mut bent = object.clone();
            bent[at] ^= 0x40;
            assert_ne!(key.open(&bent).ok().as_deref().map(Vec::as_slice), Some(&b"1234"[..]));
        }
        assert_eq!(SessionKey::expected(&[0x96, 3, 0, 0, 0]), Ok(65_536));
        assert_eq!(SessionKey::expected(&[0x96, 3, 0, 1, 0]), Ok(256));
        for bad in [&[0x96, 3, 1, 0, 0][..], &[0x96, 2, 0, 0], &[0x97, 3, 0, 0, 0], &[0x96, 3, 0, 0, 0, 0]] {
            assert_eq!(SessionKey::expected(bad), Err(SessionKeyError::Message));
        }
    }

    #[test]
    fn commands_that_do_not_travel_so() {
        let (_, terminal) = pair();
        for bad in [
            &[0x80, 0x2A, 0, 0, 1, 1][..],
            &[0, 0x20, 0, 0x80],
            &[0, 0xB2, 1, 4, 0],
            &[0, 0xB0, 0, 0],
            &[0, 0x20],
        ] {
            assert_eq!(terminal.protect(bad), Err(SessionKeyError::Command), "{bad:02X?}");
        }
        let read = terminal.protect(&[0, 0xB0, 0x01, 0x02, 0]).unwrap();
        assert_eq!(read, [0x08, 0xB0, 1, 2, 0, 0, 5, 0x96, 3, 0, 0, 0, 0, 0]);
        let read = terminal.protect(&[0, 0xB0, 0, 0, 17]).unwrap();
        assert_eq!(read[7..12], [0x96, 3, 0, 0, 17]);
    }

    #[test]
    fn what_is_not_handed_over() {
        let key = CardRsaKey::generate().unwrap();
        let file = session_public_key(&key).unwrap();
        let public = parse_session_public_key(&file).unwrap();
        let received = |cryptogram: &[u8]| SessionKey::received(&key, cryptogram).err();
        for wrong in [
            &[0u8; 32][..],
            &[&DELIVERY_HEAD[..], &[0; 31]].concat(),
            &[&DELIVERY_HEAD[..], &[0; 33]].concat(),
            &[&[0xA0, 0x22, 0x81, 0x20][..], &[0; 32]].concat(),
        ] {
            let cryptogram = encrypt(public, wrong).unwrap();
            assert_eq!(received(&cryptogram), Some(SessionKeyError::Delivery));
        }
        assert_eq!(received(&[1; RSA_OCTETS]), Some(SessionKeyError::Delivery));
        assert_eq!(received(&[0xFF; RSA_OCTETS]), Some(SessionKeyError::Range));
        assert_eq!(received(key.public_modulus()), Some(SessionKeyError::Range));
        assert_eq!(received(&[1; 255]), Some(SessionKeyError::Delivery));
        assert!(matches!(TerminalSession::hand_over(&[1], &[1; SEED_LEN]), Err(SessionKeyError::Key(_))));
    }
}
