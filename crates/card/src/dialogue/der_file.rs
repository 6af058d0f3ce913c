//! Reading a file that holds one DER SEQUENCE: its own header says how long it is, so no octet is
//! asked for twice.

use super::Misbehaviour;
use crate::apdu::CommandBuilder;
use crate::tlv::{self, Tag, TlvReader};

/// Longer than any certificate on a card; stops a card that never ends.
const FILE_OCTETS_MAX: usize = 8192;
/// How much one READ BINARY asks for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Pieces {
    /// What a short Le can ask for at most.
    #[default]
    Short,
    /// What an extended one can: the whole file.
    Extended,
}

impl Pieces {
    const fn octets(self) -> usize {
        match self {
            Self::Short => 256,
            Self::Extended => 65_536,
        }
    }
}

/// A file on its way.
#[derive(Clone, Default)]
pub(crate) struct DerFile {
    bytes: Vec<u8>,
    total: usize,
    pieces: Pieces,
}

/// READ BINARY by short file identifier from offset 0: selects and reads in one command,
/// ISO/IEC 7816-4:2020 §11.3.3.
pub(crate) fn first_command(short_identifier: u8, pieces: Pieces) -> Vec<u8> {
    let le: &[u8] = match pieces {
        Pieces::Short => &[0],
        Pieces::Extended => &[0, 0, 0],
    };
    [&[0x00, 0xB0, 0x80 | short_identifier, 0x00], le].concat()
}

impl DerFile {
    /// A file that is asked for in pieces of this size.
    pub(crate) fn in_pieces(pieces: Pieces) -> Self {
        Self { pieces, ..Self::default() }
    }

    /// Takes one response; gives the next command, or `None` when the file is complete.
    pub(crate) fn absorb(&mut self, data: &[u8]) -> Result<Option<Vec<u8>>, Misbehaviour> {
        let missing = if self.bytes.is_empty() {
            // 30 82: a certificate with an RSA-2048 key is longer than 255 octets and far below 64 KiB.
            let (&[sequence, form, hi, lo], _) = data.split_first_chunk::<4>().ok_or(Misbehaviour::Length)?;
            self.total = usize::from(u16::from_be_bytes([hi, lo])) + 4;
            if (sequence, form) != (0x30, 0x82) || self.total > FILE_OCTETS_MAX {
                return Err(Misbehaviour::Malformed);
            }
            self.total
        } else {
            self.total.saturating_sub(self.bytes.len())
        };
        // More than was asked for is as wrong as nothing.
        let piece = self.pieces.octets();
        let asked = if self.bytes.is_empty() { piece } else { missing.min(piece) };
        if data.is_empty() || data.len() > asked {
            return Err(Misbehaviour::Length);
        }
        // A file may be longer than what it holds.
        self.bytes.extend(data.iter().take(missing));
        let missing = missing.saturating_sub(data.len()).min(piece);
        if missing == 0 {
            return Ok(None);
        }
        let offset = u16::try_from(self.bytes.len()).map_err(|_| Misbehaviour::Length)?;
        let [hi, lo] = offset.to_be_bytes();
        let ne = u32::try_from(missing).map_err(|_| Misbehaviour::Length)?;
        CommandBuilder::new(0x00, 0xB0, hi, lo)
            .expect(ne)
            .encode()
            .map(Some)
            .map_err(|_| Misbehaviour::Length)
    }

    /// The file's octets so far.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The file's octets.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The SubjectPublicKeyInfo of a certificate, RFC 5280 §4.1: found by walking, nothing else is judged
/// here (the platform validates the path).
pub(crate) fn subject_public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: Tag = Tag(0x30);
    let mut outer = TlvReader::new(tlv::read_single(certificate, SEQUENCE).ok()?);
    let mut fields = TlvReader::new(outer.expect(SEQUENCE).ok()?);
    // version [0], serial, signature, issuer, validity, subject
    fields.expect(Tag(0xA0)).ok()?;
    fields.expect(Tag(0x02)).ok()?;
    for _ in 0..4 {
        fields.expect(SEQUENCE).ok()?;
    }
    let object = fields.read().ok()?;
    (object.tag == SEQUENCE).then_some(object.encoded)
}
