//! Secure messaging with AES-128, BSI TR-03110-3 (version 2.21) appendix F over ISO/IEC 7816-4:2020 §10:
//! encrypt, then authenticate; every command and every response under its own counter value.
//!
//! ```text
//! command   CLA|0C INS P1 P2 Lc' [87 01‖E(data) | 85 E(data)] [97 Le] 8E mac  Le'
//! response  [87 01‖E(data) | 85 E(data)] 99 SW 8E mac  SW
//! ```
//!
//! - Encryption: AES-128-CBC, IV = AES(K_enc, SSC), ISO padding (`80 00…`). Object 85 in place of
//!   87 where INS is odd.
//! - Authentication: the first 8 octets of CMAC(K_mac, SSC ‖ padded header ‖ objects ‖ padding);
//!   in a response without the header.
//! - SSC: 128 bits, 0 when the keys are new, incremented before each command and each response.
//!
//! Each side is a pair of types that consume each other: what comes next is a method, and what must not
//! come cannot be called. An error consumes the keys, and dropping them wipes them: a card answers 6987
//! or 6988 in the plain and has nothing left, ISO/IEC 7816-4:2020 §10.6.
//!
//! Cryptography is aws-lc's. Its unpadded CBC works in place on the one buffer that each call returns:
//! 75 ns for 48 octets. Block by block with ECB it would be 290 ns, and PKCS#7 with its extra block cut
//! off 160 ns, with no counterpart for decryption. The library copies its CMAC state on its own heap for
//! every message; nothing else is allocated.

use crate::apdu::{CommandApdu, LengthForm, ResponseApdu, StatusWord};
use crate::tlv::{self, Tag, TlvReader};
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{cmac, constant_time};
use std::fmt;
use zeroize::Zeroizing;

/// Octets of a key.
pub const KEY_LEN: usize = 16;
/// Octets of a block, and of the counter.
const BLOCK_LEN: usize = 16;
/// Octets of an authentication code, TR-03110-3 appendix F.
pub const MAC_LEN: usize = 8;
/// Octets of the object `8E 08 mac`.
const MAC_OBJECT_LEN: usize = 2 + MAC_LEN;
/// The secure messaging bits of a class byte: authenticated header, ISO/IEC 7816-4:2020 §5.4.1.
const CLASS_BITS: u8 = 0x0C;
/// The longest plain data whose protected response fits 256 octets.
const SHORT_DATA_MAX: u32 = 223;

const TAG_CRYPTOGRAM: Tag = Tag(0x87);
const TAG_CRYPTOGRAM_ODD: Tag = Tag(0x85);
const TAG_EXPECTED: Tag = Tag(0x97);
const TAG_STATUS: Tag = Tag(0x99);
const TAG_MAC: Tag = Tag(0x8E);
/// Padding indicator in object 87: ISO padding, ISO/IEC 7816-4:2020 table 51.
const PADDING_INDICATOR: u8 = 0x01;

/// Why a message was not taken. The keys are gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SecureMessagingError {
    /// A data object that has to be there is not: 6987.
    #[error("a data object of secure messaging is missing")]
    Missing,
    /// The data objects are not what they have to be, or their authentication fails: 6988.
    #[error("a data object of secure messaging is wrong")]
    Incorrect,
    /// The other side answered in the plain: it has no keys any more.
    #[error("the card ended secure messaging: {0}")]
    Ended(StatusWord),
    /// A command that cannot be protected: a class other than 00 and 80, or too long.
    #[error("this command cannot be protected")]
    Command,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Library,
}

impl SecureMessagingError {
    /// What a card answers, in the plain.
    pub const fn status_word(self) -> StatusWord {
        match self {
            Self::Missing => StatusWord::SM_OBJECT_MISSING,
            _ => StatusWord::SM_OBJECT_WRONG,
        }
    }
}

/// The keys that an agreement gave, before they are put to use. Wiped when dropped.
pub struct SessionKeys {
    pub(super) encryption: Zeroizing<[u8; KEY_LEN]>,
    pub(super) authentication: Zeroizing<[u8; KEY_LEN]>,
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(…)")
    }
}

