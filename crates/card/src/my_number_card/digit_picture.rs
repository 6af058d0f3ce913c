//! Pictures of digits for the card face: PNG, black on white, one bit for each point.
//!
//! Cards show the number as a picture of 72 × 12 points and the security code as one of 24 × 12: 6 × 12
//! for each digit. The glyphs here are drawn for this project. The picture is deflated "stored", which is
//! plain bytes in blocks (RFC 1951 §3.2.4): a few octets longer than a real compressor's, and no
//! compressor in the tree.

use zeroize::Zeroizing;

/// Width of one digit with the gap behind it, in points.
pub const DIGIT_WIDTH: u32 = 6;
/// Height of every picture here, in points.
pub const HEIGHT: u32 = 12;

const GLYPH_TOP: usize = 2;
/// Five points wide, eight high; the highest of the five bits is the leftmost point.
const GLYPHS: [[u8; 8]; 10] = [
    [0b01110, 0b10001, 0b10001, 0b10101, 0b10101, 0b10001, 0b10001, 0b01110],
    [0b00100, 0b01100, 0b10100, 0b00100, 0b00100, 0b00100, 0b00100, 0b11111],
    [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b10000, 0b11111],
    [0b11111, 0b00010, 0b00100, 0b01110, 0b00001, 0b00001, 0b10001, 0b01110],
    [0b00010, 0b00110, 0b01010, 0b10010, 0b10010, 0b11111, 0b00010, 0b00010],
    [0b11111, 0b10000, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
    [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b10001, 0b01110],
    [0b11111, 0b00001, 0b00010, 0b00010, 0b00100, 0b00100, 0b01000, 0b01000],
    [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b10001, 0b01110],
    [0b01110, 0b10001, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
];

/// The picture of these ASCII digits, [`DIGIT_WIDTH`] points each. What is not a digit stays white.
pub fn digits(text: &[u8]) -> Zeroizing<Vec<u8>> {
    let width = DIGIT_WIDTH.saturating_mul(u32::try_from(text.len()).unwrap_or(u32::MAX));
    picture(width, |x, y| {
        let glyph = usize::try_from(x / DIGIT_WIDTH)
            .ok()
            .and_then(|place| text.get(place))
            .and_then(|octet| GLYPHS.get(usize::from(octet.wrapping_sub(b'0'))));
        let row = usize::try_from(y).ok().and_then(|y| y.checked_sub(GLYPH_TOP));
        glyph.zip(row).and_then(|(glyph, row)| glyph.get(row)).is_some_and(|bits| {
            // The sixth point of each digit is the gap.
            4u32.checked_sub(x % DIGIT_WIDTH).is_some_and(|shift| bits >> shift & 1 == 1)
        })
    })
}

/// A frame with hatching: stands where a text has no drawn picture.
pub fn hatched(width: u32) -> Zeroizing<Vec<u8>> {
    picture(width, |x, y| {
        x == 0 || y == 0 || x + 1 == width || y + 1 == HEIGHT || (x + y).is_multiple_of(HEIGHT / 2)
    })
}

/// A picture of [`HEIGHT`] rows; `black` says which points are.
fn picture(width: u32, black: impl Fn(u32, u32) -> bool) -> Zeroizing<Vec<u8>> {
    let mut rows = Zeroizing::new(Vec::new());
    for y in 0..HEIGHT {
        // Filter type 0, none: PNG (ISO/IEC 15948:2004) §9.2.
        rows.push(0);
        for byte in 0..width.div_ceil(8) {
            let bit = |place: u32| {
                let x = byte * 8 + place;
                // White is 1; so are the points that fill up the last octet.
                u8::from(x >= width || !black(x, y))
            };
            rows.push((0..8).fold(0, |octet, place| octet << 1 | bit(place)));
        }
    }
    png(width, &rows)
}

/// ISO/IEC 15948:2004 §11: signature, IHDR, IDAT, IEND.
fn png(width: u32, rows: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&width.to_be_bytes());
    header.extend_from_slice(&HEIGHT.to_be_bytes());
    // One bit, greyscale, the only compression and filter method, not interlaced.
    header.extend_from_slice(&[1, 0, 0, 0, 0]);
    let mut file = Zeroizing::new(b"\x89PNG\r\n\x1a\n".to_vec());
    chunk(&mut file, *b"IHDR", &header);
    chunk(&mut file, *b"IDAT", &zlib_stored(rows));
    chunk(&mut file, *b"IEND", &[]);
    file
}

fn chunk(file: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    file.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    file.extend_from_slice(&kind);
    file.extend_from_slice(data);
    file.extend_from_slice(&crc32(kind.iter().chain(data)).to_be_bytes());
}

/// A zlib stream (RFC 1950 §2.2) of stored blocks (RFC 1951 §3.2.4).
fn zlib_stored(data: &[u8]) -> Zeroizing<Vec<u8>> {
    const BLOCK_MAX: usize = 0xFFFF;
    let mut stream = Zeroizing::new(vec![0x78, 0x01]);
    let blocks = data.len().div_ceil(BLOCK_MAX).max(1);
    for place in 0..blocks {
        let block = data.chunks(BLOCK_MAX).nth(place).unwrap_or_default();
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        stream.push(u8::from(place + 1 == blocks));
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    let (a, b) = data.iter().fold((1u32, 0u32), |(a, b), octet| {
        let a = (a + u32::from(*octet)) % 65_521;
        (a, (a + b) % 65_521)
    });
    stream.extend_from_slice(&(b << 16 | a).to_be_bytes());
    stream
}

/// ISO/IEC 15948:2004 annex D.
fn crc32<'a>(octets: impl Iterator<Item = &'a u8>) -> u32 {
    let step = |crc: u32, octet: &u8| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| crc >> 1 ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    };
    !octets.fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_the_standards() {
        assert_eq!(crc32(b"123456789".iter()), 0xCBF4_3926);
        assert_eq!(crc32(b"IEND".iter()), 0xAE42_6082);
        // RFC 1950's example of the algorithm: "Wikipedia" is its usual test value.
        assert_eq!(zlib_stored(b"Wikipedia").last_chunk::<4>(), Some(&0x11E6_0398u32.to_be_bytes()));
    }

    #[test]
    fn the_number_has_the_size_that_cards_show() {
        let picture = digits(b"123456789018");
        assert_eq!(picture[..8], *b"\x89PNG\r\n\x1a\n");
        assert_eq!(picture[16..29], [0, 0, 0, 72, 0, 0, 0, 12, 1, 0, 0, 0, 0]);
        assert_eq!(digits(b"1234")[16..24], [0, 0, 0, 24, 0, 0, 0, 12]);
        assert_eq!(hatched(216)[16..20], [0, 0, 0, 216]);
        // One filter octet and nine octets of points in each of twelve rows, behind IHDR's 25 octets,
        // IDAT's 8 and the stream's 7.
        let rows = &picture[8 + 25 + 8 + 7..][..120];
        assert!(rows.chunks(10).all(|row| row[0] == 0));
        assert_eq!(rows[..10], [0, 255, 255, 255, 255, 255, 255, 255, 255, 255]);
        // Row 2 begins with the top of 1 and of 2: 00100 0 01110 0 …, white is 1.
        assert_eq!(rows[21] >> 2, 0b11_0111);
        assert_eq!((u16::from(rows[21]) << 8 | u16::from(rows[22])) >> 4 & 0x3F, 0b10_0011);
    }

    #[test]
    fn digits_differ_and_nothing_else_is_drawn() {
        let all: Vec<_> = (b'0'..=b'9').map(|digit| digits(&[digit])).collect();
        for (place, one) in all.iter().enumerate() {
            assert!(all.iter().skip(place + 1).all(|other| other != one), "{place}");
        }
        assert_eq!(digits(b"x"), digits(b":"));
        assert_ne!(digits(b"x"), digits(b"0"));
    }
}
