//! A health professional's card: what is put on it for its holder, and what tests ask of it.
//!
//! What is on the card and who may do what stands in its image, `layouts/hpki_card.toml`; the card
//! operating system ([`crate::cos`]) runs it. The shape is that of JAHIS 24-002 (HPKI card guideline
//! 3.1, appendices A to C), which describes two applications by ISO/IEC 7816-15 and leaves the numbers
//! to the issuer; where issued cards are known to have other numbers, ours answer to both.
//!
//! Nothing on it is a real authority's: certificates come from `pki`'s HPKI profiles, whose names and
//! policies are our own.

mod information;

use crate::cos::{Card, PersistentState, StateError};
use crate::emulated::EmulatedCard;
use crate::image::{Aid, CardImage, Contents, ImageError, Kind, Layout, LayoutError};
use crate::my_number_card::PersonalisationError;
use crate::rsa_key::CardRsaKey;
use protocol::entropy::Entropy;
use std::fmt;
use std::sync::{Arc, LazyLock};
use zeroize::Zeroizing;

/// Both applications' names begin with this: the provider identifier of ISO/IEC 7816-15.
pub const HPKI_AID_PART: [u8; 5] = [0xE8, 0x28, 0xBD, 0x08, 0x0F];

/// File identifiers and references in both applications.
pub mod fid {
    /// The PIN; short identifiers 16 (guideline) and 08 (issued cards). VERIFY by 96 or 88.
    pub const PIN: u16 = 0x0002;
    /// The private key, as the guideline's example has it.
    pub const PRIVATE_KEY: u16 = 0x0017;
    /// The same private key, as issued cards have it.
    pub const PRIVATE_KEY_ISSUED: u16 = 0x000C;
    /// The holder's certificate, short identifier 18.
    pub const CERTIFICATE: u16 = 0x0018;
    /// The same certificate, as issued cards have it.
    pub const CERTIFICATE_ISSUED: u16 = 0x0016;
    /// The root authority's certificate, short identifier 19.
    pub const ROOT: u16 = 0x0019;
    /// The issuing authority's certificate, short identifier 1A.
    pub const ISSUER: u16 = 0x001A;
    /// EF.AOD, short identifier 13.
    pub const AUTHENTICATION_OBJECTS: u16 = 0x0013;
    /// EF.PrKD, short identifier 14.
    pub const PRIVATE_KEYS: u16 = 0x0014;
    /// EF.CD, short identifier 15.
    pub const CERTIFICATES: u16 = 0x0015;
}

/// One of the two applications.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum HpkiApplication {
    /// Signatures that bind the holder: the PIN opens one.
    #[doc(alias = "HPKI署名")]
    Signature,
    /// Authentication of the holder: the PIN opens the key until the application is left.
    #[doc(alias = "HPKI認証")]
    Authentication,
}

impl HpkiApplication {
    /// Both, in the order in which a partial SELECT finds them.
    pub const ALL: [Self; 2] = [Self::Signature, Self::Authentication];

    /// Its name (AID) of 16 octets, as the Ministry of Health, Labour and Welfare assigned it.
    pub const fn aid(self) -> [u8; 16] {
        let last = match self {
            Self::Signature => 1,
            Self::Authentication => 2,
        };
        [0xE8, 0x28, 0xBD, 0x08, 0x0F, 0xA0, 0, 0, 0x03, 0x91, 0, 0, 0, 0, 0, last]
    }

    /// What its slots in the layout begin with.
    const fn slot_prefix(self) -> &'static str {
        match self {
            Self::Signature => "sign",
            Self::Authentication => "auth",
        }
    }
}

/// A PIN that no HPKI card takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an HPKI card's PIN is 4 to 16 visible ASCII characters")]
pub struct NotAnHpkiPin;

/// The PIN of one application: 4 to 16 visible ASCII characters (JAHIS 24-002 §5.2.1, B.4.4).
#[doc(alias = "HPKIカードのPIN")]
#[derive(Clone)]
pub struct HpkiPin(Zeroizing<Vec<u8>>);

impl HpkiPin {
    /// Parses 4 to 16 visible ASCII characters.
    pub fn parse(text: &str) -> Result<Self, NotAnHpkiPin> {
        if (4..=16).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic()) {
            Ok(Self(Zeroizing::new(text.as_bytes().to_vec())))
        } else {
            Err(NotAnHpkiPin)
        }
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for HpkiPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HpkiPin(****)")
    }
}

