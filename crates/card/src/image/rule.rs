//! Access rules: what has to hold before an object is read, used or changed.
//!
//! | rule | holds |
//! |---|---|
//! | `free` | always |
//! | `never` | never |
//! | `secret 0018` | the secret in object 0018 of the same application was presented |
//! | `secret 0018 once` | it was presented; one use takes that away again |
//! | `institution-once` | an institution was authenticated; one use takes it away again |
//! | `secure-messaging` | this command came inside secure messaging |
//! | `armed` | a Secure Element is armed by the platform |
//! | `offline` | a Secure Element is armed by a physician, without the platform |
//!
//! Terms are joined by `and`, which binds stronger, and `or`. `free` and `never` stand alone.

/// One condition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Term {
    /// The secret in the object with this identifier, in the same application, was presented.
    Secret(u16),
    /// The same, and this is the one use that it opens.
    SecretOnce(u16),
    /// An institution was authenticated, and this is the one use that it opens.
    InstitutionOnce,
    /// The command came inside secure messaging.
    SecureMessaging,
    /// A Secure Element is armed by the platform.
    Armed,
    /// A Secure Element is armed without the platform.
    Offline,
}

/// Any of these, each all of its terms: `never` has none, `free` has one without terms.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rule(Vec<Vec<Term>>);

/// Why a text is not a rule: the part that is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("\"{0}\" is not an access rule")]
pub struct RuleError(pub String);

impl Rule {
    /// Holds always.
    pub fn free() -> Self {
        Self(vec![Vec::new()])
    }

    /// Holds never.
    pub const fn never() -> Self {
        Self(Vec::new())
    }

    /// Parses a rule as it stands in an image.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["free"] => return Ok(Self::free()),
            ["never"] => return Ok(Self::never()),
            _ => {}
        }
        let all_of = |words: &[&str]| words.split(|word| *word == "and").map(term).collect();
        let any: Option<_> = words.split(|word| *word == "or").map(all_of).collect();
        any.map(Self).ok_or_else(|| RuleError(text.to_owned()))
    }

    /// Whether it holds where `holds` says of every term whether it does.
    pub fn opens(&self, holds: impl Fn(Term) -> bool) -> bool {
        self.0.iter().any(|all| all.iter().all(|term| holds(*term)))
    }

    /// Whether it holds without any condition.
    pub fn is_free(&self) -> bool {
        self.opens(|_| false)
    }

    /// Every term, in the order of the text.
    pub fn terms(&self) -> impl Iterator<Item = Term> {
        self.0.iter().flatten().copied()
    }
}

fn term(words: &[&str]) -> Option<Term> {
    Some(match words {
        ["secret", identifier] => Term::Secret(file_identifier(identifier)?),
        ["secret", identifier, "once"] => Term::SecretOnce(file_identifier(identifier)?),
        ["institution-once"] => Term::InstitutionOnce,
        ["secure-messaging"] => Term::SecureMessaging,
        ["armed"] => Term::Armed,
        ["offline"] => Term::Offline,
        _ => return None,
    })
}

/// Four hexadecimal digits.
fn file_identifier(digits: &str) -> Option<u16> {
    let hexadecimal = digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if hexadecimal { u16::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(rule: &str, given: &[Term]) -> bool {
        Rule::parse(rule).unwrap().opens(|term| given.contains(&term))
    }

    #[test]
    fn and_binds_stronger_than_or() {
        let rule = "secret 0018 or institution-once and secure-messaging";
        assert!(opens(rule, &[Term::Secret(0x18)]));
        assert!(!opens(rule, &[Term::InstitutionOnce]));
        assert!(!opens(rule, &[Term::SecureMessaging]));
        assert!(opens(rule, &[Term::InstitutionOnce, Term::SecureMessaging]));
        assert!(!opens(rule, &[Term::Secret(0x1B), Term::Armed, Term::Offline]));
    }

    #[test]
    fn free_and_never() {
        assert!(opens("free", &[]) && Rule::parse(" free ").unwrap().is_free());
        assert!(!opens("never", &[Term::Armed, Term::Secret(0)]));
        assert!(!Rule::parse("armed").unwrap().is_free());
        assert_eq!(Rule::parse("armed or offline").unwrap().terms().count(), 2);
    }

    #[test]
    fn once_is_another_term() {
        assert!(opens("secret 0002 once", &[Term::SecretOnce(2)]));
        assert!(!opens("secret 0002 once", &[Term::Secret(2)]));
        assert!(opens("armed or secret 0002 once and offline", &[Term::Offline, Term::SecretOnce(2)]));
    }

    #[test]
    fn what_is_not_a_rule() {
        for bad in [
            "",
            "or",
            "and",
            "always",
            "free or armed",
            "never and armed",
            "secret",
            "secret 18",
            "secret 00018",
            "secret 001G",
            "armed or",
            "or armed",
            "armed and and offline",
            "armed offline",
            "Armed",
            "not armed",
            "secret +018",
            "once",
            "secret once",
            "secret 0018 twice",
            "armed once",
        ] {
            assert_eq!(Rule::parse(bad), Err(RuleError(bad.to_owned())), "{bad}");
        }
    }
}