impl SessionKeys {
    /// From K_enc and K_mac.
    pub const fn new(encryption: Zeroizing<[u8; KEY_LEN]>, authentication: Zeroizing<[u8; KEY_LEN]>) -> Self {
        Self { encryption, authentication }
    }

    /// The first 8 octets of a CMAC under K_mac: for the token of the agreement.
    pub(super) fn authenticate(&self, message: &[u8]) -> Result<[u8; MAC_LEN], SecureMessagingError> {
        let key = cmac::Key::new(cmac::AES_128, self.authentication.as_slice())
            .map_err(|_| SecureMessagingError::Library)?;
        first_octets(&cmac::sign(&key, message).map_err(|_| SecureMessagingError::Library)?)
    }
}

fn first_octets(tag: &cmac::Tag) -> Result<[u8; MAC_LEN], SecureMessagingError> {
    tag.as_ref().first_chunk::<MAC_LEN>().copied().ok_or(SecureMessagingError::Library)
}

/// Keys at work. In a box: moving a side moves a pointer and leaves no copy of a key behind.
struct Engine {
    encrypt: EncryptingKey,
    decrypt: DecryptingKey,
    block: EncryptingKey,
    mac: cmac::Key,
    counter: u128,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine(…)")
    }
}

type Outcome<T> = Result<T, SecureMessagingError>;

const fn library(_: Unspecified) -> SecureMessagingError {
    SecureMessagingError::Library
}

impl Engine {
    fn new(keys: &SessionKeys) -> Outcome<Box<Self>> {
        let cipher = || UnboundCipherKey::new(&AES_128, keys.encryption.as_slice()).map_err(library);
        Ok(Box::new(Self {
            encrypt: EncryptingKey::cbc(cipher()?).map_err(library)?,
            decrypt: DecryptingKey::cbc(cipher()?).map_err(library)?,
            block: EncryptingKey::ecb(cipher()?).map_err(library)?,
            mac: cmac::Key::new(cmac::AES_128, keys.authentication.as_slice()).map_err(library)?,
            counter: 0,
        }))
    }

    /// The next counter value. 2¹²⁸ messages are never sent; the end would be an error, not a repetition.
    fn advance(&mut self) -> Outcome<()> {
        self.counter = self.counter.checked_add(1).ok_or(SecureMessagingError::Library)?;
        Ok(())
    }

    /// AES(K_enc, SSC).
    fn initialisation_vector(&self) -> Outcome<[u8; BLOCK_LEN]> {
        let mut block = self.counter.to_be_bytes();
        self.block.less_safe_encrypt(&mut block, EncryptionContext::None).map_err(library)?;
        Ok(block)
    }

    /// Whole blocks, where they stand.
    fn encrypt_in_place(&self, iv: [u8; BLOCK_LEN], blocks: &mut [u8]) -> Outcome<()> {
        let iv = EncryptionContext::Iv128(FixedLength::from(iv));
        self.encrypt.less_safe_encrypt(blocks, iv).map_err(library)?;
        Ok(())
    }

    /// Whole blocks, where they stand.
    fn decrypt_in_place(&self, iv: [u8; BLOCK_LEN], blocks: &mut [u8]) -> Outcome<()> {
        let iv = DecryptionContext::Iv128(FixedLength::from(iv));
        self.decrypt.decrypt(blocks, iv).map_err(library)?;
        Ok(())
    }

    /// Decrypts and takes the padding off.
    fn decrypt(&self, cryptogram: &[u8]) -> Outcome<Zeroizing<Vec<u8>>> {
        if cryptogram.is_empty() || !cryptogram.len().is_multiple_of(BLOCK_LEN) {
            return Err(SecureMessagingError::Incorrect);
        }
        let mut data = Zeroizing::new(cryptogram.to_vec());
        self.decrypt_in_place(self.initialisation_vector()?, &mut data)?;
        let length = data
            .iter()
            .rposition(|octet| *octet != 0)
            .filter(|place| data.get(*place) == Some(&0x80) && data.len() - place <= BLOCK_LEN)
            .ok_or(SecureMessagingError::Incorrect)?;
        data.truncate(length);
        Ok(data)
    }