/// What the issuer puts into one application.
pub struct HpkiFunction {
    /// The holder's certificate, DER.
    pub end_entity_der: Vec<u8>,
    /// The certificate of the authority that issued it, DER.
    pub issuer_der: Vec<u8>,
    /// The root authority's certificate, DER.
    pub root_der: Vec<u8>,
    /// The private key.
    pub private_key: CardRsaKey,
    /// Its PIN at issue.
    pub pin: HpkiPin,
}

impl fmt::Debug for HpkiFunction {
    /// The certificate carries name and registration: nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HpkiFunction(…)")
    }
}

/// How programs find the applications and, in them, the files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Discovery {
    /// By the applications' names, and by short identifiers: as the guideline has it.
    ByName,
    /// By EF.DIR, and by file identifiers: our own addition, for programs that know nothing of HPKI
    /// (OpenSC). Selecting by name and reading by short identifiers goes on working.
    EfDir,
}

/// Wrong tries in a row until a PIN blocks: 1 to 15.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PinTries(u8);

impl PinTries {
    /// Fifteen, as an issuing authority tells its holders.
    pub const ISSUED: Self = Self(15);

    /// `None` outside 1 to 15, which is what a status word can say.
    pub fn new(tries: u8) -> Option<Self> {
        (1..=15).contains(&tries).then_some(Self(tries))
    }
}

/// The built-in layout, with fifteen tries.
pub fn layout() -> Result<&'static Layout, LayoutError> {
    static PARSED: LazyLock<Result<Layout, LayoutError>> =
        LazyLock::new(|| Layout::parse(include_str!("../layouts/hpki_card.toml")));
    PARSED.as_ref().map_err(Clone::clone)
}

/// The built-in layout with another number of tries.
pub fn layout_with_tries(pin_tries: PinTries) -> Result<Layout, LayoutError> {
    let mut layout = layout()?.clone();
    for object in layout.applications.iter_mut().flat_map(|application| &mut application.objects) {
        if let Kind::Secret { tries, .. } = &mut object.kind {
            *tries = pin_tries.0;
        }
    }
    Ok(layout)
}

/// What the issuer puts on one holder's card.
#[derive(Debug)]
pub struct HpkiPersonalisation {
    /// The application for signatures.
    pub signature: HpkiFunction,
    /// The application for authentication.
    pub authentication: HpkiFunction,
    /// How it is found.
    pub discovery: Discovery,
}

impl HpkiPersonalisation {
    /// The contents of the layout's slots.
    pub fn contents(&self) -> Result<Contents, PersonalisationError> {
        let mut contents = Contents::new();
        for (application, function) in [
            (HpkiApplication::Signature, &self.signature),
            (HpkiApplication::Authentication, &self.authentication),
        ] {
            let mut fill = |slot: &str, octets: &[u8]| {
                contents.fill(&format!("{}.{slot}", application.slot_prefix()), octets);
            };
            fill("certificate", &function.end_entity_der);
            fill("issuer", &function.issuer_der);
            fill("root", &function.root_der);
            fill("key", &function.private_key.pkcs8_der()?);
            fill("pin", function.pin.octets());
            fill("cia-info", &information::cia_info());
            fill("object-directory", &information::object_directory(self.discovery));
            fill("authentication-objects", &information::authentication_objects());
            fill("private-keys", &information::private_keys(application, self.discovery));
            fill("certificates", &information::certificates(self.discovery));
        }
        if self.discovery == Discovery::EfDir {
            contents.fill("directory", information::directory());
        }
        Ok(contents)
    }

    /// The card image of this holder, in the built-in layout.
    pub fn image(&self) -> Result<CardImage, PersonalisationError> {
        let layout = layout().map_err(ImageError::from)?;
        Ok(CardImage::new(layout, &self.contents()?)?)
    }
}

/// An emulated HPKI card.
#[doc(alias = "HPKIカード")]
#[derive(Debug)]
pub struct HpkiCard(Card);

impl HpkiCard {
    /// A card from the factory, without power.
    pub fn new(image: impl Into<Arc<CardImage>>) -> Self {
        Self(Card::new(image))
    }

