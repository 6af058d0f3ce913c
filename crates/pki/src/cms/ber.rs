//! Indefinite lengths (X.690 §8.1.3.6): RFC 5652 allows BER, and signers that stream write the outer
//! wrappers so, because they do not know the length yet.
//!
//! They are made definite here, and the content, which comes in pieces (X.690 §8.7.3), is put together.
//! Everything else is left as it is for the strict reader: the signed attributes and certificates, which
//! must be DER, are never touched.

use crate::asn1::read::{Malformed, Reader, Tlv};
use crate::asn1::{tag, write};
use std::borrow::Cow;

/// An OCTET STRING in pieces.
const PIECES: u8 = tag::OCTET_STRING | 0x20;
/// Wrappers inside wrappers. SignedData has eight, counted to where DER begins.
const DEPTH_MAX: usize = 16;

/// `input` with definite lengths. Borrowed if it begins with one: then it is DER, or is refused later.
///
/// # Errors
/// An indefinite length in a primitive element, without its end, or deeper than signers nest.
pub fn definite(input: &[u8]) -> Result<Cow<'_, [u8]>, Malformed> {
    if input.get(1) != Some(&0x80) {
        return Ok(Cow::Borrowed(input));
    }
    let mut rest = input;
    let element = element(&mut rest, input, 0)?;
    if !rest.is_empty() {
        return Err(fault(input, rest));
    }
    Ok(Cow::Owned(element))
}

const fn fault(input: &[u8], rest: &[u8]) -> Malformed {
    Malformed { what: "indefinite length", offset: input.len() - rest.len() }
}

/// Reads one element off `rest`, which is the end of `input`.
fn element(rest: &mut &[u8], input: &[u8], depth: usize) -> Result<Vec<u8>, Malformed> {
    let [tag, 0x80, inside @ ..] = *rest else {
        let mut reader = Reader::new(rest);
        let element: Tlv<'_> = reader.any("definite length").map_err(|error| Malformed {
            what: error.what,
            offset: input.len() - rest.len() + error.offset,
        })?;
        *rest = rest.get(element.raw.len()..).unwrap_or_default();
        return Ok(element.raw.to_vec());
    };
    let is_constructed = tag & 0x20 != 0 && tag & 0x1F != 0x1F;
    if !is_constructed || depth >= DEPTH_MAX {
        return Err(fault(input, rest));
    }
    *rest = inside;
    let mut content = Vec::new();
    loop {
        match *rest {
            [0, 0, after @ ..] => {
                *rest = after;
                let tag = if *tag == PIECES { tag::OCTET_STRING } else { *tag };
                return Ok(write::tlv(tag, &content));
            }
            [] => return Err(fault(input, rest)),
            _ if *tag == PIECES => {
                let at = fault(input, rest);
                let piece = self::element(rest, input, depth + 1)?;
                let piece = Reader::new(&piece).expect(tag::OCTET_STRING, "piece of content");
                content.extend_from_slice(piece.map_err(|_| at)?.content);
            }
            _ => content.extend(self::element(rest, input, depth + 1)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definite_input_is_left_alone() {
        for input in [&[][..], &[0x30], &[0x30, 0], &[0x30, 3, 2, 1, 5], b"nonsense"] {
            assert!(matches!(definite(input), Ok(Cow::Borrowed(same)) if same == input));
        }
    }

    #[test]
    fn indefinite_wrappers_become_definite() {
        let input = [0x30, 0x80, 2, 1, 5, 0xA0, 0x80, 4, 1, 9, 0x30, 0x80, 0, 0, 0, 0, 0, 0];
        let made = [0x30, 10, 2, 1, 5, 0xA0, 5, 4, 1, 9, 0x30, 0];
        assert_eq!(definite(&input).unwrap().as_ref(), made);
        // What has a definite length is not looked into.
        let kept = [0x30, 0x80, 0x30, 4, 0x30, 0x80, 0, 0, 0, 0];
        assert_eq!(definite(&kept).unwrap().as_ref(), [0x30, 6, 0x30, 4, 0x30, 0x80, 0, 0]);
    }

    #[test]
    fn content_in_pieces_is_put_together() {
        let input = [0xA0, 0x80, 0x24, 0x80, 4, 2, 1, 2, 0x24, 0x80, 4, 1, 3, 0, 0, 4, 0, 0, 0, 0, 0];
        assert_eq!(definite(&input).unwrap().as_ref(), [0xA0, 5, 4, 3, 1, 2, 3]);
        let other = [0xA0, 0x80, 0x24, 0x80, 4, 1, 1, 2, 1, 2, 0, 0, 0, 0];
        assert_eq!(definite(&other).unwrap_err().offset, 7);
    }

    #[test]
    fn faults_are_located() {
        for (input, offset) in [
            (&[0x30, 0x80][..], 2),
            (&[0x30, 0x80, 2, 1, 5], 5),
            (&[0x30, 0x80, 4, 0x80, 0, 0, 0, 0], 2),
            (&[0x30, 0x80, 0, 0, 7], 4),
            (&[0x30, 0x80, 2, 9, 5, 0, 0], 2),
            (&[0x04, 0x80, 0, 0], 0),
        ] {
            assert_eq!(definite(input).unwrap_err().offset, offset, "{input:?}");
        }
        let deep = [[0x30, 0x80].repeat(18), [0, 0].repeat(18)].concat();
        assert_eq!(definite(&deep).unwrap_err().offset, 32);
        let shallow = [[0x30, 0x80].repeat(16), [0, 0].repeat(16)].concat();
        assert_eq!(definite(&shallow).unwrap().len(), 32);
    }
}