    /// CMAC over SSC, a header padded to a block, and padded objects; each of the two may be absent.
    fn mac(&self, header: Option<[u8; 4]>, objects: &[u8]) -> Outcome<[u8; MAC_LEN]> {
        const PADDING: [u8; BLOCK_LEN] = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let mut context = cmac::Context::with_key(&self.mac);
        context.update(&self.counter.to_be_bytes()).map_err(library)?;
        if let Some([cla, ins, p1, p2]) = header {
            context.update(&[cla, ins, p1, p2, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).map_err(library)?;
        }
        if !objects.is_empty() {
            context.update(objects).map_err(library)?;
            let padding = PADDING.get(..BLOCK_LEN - objects.len() % BLOCK_LEN).unwrap_or_default();
            context.update(padding).map_err(library)?;
        }
        first_octets(&context.sign().map_err(library)?)
    }

    fn check_mac(&self, header: Option<[u8; 4]>, objects: &[u8], mac: &[u8]) -> Outcome<()> {
        let expected = self.mac(header, objects)?;
        constant_time::verify_slices_are_equal(&expected, mac).map_err(|_| SecureMessagingError::Incorrect)
    }

    /// Appends the cryptogram of `data`, encrypted where it stands in `out`.
    fn write_cryptogram(&self, out: &mut Vec<u8>, ins: u8, data: &[u8]) -> Outcome<()> {
        if data.is_empty() {
            return Ok(());
        }
        let padded = padded_len(data.len());
        if ins & 1 == 0 {
            tlv::write_header(out, TAG_CRYPTOGRAM, padded + 1);
            out.push(PADDING_INDICATOR);
        } else {
            tlv::write_header(out, TAG_CRYPTOGRAM_ODD, padded);
        }
        let begins = out.len();
        out.extend_from_slice(data);
        out.push(0x80);
        out.resize(begins + padded, 0);
        self.encrypt_in_place(self.initialisation_vector()?, out.get_mut(begins..).unwrap_or_default())
    }

    /// The data of a cryptogram's object; 87 for an even INS, 85 for an odd one.
    fn read_cryptogram(&self, ins: u8, tag: Tag, value: &[u8]) -> Outcome<Zeroizing<Vec<u8>>> {
        match (ins & 1, tag, value) {
            (0, TAG_CRYPTOGRAM, [PADDING_INDICATOR, cryptogram @ ..]) => self.decrypt(cryptogram),
            (1, TAG_CRYPTOGRAM_ODD, cryptogram) => self.decrypt(cryptogram),
            _ => Err(SecureMessagingError::Incorrect),
        }
    }
}

const fn padded_len(length: usize) -> usize {
    (length / BLOCK_LEN + 1) * BLOCK_LEN
}

/// Octets of a data object with this value.
const fn object_len(value: usize) -> usize {
    let header = match value {
        0..=0x7F => 2,
        0x80..=0xFF => 3,
        0x100..=0xFFFF => 4,
        _ => 5,
    };
    header + value
}

const fn cryptogram_object_len(ins: u8, data: usize) -> usize {
    if data == 0 { 0 } else { object_len(padded_len(data) + if ins & 1 == 0 { 1 } else { 0 }) }
}

/// The end of a message: its authentication object cut off.
fn split_mac(objects: &[u8]) -> Outcome<(&[u8], &[u8])> {
    let authenticated = objects.len().checked_sub(MAC_OBJECT_LEN).ok_or(SecureMessagingError::Missing)?;
    let (authenticated, mac) =
        objects.split_at_checked(authenticated).ok_or(SecureMessagingError::Missing)?;
    match mac {
        [0x8E, 0x08, mac @ ..] => Ok((authenticated, mac)),
        _ => Err(SecureMessagingError::Missing),
    }
}

/// Whether a class byte asks for secure messaging with an authenticated header, which is the only kind
/// that this profile has.
pub const fn is_protected(cla: u8) -> bool {
    cla == CLASS_BITS || cla == 0x80 | CLASS_BITS
}

/// The terminal's side, ready for the next command.
#[derive(Debug)]
pub struct TerminalChannel(Box<Engine>);

/// The terminal's side while a response is on its way.
#[derive(Debug)]
pub struct AwaitedResponse {
    engine: Box<Engine>,
    ins: u8,
}

/// What a response said.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainResponse {
    /// Response data, wiped when dropped.
    pub data: Zeroizing<Vec<u8>>,
    /// The authenticated status word.
    pub status: StatusWord,
}