    /// A card that was used before, without power. Fails with [`StateError::Range`] where the state
    /// cannot be one of this card.
    pub fn resume(image: impl Into<Arc<CardImage>>, persistent: PersistentState) -> Result<Self, StateError> {
        Card::resume(image, persistent).map(Self)
    }

    /// What a power cut must not undo.
    pub const fn persistent_state(&self) -> &PersistentState {
        self.0.persistent_state()
    }

    /// Tries left before an application's PIN blocks: 0 (blocked) to 15.
    pub fn pin_tries_left(&self, application: HpkiApplication) -> u8 {
        let aid = Aid::new(&application.aid());
        aid.and_then(|aid| self.0.tries_left(&aid, fid::PIN)).unwrap_or(0)
    }

    /// How often an application's key was used since this object was made, by either of its names.
    pub fn signatures(&self, application: HpkiApplication) -> u64 {
        let Some(aid) = Aid::new(&application.aid()) else {
            return 0;
        };
        [fid::PRIVATE_KEY, fid::PRIVATE_KEY_ISSUED].iter().map(|fid| self.0.key_uses(&aid, *fid)).sum()
    }
}

impl EmulatedCard for HpkiCard {
    fn atr(&self) -> &[u8] {
        self.0.atr()
    }

    fn power_on(&mut self) {
        self.0.power_on();
    }

    fn power_off(&mut self) {
        self.0.power_off();
    }

    fn transmit(&mut self, command: &[u8], entropy: &mut dyn Entropy) -> Vec<u8> {
        self.0.transmit(command, entropy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_says_what_the_names_say() {
        let layout = layout().unwrap();
        let names: Vec<&[u8]> = layout.applications.iter().map(|a| a.aid.as_bytes()).collect();
        assert_eq!(names, HpkiApplication::ALL.map(HpkiApplication::aid).each_ref());
        for application in &layout.applications {
            let short =
                |fid| application.objects.iter().find(|object| object.fid == fid).unwrap().short.clone();
            assert_eq!(short(fid::PIN), [0x16, 0x08]);
            assert_eq!(short(fid::PRIVATE_KEY), [0x17]);
            assert_eq!(short(fid::PRIVATE_KEY_ISSUED), [0x0C]);
            assert_eq!(short(fid::CERTIFICATE), [0x18]);
            assert_eq!(short(fid::CERTIFICATE_ISSUED), [0u8; 0]);
            assert_eq!(short(crate::pkcs15::EF_CIA_INFO), [0x12]);
            assert_eq!(short(crate::pkcs15::EF_OBJECT_DIRECTORY), [0x11]);
        }
        // The last octet makes all after the first come to nothing, ISO/IEC 7816-3 §8.2.5.
        assert_eq!(layout.atr.iter().skip(1).fold(0, |sum, octet| sum ^ octet), 0);
    }

    #[test]
    fn tries_are_a_parameter() {
        let tries = |layout: &Layout| {
            let secrets = layout.applications.iter().flat_map(|application| &application.objects);
            secrets
                .filter_map(|object| match object.kind {
                    Kind::Secret { tries, .. } => Some(tries),
                    _ => None,
                })
                .collect::<Vec<u8>>()
        };
        assert_eq!(tries(layout().unwrap()), [15, 15]);
        assert_eq!(tries(&layout_with_tries(PinTries::new(3).unwrap()).unwrap()), [3, 3]);
        assert_eq!(tries(&layout_with_tries(PinTries::ISSUED).unwrap()), [15, 15]);
        assert_eq!(PinTries::new(0).or(PinTries::new(16)), None);
    }

    #[test]
    fn pins_have_one_form() {
        for good in ["1234", "aB3!", "0123456789abcdef"] {
            assert_eq!(HpkiPin::parse(good).unwrap().octets(), good.as_bytes());
        }
        for bad in ["", "123", "12 4", "0123456789abcdefg", "１２３４", "12\n4"] {
            assert_eq!(HpkiPin::parse(bad).map(|_| ()), Err(NotAnHpkiPin), "{bad}");
        }
        assert_eq!(format!("{:?}", HpkiPin::parse("1234").unwrap()), "HpkiPin(****)");
    }
}
