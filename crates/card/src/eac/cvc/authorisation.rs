//! Names of keys and what their holders may do: holder references and authorisation templates.

use crate::eac::oid;
use std::fmt;

/// Name of a certificate holder, and of the authority where it stands in front: country code
/// (2 letters), mnemonic (up to 9 characters), sequence number (5 characters), TR-03110-3 appendix D.
/// Here the mnemonic is of upper-case letters and digits too; the standard allows all of ISO 8859-1.
#[doc(alias = "証明書保有者参照")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HolderReference {
    octets: [u8; 16],
    length: u8,
}

impl HolderReference {
    /// Parses 8 to 16 octets; nothing where they are none.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        // Country 2 + sequence 5 and at least one character of mnemonic: a name without one says nothing.
        if !(8..=16).contains(&octets.len()) {
            return None;
        }
        let (country, rest) = octets.split_at_checked(2)?;
        let letters = country.iter().all(u8::is_ascii_uppercase);
        let others = rest.iter().all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit());
        if !letters || !others {
            return None;
        }
        let mut padded = [0u8; 16];
        for (to, from) in padded.iter_mut().zip(octets) {
            *to = *from;
        }
        Some(Self { octets: padded, length: u8::try_from(octets.len()).ok()? })
    }

    /// Country `ZZ` (ISO 3166-1 keeps it for users: ours are no state's certificates), this mnemonic of
    /// 1 to 9 upper-case letters and digits, and this sequence number below 100,000.
    pub fn ours(mnemonic: &str, sequence: u32) -> Option<Self> {
        if sequence > 99_999 || mnemonic.is_empty() {
            return None;
        }
        Self::parse(format!("ZZ{mnemonic}{sequence:05}").as_bytes())
    }

    /// The octets.
    pub fn as_octets(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Display for HolderReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_octets().iter().try_for_each(|octet| write!(f, "{}", char::from(*octet)))
    }
}

impl fmt::Debug for HolderReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HolderReference({self})")
    }
}

/// Whose chain a certificate belongs to; its object identifier in the authorisation template.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChainKind {
    /// Terminals: [`oid::TERMINAL_AUTHORISATION`].
    Terminal,
    /// Cards: [`oid::CARD_ISSUER_AUTHORISATION`].
    CardIssuer,
}

impl ChainKind {
    /// The value octets of its object identifier.
    pub const fn oid(self) -> &'static [u8] {
        match self {
            Self::Terminal => oid::TERMINAL_AUTHORISATION,
            Self::CardIssuer => oid::CARD_ISSUER_AUTHORISATION,
        }
    }
}

/// Place in the chain: the two highest bits of the authorisation, TR-03110-3 appendix C.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// `11`: root, or link from one root to the next.
    Cvca,
    /// `10`: accredited body whose certificates' dates a card believes.
    #[doc(alias = "認定事業者")]
    DocumentVerifierDomestic,
    /// `01`: accredited body whose certificates do not move a card's date.
    DocumentVerifierForeign,
    /// `00`: the end of the chain: a terminal, or a batch of cards.
    Holder,
}

/// What a terminal may do: the low bits of the authorisation. Bits without a name are kept and mean
/// nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rights(u8);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);
    /// Bit 0: one signature by the card-holder authentication key without a PIN. The card asks for it.
    pub const PINLESS_SIGNATURE: Self = Self(0b001);
    /// Bit 1: touches whose purposes include a medical ID. The Secure Element asks for it.
    pub const MEDICAL_ID: Self = Self(0b010);
    /// Bit 2: visit records without network. The Secure Element asks for it.
    pub const OFFLINE_VISIT: Self = Self(0b100);
    /// All that have a name.
    pub const ALL: Self = Self(0b111);
    /// Bits of the octet that are rights and not the role.
    const MASK: u8 = 0x3F;

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both have: the effective rights down a chain, TR-03110-3 chapter 2.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` is in here.
    pub const fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The six low bits.
    pub const fn bits(self) -> u8 {
        self.0
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({:06b})", self.0)
    }
}

/// Certificate holder authorisation template: whose chain, which place, which rights.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Authorisation {
    /// Whose chain.
    pub chain: ChainKind,
    /// Which place.
    pub role: Role,
    /// Which rights, before those above are taken into account.
    pub rights: Rights,
}

impl Authorisation {
    /// From the object identifier's octets and the template's one octet.
    pub(super) fn parse(identifier: &[u8], octet: u8) -> Option<Self> {
        let chain =
            [ChainKind::Terminal, ChainKind::CardIssuer].into_iter().find(|kind| kind.oid() == identifier)?;
        let role = match octet >> 6 {
            0b11 => Role::Cvca,
            0b10 => Role::DocumentVerifierDomestic,
            0b01 => Role::DocumentVerifierForeign,
            _ => Role::Holder,
        };
        Some(Self { chain, role, rights: Rights(octet & Rights::MASK) })
    }

    /// The template's octet.
    pub const fn octet(self) -> u8 {
        let role = match self.role {
            Role::Cvca => 0b11,
            Role::DocumentVerifierDomestic => 0b10,
            Role::DocumentVerifierForeign => 0b01,
            Role::Holder => 0,
        };
        (role << 6) | self.rights.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_one_shape() {
        let reference = HolderReference::ours("TERMINAL9", 7).unwrap();
        assert_eq!(reference.to_string(), "ZZTERMINAL900007");
        assert_eq!(HolderReference::parse(reference.as_octets()), Some(reference));
        assert_eq!(HolderReference::ours("A", 99_999).unwrap().as_octets().len(), 8);
        assert_eq!(HolderReference::ours("", 1), None);
        assert_eq!(HolderReference::ours("ABCDEFGHIJ", 1), None);
        assert_eq!(HolderReference::ours("AB", 100_000), None);
        assert_eq!(HolderReference::ours("ab", 1), None);
        for bad in [&b""[..], b"ZZ12345", b"Z1A12345", b"ZZA1234\x00", b"ZZABCDEFGHIJ12345"] {
            assert_eq!(HolderReference::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn every_octet_is_a_role_and_rights() {
        for octet in 0..=255u8 {
            for chain in [ChainKind::Terminal, ChainKind::CardIssuer] {
                let parsed = Authorisation::parse(chain.oid(), octet).unwrap();
                assert_eq!((parsed.chain, parsed.octet()), (chain, octet));
            }
        }
        assert_eq!(Authorisation::parse(oid::TA, 0), None);
        assert_eq!(Rights::ALL.and(Rights::MEDICAL_ID), Rights::MEDICAL_ID);
        assert!(!Rights::MEDICAL_ID.contain(Rights::PINLESS_SIGNATURE.with(Rights::MEDICAL_ID)));
        assert!(Rights::ALL.contain(Rights::NONE));
    }
}