impl fmt::Debug for PlainResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainResponse({} octets, {})", self.data.len(), self.status)
    }
}

impl TerminalChannel {
    /// With new keys; the counter is 0.
    ///
    /// # Errors
    /// [`SecureMessagingError::Library`].
    pub fn new(keys: &SessionKeys) -> Outcome<Self> {
        Engine::new(keys).map(Self)
    }

    /// Protects a command of class 00 or 80. Length fields are short where command and the longest
    /// possible response fit them, extended otherwise.
    ///
    /// # Errors
    /// [`SecureMessagingError::Command`]; the keys are gone then too.
    pub fn wrap(mut self, command: &CommandApdu<'_>) -> Outcome<(Vec<u8>, AwaitedResponse)> {
        let engine = &mut self.0;
        let CommandApdu { cla, ins, p1, p2, data, expected, .. } = *command;
        if cla & 0x7F != 0 {
            return Err(SecureMessagingError::Command);
        }
        engine.advance()?;
        let header = [cla | CLASS_BITS, ins, p1, p2];
        let expected_octets = expected.map(|ne| ne.to_be_bytes());
        let expected_len = match expected {
            None => 0,
            Some(ne) if ne <= 256 && command.form == LengthForm::Short => 1,
            Some(_) => 2,
        };
        let expected_object = if expected_len == 0 { 0 } else { object_len(expected_len) };
        let length = cryptogram_object_len(ins, data.len()) + expected_object + MAC_OBJECT_LEN;
        let field = u16::try_from(length).map_err(|_| SecureMessagingError::Command)?.to_be_bytes();
        let short = length <= 255 && expected.is_none_or(|ne| ne <= SHORT_DATA_MAX);

        let mut out = Vec::with_capacity(length + 9);
        out.extend_from_slice(&header);
        let [high, low] = field;
        if short {
            out.push(low);
        } else {
            out.extend_from_slice(&[0, high, low]);
        }
        let begins = out.len();
        engine.write_cryptogram(&mut out, ins, data)?;
        match (expected_len, expected_octets) {
            (1, Some([.., low])) => tlv::write(&mut out, TAG_EXPECTED, &[low]),
            (2, Some([.., high, low])) => tlv::write(&mut out, TAG_EXPECTED, &[high, low]),
            _ => {}
        }
        let mac = engine.mac(Some(header), out.get(begins..).unwrap_or_default())?;
        tlv::write(&mut out, TAG_MAC, &mac);
        out.extend_from_slice(if short { &[0] } else { &[0, 0] });
        Ok((out, AwaitedResponse { engine: self.0, ins }))
    }
}

impl AwaitedResponse {
    /// Opens the response to the command that was wrapped last.
    ///
    /// # Errors
    /// [`SecureMessagingError`]; the keys are gone then.
    pub fn unwrap(mut self, response: &[u8]) -> Outcome<(PlainResponse, TerminalChannel)> {
        let engine = &mut self.engine;
        engine.advance()?;
        let response = ResponseApdu::parse(response).map_err(|_| SecureMessagingError::Missing)?;
        if response.data.is_empty() {
            return Err(SecureMessagingError::Ended(response.status));
        }
        let (authenticated, mac) = split_mac(response.data)?;
        engine.check_mac(None, authenticated, mac)?;
        let mut objects = TlvReader::new(authenticated);
        let mut object = objects.read().map_err(|_| SecureMessagingError::Missing)?;
        let mut data = Zeroizing::default();
        if object.tag != TAG_STATUS {
            data = engine.read_cryptogram(self.ins, object.tag, object.value)?;
            object = objects.read().map_err(|_| SecureMessagingError::Missing)?;
        }
        // The words outside are not authenticated: they have to be the same.
        let status = response.status;
        if object.tag != TAG_STATUS || object.value != status.0.to_be_bytes() || !objects.is_empty() {
            return Err(SecureMessagingError::Incorrect);
        }
        Ok((PlainResponse { data, status }, TerminalChannel(self.engine)))
    }
}

