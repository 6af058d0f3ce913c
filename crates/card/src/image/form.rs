//! The form that a secret has: which octets, and how many.

use std::ops::RangeInclusive;

/// Which octets may stand in a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Alphabet {
    /// ASCII digits: `digits`.
    Digits,
    /// ASCII digits and upper-case letters: `upper-alphanumeric`.
    UpperAlphanumeric,
    /// Visible ASCII characters: `ascii`.
    Ascii,
    /// Any octets: `octets`.
    Octets,
}

/// An alphabet and a length, `digits 4` or `upper-alphanumeric 6..16`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SecretForm {
    alphabet: Alphabet,
    lengths: RangeInclusive<usize>,
}

/// Longest secret, octets: its length is one octet in the persistent state, and no form needs more.
const SECRET_MAX: usize = 64;

/// Why a text is not a form.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is not a form of a secret")]
pub struct FormError(pub String);

impl SecretForm {
    /// Parses a form as it stands in an image: an alphabet and one length or two with `..` between, 1 to 64.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        let form = || {
            let (alphabet, lengths) = text.split_once(' ')?;
            let alphabet = match alphabet {
                "digits" => Alphabet::Digits,
                "upper-alphanumeric" => Alphabet::UpperAlphanumeric,
                "ascii" => Alphabet::Ascii,
                "octets" => Alphabet::Octets,
                _ => return None,
            };
            let (least, most) = lengths.split_once("..").unwrap_or((lengths, lengths));
            let lengths: RangeInclusive<usize> = least.parse().ok()?..=most.parse().ok()?;
            let sound =
                *lengths.start() >= 1 && lengths.start() <= lengths.end() && *lengths.end() <= SECRET_MAX;
            sound.then_some(Self { alphabet, lengths })
        };
        form().ok_or_else(|| FormError(text.to_owned()))
    }

    /// Whether a secret has this form.
    pub fn fits(&self, secret: &[u8]) -> bool {
        let allowed = |octet: &u8| match self.alphabet {
            Alphabet::Digits => octet.is_ascii_digit(),
            Alphabet::UpperAlphanumeric => octet.is_ascii_digit() || octet.is_ascii_uppercase(),
            Alphabet::Ascii => octet.is_ascii_graphic(),
            Alphabet::Octets => true,
        };
        self.lengths.contains(&secret.len()) && secret.iter().all(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_what_fits_them() {
        let pin = SecretForm::parse("digits 4").unwrap();
        assert!(pin.fits(b"1234"));
        for bad in [&b""[..], b"123", b"12345", b"12a4"] {
            assert!(!pin.fits(bad));
        }
        let password = SecretForm::parse("upper-alphanumeric 6..16").unwrap();
        assert!(password.fits(b"ABC123") && password.fits(b"ABCDEFGHIJ123456"));
        assert!(
            !password.fits(b"ABC12") && !password.fits(b"abc123") && !password.fits(b"ABCDEFGHIJ1234567")
        );
        let ascii = SecretForm::parse("ascii 4..16").unwrap();
        assert!(ascii.fits(b"1234") && ascii.fits(b"aZ-9!") && !ascii.fits(b"12 4") && !ascii.fits(b"123"));
        assert!(SecretForm::parse("octets 2").unwrap().fits(&[0, 255]));
    }

    #[test]
    fn what_is_not_a_form() {
        for bad in [
            "",
            "digits",
            "digits 0",
            "digits 5..4",
            "digits 65",
            "digits  4",
            "letters 4",
            "digits 4..",
            "digits -1",
        ] {
            assert_eq!(SecretForm::parse(bad), Err(FormError(bad.to_owned())), "{bad}");
        }
    }
}
