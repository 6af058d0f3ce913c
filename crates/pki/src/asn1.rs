//! The DER subset that X.509 needs (ITU-T X.690 §8, §10, §11): a strict reader that keeps raw bytes
//! and locates every refusal, and writers for what this crate issues.
//!
//! Own code instead of derived structures for three reasons: signatures are checked over the bytes
//! that came, never over a re-encoding; a revocation list of millions of entries is read without an
//! object per entry; and dates outside what derived types accept (NIST PKITS 4.2.3 has 1950) stay readable.

pub mod read;
pub mod time;
pub mod write;

/// Universal and context tags used by X.509, as their one identifier octet (X.690 §8.1.2).
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// ENUMERATED.
    pub const ENUMERATED: u8 = 0x0A;
    /// UTF8String.
    pub const UTF8: u8 = 0x0C;
    /// NumericString.
    pub const NUMERIC: u8 = 0x12;
    /// PrintableString.
    pub const PRINTABLE: u8 = 0x13;
    /// TeletexString, also called T61String.
    pub const TELETEX: u8 = 0x14;
    /// IA5String.
    pub const IA5: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// VisibleString.
    pub const VISIBLE: u8 = 0x1A;
    /// UniversalString: four octets per character.
    pub const UNIVERSAL: u8 = 0x1C;
    /// BMPString: two octets per character.
    pub const BMP: u8 = 0x1E;
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: u8 = 0x30;
    /// SET and SET OF.
    pub const SET: u8 = 0x31;

    /// Context-specific, primitive, `number` below 31.
    pub const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// Context-specific, constructed, `number` below 31.
    pub const fn context_constructed(number: u8) -> u8 {
        0xA0 | number
    }
}