/// The card's side, ready for the next command.
#[derive(Debug)]
pub struct CardChannel(Box<Engine>);

/// The card's side while it works on a command.
#[derive(Debug)]
pub struct OwedResponse {
    engine: Box<Engine>,
    ins: u8,
}

/// What a command said. The data may be a secret: wiped when dropped, not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainCommand {
    header: [u8; 4],
    data: Zeroizing<Vec<u8>>,
    expected: Option<u32>,
    form: LengthForm,
}

impl fmt::Debug for PlainCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_apdu().fmt(f)
    }
}

impl PlainCommand {
    /// Header without secure messaging bits, data, Ne.
    pub(crate) fn into_parts(self) -> ([u8; 4], Zeroizing<Vec<u8>>, Option<u32>) {
        (self.header, self.data, self.expected)
    }

    /// As a command APDU whose class byte has no secure messaging bits any more.
    pub fn as_apdu(&self) -> CommandApdu<'_> {
        let [cla, ins, p1, p2] = self.header;
        CommandApdu { cla, ins, p1, p2, data: &self.data, expected: self.expected, form: self.form }
    }
}

impl CardChannel {
    /// With new keys; the counter is 0.
    ///
    /// # Errors
    /// [`SecureMessagingError::Library`].
    pub fn new(keys: &SessionKeys) -> Outcome<Self> {
        Engine::new(keys).map(Self)
    }

    /// Opens a protected command.
    ///
    /// # Errors
    /// [`SecureMessagingError`] with its [status word](SecureMessagingError::status_word), which goes
    /// back in the plain; the keys are gone then.
    pub fn unwrap(mut self, command: &CommandApdu<'_>) -> Outcome<(PlainCommand, OwedResponse)> {
        let engine = &mut self.0;
        if !is_protected(command.cla) {
            return Err(SecureMessagingError::Missing);
        }
        engine.advance()?;
        let header = [command.cla, command.ins, command.p1, command.p2];
        let (authenticated, mac) = split_mac(command.data)?;
        engine.check_mac(Some(header), authenticated, mac)?;
        let mut objects = TlvReader::new(authenticated);
        let mut data = Zeroizing::default();
        let (mut expected, mut form) = (None, LengthForm::Short);
        let mut next = read_next(&mut objects)?;
        if let Some((tag, value)) = next.filter(|(tag, _)| *tag != TAG_EXPECTED) {
            data = engine.read_cryptogram(command.ins, tag, value)?;
            next = read_next(&mut objects)?;
        }
        if let Some((tag, value)) = next {
            (expected, form) = match (tag, value) {
                (TAG_EXPECTED, [0]) => (Some(256), LengthForm::Short),
                (TAG_EXPECTED, [ne]) => (Some(u32::from(*ne)), LengthForm::Short),
                (TAG_EXPECTED, [0, 0]) => (Some(65_536), LengthForm::Extended),
                (TAG_EXPECTED, [high, low]) => {
                    (Some(u32::from(u16::from_be_bytes([*high, *low]))), LengthForm::Extended)
                }
                _ => return Err(SecureMessagingError::Incorrect),
            };
        }
        if !objects.is_empty() {
            return Err(SecureMessagingError::Incorrect);
        }
        if data.len() > 255 {
            form = LengthForm::Extended;
        }
        let header = [command.cla & !CLASS_BITS, command.ins, command.p1, command.p2];
        let owed = OwedResponse { engine: self.0, ins: command.ins };
        Ok((PlainCommand { header, data, expected, form }, owed))
    }
}

fn read_next<'a>(objects: &mut TlvReader<'a>) -> Outcome<Option<(Tag, &'a [u8])>> {
    if objects.is_empty() {
        return Ok(None);
    }
    let object = objects.read().map_err(|_| SecureMessagingError::Incorrect)?;
    Ok(Some((object.tag, object.value)))
}

impl OwedResponse {
    /// Protects the response to the command that was opened last: the response APDU.
    ///
    /// # Errors
    /// [`SecureMessagingError::Library`].
    pub fn wrap(self, data: &[u8], status: StatusWord) -> Outcome<(Vec<u8>, CardChannel)> {
        let (mut out, channel) = self.protect(data, status)?;
        out.extend_from_slice(&status.0.to_be_bytes());
        Ok((out, channel))
    }

    /// The response's data objects, with room for the status word behind them.
    pub(crate) fn protect(mut self, data: &[u8], status: StatusWord) -> Outcome<(Vec<u8>, CardChannel)> {
        let engine = &mut self.engine;
        engine.advance()?;
        let objects = cryptogram_object_len(self.ins, data.len()) + object_len(2) + MAC_OBJECT_LEN;
        let mut out = Vec::with_capacity(objects + 2);
        engine.write_cryptogram(&mut out, self.ins, data)?;
        tlv::write(&mut out, TAG_STATUS, &status.0.to_be_bytes());
        let mac = engine.mac(None, &out)?;
        tlv::write(&mut out, TAG_MAC, &mac);
        Ok((out, CardChannel(self.engine)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apdu::CommandBuilder;
    use crate::eac::specimen::hex;
    use proptest::prelude::*;

    fn keys() -> SessionKeys {
        SessionKeys::new(Zeroizing::new([0x11; KEY_LEN]), Zeroizing::new([0x22; KEY_LEN]))
    }

    fn sides() -> (TerminalChannel, CardChannel) {
        (TerminalChannel::new(&keys()).unwrap(), CardChannel::new(&keys()).unwrap())
    }

    /// Numbers of BSI's "Worked Example for Extended Access Control" 1.02, 2011, first protected command
    /// after PACE with ECDH: MSE with a reference of 15 octets, and the card's 9000.
    #[test]
    fn worked_example_of_the_bsi() {
        let keys = SessionKeys::new(
            Zeroizing::new(hex("68406B4162100563D9C901A6154D2901").try_into().unwrap()),
            Zeroizing::new(hex("73FF268784F72AF833FDC9464049AFC9").try_into().unwrap()),
        );
        let data = hex("830D44454356434141543030303031");
        let command = CommandBuilder::new(0x00, 0x22, 0x81, 0xB6).data(&data).encode().unwrap();
        let plain = CommandApdu::parse(&command).unwrap();
        let (wrapped, awaited) = TerminalChannel::new(&keys).unwrap().wrap(&plain).unwrap();
        assert_eq!(wrapped[..24], hex("0C2281B61D 871101 BE90237EEB4BA0FF253EA246AE31C8B8"));
        let (opened, owed) =
            CardChannel::new(&keys).unwrap().unwrap(&CommandApdu::parse(&wrapped).unwrap()).unwrap();
        assert_eq!(opened.as_apdu(), plain);
        let (response, _) = owed.wrap(&[], StatusWord::OK).unwrap();
        assert_eq!(response, hex("99029000 8E08 A89570A68664A7D6 9000"));
        assert!(awaited.unwrap(&response).is_ok());
    }

    #[test]
    fn missing_and_wrong_objects_have_their_own_words() {
        let refusal = |hexadecimal: &str| {
            let bytes = hex(hexadecimal);
            let command = CommandApdu::parse(&bytes).unwrap();
            sides().1.unwrap(&command).unwrap_err().status_word().0
        };
        assert_eq!(refusal("0C840000"), 0x6987);
        assert_eq!(refusal("0C840000 03 970108 00"), 0x6987);
        assert_eq!(refusal("0C840000 0A 8E080102030405060708 00"), 0x6988);
        assert_eq!(refusal("0C840000 0A 8D080102030405060708 00"), 0x6987);
        assert_eq!(refusal("04840000 0A 8E080102030405060708 00"), 0x6987);
    }

    #[test]
    fn authenticated_nonsense_is_refused_too() {
        // Objects in the wrong order, twice, unknown, or with data that is no cryptogram, each with a
        // MAC that holds: only somebody with the keys could send them.
        for objects in [
            "970108 970108",
            "8701",
            "870101",
            "87020100",
            "850100",
            "99029000",
            "9703000000",
            "9700",
            "970108 8711 01 00000000000000000000000000000000",
            "8711 02 00000000000000000000000000000000",
            "8711 01 00000000000000000000000000000000",
        ] {
            let objects = hex(objects);
            let mut engine = Engine::new(&keys()).unwrap();
            engine.advance().unwrap();
            let header = [0x0C, 0x84, 0x00, 0x00];
            let mut data = objects.clone();
            data.extend_from_slice(&[0x8E, 0x08]);
            data.extend_from_slice(&engine.mac(Some(header), &objects).unwrap());
            let bytes = CommandBuilder::new(0x0C, 0x84, 0, 0).data(&data).expect(256).encode().unwrap();
            let result = sides().1.unwrap(&CommandApdu::parse(&bytes).unwrap());
            assert_eq!(result.map(|_| ()), Err(SecureMessagingError::Incorrect), "{objects:02X?}");
        }
    }

    #[test]
    fn the_status_word_outside_must_be_the_one_inside() {
        let (terminal, card) = sides();
        let command = CommandApdu::parse(&[0, 0x84, 0, 0, 8]).unwrap();
        let (wrapped, awaited) = terminal.wrap(&command).unwrap();
        let (_, owed) = card.unwrap(&CommandApdu::parse(&wrapped).unwrap()).unwrap();
        let (mut response, _) = owed.wrap(b"12345678", StatusWord::OK).unwrap();
        let end = response.len() - 2;
        response[end..].copy_from_slice(&[0x62, 0x82]);
        assert_eq!(awaited.unwrap(&response).map(|_| ()), Err(SecureMessagingError::Incorrect));
    }

    #[test]
    fn long_messages_take_the_extended_form() {
        let (terminal, card) = sides();
        let data = vec![7u8; 60_000];
        let command = CommandBuilder::new(0x00, 0xB0, 0, 0).data(&data).expect(65_536).encode().unwrap();
        let (wrapped, awaited) = terminal.wrap(&CommandApdu::parse(&command).unwrap()).unwrap();
        let (plain, owed) = card.unwrap(&CommandApdu::parse(&wrapped).unwrap()).unwrap();
        assert_eq!((plain.as_apdu().data, plain.as_apdu().expected), (&data[..], Some(65_536)));
        let (response, _) = owed.wrap(&vec![8; 65_536], StatusWord::OK).unwrap();
        let (answer, _) = awaited.unwrap(&response).unwrap();
        assert_eq!(*answer.data, vec![8; 65_536]);
        // Data that no Lc' holds any more.
        let data = vec![7u8; 65_535];
        let command = CommandBuilder::new(0x00, 0xD6, 0, 0).data(&data).encode().unwrap();
        let result = sides().0.wrap(&CommandApdu::parse(&command).unwrap());
        assert_eq!(result.map(|_| ()), Err(SecureMessagingError::Command));
    }

    /// Project Wycheproof: AES-128-CBC and AES-128-CMAC as secure messaging uses them. The vectors pad by
    /// PKCS#5 and we by ISO, so the blocks are compared and the padding is put on here.
    #[test]
    fn wycheproof_aes() {
        use wycheproof::{cipher, mac};
        let key = |octets: &[u8]| Zeroizing::new(<[u8; KEY_LEN]>::try_from(octets).unwrap());
        let mut run = 0;
        let set = cipher::TestSet::load(cipher::TestName::AesCbcPkcs5).unwrap();
        for group in set.test_groups.iter().filter(|group| group.key_size == 128) {
            for test in &group.tests {
                let engine = Engine::new(&SessionKeys::new(key(&test.key), key(&test.key))).unwrap();
                let iv: [u8; BLOCK_LEN] = test.nonce[..].try_into().unwrap();
                let missing = BLOCK_LEN - test.pt.len() % BLOCK_LEN;
                let mut padded = test.pt.to_vec();
                padded.resize(test.pt.len() + missing, u8::try_from(missing).unwrap());
                let mut opened = test.ct.to_vec();
                let decrypted = engine.decrypt_in_place(iv, &mut opened).map(|()| opened);
                if test.result.must_fail() {
                    assert_ne!(decrypted, Ok(padded), "{}", test.tc_id);
                } else {
                    assert_eq!(decrypted.as_ref(), Ok(&padded), "{}", test.tc_id);
                    engine.encrypt_in_place(iv, &mut padded).unwrap();
                    assert_eq!(padded, test.ct[..], "{}", test.tc_id);
                }
                run += 1;
            }
        }
        let set = mac::TestSet::load(mac::TestName::AesCmac).unwrap();
        for group in set.test_groups.iter().filter(|group| group.key_size == 128 && group.tag_size == 128) {
            for test in &group.tests {
                let keys = SessionKeys::new(key(&test.key), key(&test.key));
                let made = keys.authenticate(&test.msg).unwrap();
                // A bent tag may be bent in the half that is not sent.
                let library = cmac::Key::new(cmac::AES_128, &test.key).unwrap();
                assert_eq!(cmac::verify(&library, &test.msg, &test.tag).is_err(), test.result.must_fail());
                let whole = cmac::sign(&library, &test.msg).unwrap();
                assert_eq!(made, whole.as_ref()[..MAC_LEN], "{}", test.tc_id);
                run += 1;
            }
        }
        assert!(run > 150, "{run}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn both_sides_understand_each_other(
            proprietary in any::<bool>(),
            rest in any::<[u8; 3]>(),
            data in proptest::collection::vec(any::<u8>(), 0..300),
            answer in proptest::collection::vec(any::<u8>(), 0..300),
            status in any::<u16>(),
            expected in proptest::option::of(1u32..=65_536),
        ) {
            let [ins, p1, p2] = rest;
            let cla = if proprietary { 0x80 } else { 0x00 };
            let mut builder = CommandBuilder::new(cla, ins, p1, p2).data(&data);
            if let Some(ne) = expected { builder = builder.expect(ne); }
            let bytes = builder.encode().unwrap();
            let command = CommandApdu::parse(&bytes).unwrap();
            let (mut terminal, mut card) = sides();
            // Twice: the second pair stands under other counter values.
            let mut last = Vec::new();
            for _ in 0..2 {
                let (wrapped, awaited) = terminal.wrap(&command).unwrap();
                prop_assert_ne!(&wrapped, &last);
                let (plain, owed) = card.unwrap(&CommandApdu::parse(&wrapped).unwrap()).unwrap();
                let got = plain.as_apdu();
                prop_assert_eq!([got.cla, got.ins, got.p1, got.p2], [cla, ins, p1, p2]);
                prop_assert_eq!((got.data, got.expected), (command.data, command.expected));
                let (response, next) = owed.wrap(&answer, StatusWord(status)).unwrap();
                let (opened, on) = awaited.unwrap(&response).unwrap();
                prop_assert_eq!((&*opened.data, opened.status), (&answer, StatusWord(status)));
                (terminal, card, last) = (on, next, wrapped);
            }
        }

        #[test]
        fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let (terminal, card) = sides();
            let mut command = vec![0x0C, 0x84, 0, 0, u8::try_from(bytes.len() + 1).unwrap(), 0x87];
            command.extend_from_slice(&bytes);
            prop_assert!(card.unwrap(&CommandApdu::parse(&command).unwrap()).is_err());
            let (_, awaited) = terminal.wrap(&CommandApdu::parse(&[0, 0x84, 0, 0, 8]).unwrap()).unwrap();
            prop_assert!(awaited.unwrap(&bytes).is_err());
        }
    }
}
