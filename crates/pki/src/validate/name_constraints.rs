//! Name constraints: RFC 5280 §4.2.1.10, §6.1.3 (b) and (c), §6.1.4 (g).
//!
//! The permitted subtrees of several certificates intersect: a name must lie in one of each certificate
//! that names its form. That is kept as it came, level by level, and never multiplied out.
//!
//! | form | in the subtree when | refused as unreadable |
//! |---|---|---|
//! | directoryName (the subject, and among the alternative names) | the base's relative names lead it | – |
//! | rfc822Name (and emailAddress in the subject) | same mailbox; same host; below `.domain` | not one mailbox on a host |
//! | dNSName | equal, or labels added to its left; below `.domain`; `*` counts as every label | not a host name |
//! | uniformResourceIdentifier | host equal; below `.domain` | without a host name |
//! | iPAddress | network and mask of the same family | – |
//! | otherName and the rest | – | always, if such a name comes under such a constraint |

use super::error::{Fault, Work};
use super::names::{self, PreparedName};
use crate::asn1::read::{Malformed, Tlv};
use crate::asn1::tag;
use crate::certificate::Certificate;
use crate::extension::check_each;
use crate::general_name::{GeneralName, NameForm};
use crate::oid;
use std::borrow::Cow;

/// What is wrong with a name, or with the constraints on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NameConstraintFault {
    /// The constraints cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A name lies in no permitted subtree of a certificate above.
    #[error("a {form} lies outside what a certificate above permits")]
    NotPermitted {
        /// Its form.
        form: NameForm,
    },
    /// A name lies in an excluded subtree of a certificate above.
    #[error("a {form} lies in what a certificate above excludes")]
    Excluded {
        /// Its form.
        form: NameForm,
    },
    /// A name under a constraint that nothing here can judge: RFC 5280 §4.2.1.10 asks to refuse it.
    #[error("a {form} comes under a constraint that cannot be judged")]
    Unsupported {
        /// Its form.
        form: NameForm,
    },
    /// A name that is not what its form asks for, so that no constraint can be applied to it.
    #[error("a {form} is not well formed, so that the constraint on it cannot be applied")]
    Unreadable {
        /// Its form.
        form: NameForm,
    },
}

/// One base, by form.
#[derive(Clone, Debug)]
enum Base {
    Directory(PreparedName),
    /// Everything of the form.
    Everything,
    /// The mailbox, octet for octet before the `@` and without case after it.
    Mailbox {
        local: Vec<u8>,
        host: String,
    },
    /// This host and, for a dNSName, every host below it.
    Host(String),
    /// Every host below this domain, and not the domain itself.
    Below(String),
    /// Network and mask, of 4 or 16 octets each.
    Network {
        network: Vec<u8>,
        mask: Vec<u8>,
    },
    /// A form or a distance that is not processed.
    Unsupported,
}

#[derive(Clone, Debug)]
struct Subtree {
    form: NameForm,
    base: Base,
}

/// The constraints of one certificate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subtrees {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

impl Subtrees {
    /// Reads a NameConstraints.
    pub(crate) fn read(value: &Tlv<'_>) -> Result<Self, NameConstraintFault> {
        let mut fields = value.inside();
        if fields.is_empty() {
            // RFC 5280 §4.2.1.10: it must not be an empty sequence.
            return Err(value.malformed("nameConstraints").into());
        }
        let mut read = |number, what| {
            let mut subtrees = Vec::new();
            if let Some(list) = fields.optional(tag::context_constructed(number), what)? {
                check_each(&list, what, |entry| {
                    subtrees.push(Subtree::read(entry)?);
                    Ok(())
                })?;
            }
            Ok::<_, Malformed>(subtrees)
        };
        let permitted = read(0, "permittedSubtrees")?;
        let excluded = read(1, "excludedSubtrees")?;
        fields.finish("nameConstraints")?;
        Ok(Self { permitted, excluded })
    }
}

/// Whether a dNSName base begins with a period, which RFC 5280 §4.2.1.10 does not give it.
pub(super) fn has_dotted_host(value: &Tlv<'_>) -> Result<bool, NameConstraintFault> {
    let constraints = Subtrees::read(value)?;
    let mut subtrees = constraints.permitted.iter().chain(&constraints.excluded);
    Ok(subtrees.any(|subtree| subtree.form == NameForm::Dns && matches!(subtree.base, Base::Below(_))))
}

impl Subtree {
    fn read(entry: &Tlv<'_>) -> Result<Self, Malformed> {
        if entry.tag != tag::SEQUENCE {
            return Err(entry.malformed("general subtree"));
        }
        let mut fields = entry.inside();
        let name = GeneralName::read(fields.any("base")?)?;
        let minimum = fields.optional(tag::context(0), "minimum")?;
        let maximum = fields.optional(tag::context(1), "maximum")?;
        fields.finish("general subtree")?;
        // DEFAULT 0 is never encoded, so a minimum that is there is another one. RFC 5280 §4.2.1.10 lets
        // nobody use it; where it is used anyway, names under it are refused.
        let base =
            if minimum.is_some() || maximum.is_some() { Base::Unsupported } else { Base::read(&name)? };
        Ok(Self { form: name.form, base })
    }
}

impl Base {
    fn read(name: &GeneralName<'_>) -> Result<Self, Malformed> {
        let fault = || name.tlv.malformed(name.form.as_str());
        let text = || std::str::from_utf8(name.value).map_err(|_| fault());
        Ok(match name.form {
            NameForm::Directory => Self::Directory(PreparedName::new(name.value)?),
            NameForm::Dns | NameForm::Rfc822 | NameForm::Uri if name.value.is_empty() => Self::Everything,
            NameForm::Rfc822 if name.value.contains(&b'@') => {
                let (local, host) = mailbox(name.value).ok_or_else(fault)?;
                Self::Mailbox { local, host }
            }
            // RFC 5280 §4.2.1.10 has the leading period for mail and URIs only; issuers write it for hosts
            // too, and readers agree on what it means there.
            NameForm::Dns | NameForm::Rfc822 | NameForm::Uri => match text()?.strip_prefix('.') {
                Some(domain) => Self::Below(host_name(domain).ok_or_else(fault)?),
                None => Self::Host(host_name(text()?).ok_or_else(fault)?),
            },
            NameForm::IpAddress => {
                let half = name.value.len() / 2;
                let (network, mask) = name.value.split_at_checked(half).ok_or_else(fault)?;
                if !matches!(name.value.len(), 8 | 32) || !is_mask(mask) {
                    return Err(fault());
                }
                Self::Network { network: network.to_vec(), mask: mask.to_vec() }
            }
            NameForm::Other | NameForm::X400 | NameForm::EdiParty | NameForm::RegisteredId => {
                Self::Unsupported
            }
        })
    }
}

/// RFC 4632 §3.1: ones, then zeros.
fn is_mask(mask: &[u8]) -> bool {
    let mut rest = mask.iter().skip_while(|octet| **octet == 0xFF);
    let edge = rest.next().copied().unwrap_or(0);
    edge.leading_ones() + edge.trailing_zeros() >= 8 && rest.all(|octet| *octet == 0)
}

/// A host name in lower case: labels of letters, digits, `-` and `_`, parted by single dots.
fn host_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
    };
    (text.len() <= 253 && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

/// The two sides of a mailbox. A quoted local part may hold an `@`, and means what it says without quotes and
/// backslashes (RFC 5321 §4.1.2).
fn mailbox(octets: &[u8]) -> Option<(Vec<u8>, String)> {
    let at = octets.iter().rposition(|octet| *octet == b'@')?;
    let (local, host) = (octets.get(..at)?, octets.get(at + 1..)?);
    let quoted = local.len() >= 2 && local.starts_with(b"\"") && local.ends_with(b"\"");
    if local.is_empty() || (local.contains(&b'@') && !quoted) {
        return None;
    }
    let host = host_name(std::str::from_utf8(host).ok()?)?;
    let Some(inside) = local.get(1..local.len() - 1).filter(|_| quoted) else {
        return Some((local.to_vec(), host));
    };
    let mut plain = Vec::with_capacity(inside.len());
    let mut rest = inside.iter();
    while let Some(octet) = rest.next() {
        match octet {
            b'\\' => plain.push(*rest.next()?),
            b'"' => return None,
            octet => plain.push(*octet),
        }
    }
    Some((plain, host))
}

/// The host of a URI, if it has one that is a name: RFC 3986 §3.2.
fn uri_host(octets: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(octets).ok()?;
    let (scheme, rest) = text.split_once(':')?;
    if scheme.is_empty() || !scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c)) {
        return None;
    }
    let authority = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => host,
        Some(_) => return None,
        None => host,
    };
    // RFC 5280 §4.2.1.10: an address in place of a name is refused.
    let last_label = host.rsplit('.').next()?;
    if last_label.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    host_name(host)
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|front| front.ends_with('.'))
}

/// A name of a certificate, ready to be compared.
enum Subject<'a> {
    Directory(PreparedName),
    Mailbox {
        local: Vec<u8>,
        host: String,
    },
    /// A host, and whether its first label is `*`.
    Host {
        host: String,
        wildcard: bool,
    },
    Address(&'a [u8]),
    /// A form that is not processed.
    Other,
}

impl<'a> Subject<'a> {
    fn of(form: NameForm, value: &'a [u8]) -> Result<Self, NameConstraintFault> {
        let unreadable = || NameConstraintFault::Unreadable { form };
        let text = || std::str::from_utf8(value).map_err(|_| unreadable());
        Ok(match form {
            NameForm::Directory => Self::Directory(PreparedName::new(value)?),
            NameForm::Rfc822 => {
                let (local, host) = mailbox(value).ok_or_else(unreadable)?;
                Self::Mailbox { local, host }
            }
            NameForm::Dns => {
                let text = text()?;
                let (host, wildcard) = text.strip_prefix("*.").map_or((text, false), |rest| (rest, true));
                Self::Host { host: host_name(host).ok_or_else(unreadable)?, wildcard }
            }
            NameForm::Uri => Self::Host { host: uri_host(value).ok_or_else(unreadable)?, wildcard: false },
            NameForm::IpAddress => Self::Address(value),
            NameForm::Other | NameForm::X400 | NameForm::EdiParty | NameForm::RegisteredId => Self::Other,
        })
    }

    /// Whether every name that this one stands for lies in the subtree.
    fn is_inside(&self, form: NameForm, base: &Base) -> bool {
        match (self, base) {
            (_, Base::Everything) => true,
            (Self::Directory(name), Base::Directory(base)) => name.is_within(base),
            (Self::Mailbox { local, host }, Base::Mailbox { local: base_local, host: base_host }) => {
                local == base_local && host == base_host
            }
            (Self::Mailbox { host, .. }, Base::Host(base)) => host == base,
            (Self::Mailbox { host, .. }, Base::Below(base)) => is_below(host, base),
            (Self::Host { host, .. }, Base::Host(base)) => {
                host == base || (form == NameForm::Dns && is_below(host, base))
            }
            (Self::Host { host, wildcard }, Base::Below(base)) => {
                is_below(host, base) || (*wildcard && host == base)
            }
            (Self::Address(address), Base::Network { network, mask }) => {
                address.len() == network.len()
                    && address.iter().zip(network).zip(mask).all(|((a, n), m)| a & m == n & m)
            }
            _ => false,
        }
    }

    /// Whether some name that this one stands for lies in the subtree: `*.example` may be `a.example`.
    fn touches(&self, form: NameForm, base: &Base) -> bool {
        if self.is_inside(form, base) {
            return true;
        }
        match (self, base) {
            (Self::Host { host, wildcard: true }, Base::Host(base)) => {
                base.strip_suffix(host.as_str()).and_then(|front| front.strip_suffix('.')).is_some_and(
                    // One label in place of the `*`.
                    |label| !label.contains('.'),
                )
            }
            _ => false,
        }
    }
}

/// The constraints of all certificates above: RFC 5280 §6.1.2 (b), (c).
#[derive(Debug, Default)]
pub(crate) struct NameState<'a> {
    levels: Vec<Cow<'a, Subtrees>>,
    comparisons: usize,
}

impl<'a> NameState<'a> {
    /// RFC 5280 §6.1.4 (g).
    pub(crate) fn add(&mut self, subtrees: Cow<'a, Subtrees>) {
        self.levels.push(subtrees);
    }

    /// RFC 5280 §6.1.3 (b), (c), for all names of a certificate.
    pub(crate) fn check(
        &mut self,
        certificate: &Certificate<'_>,
        comparisons_max: usize,
    ) -> Result<(), Fault> {
        if self.levels.is_empty() {
            return Ok(());
        }
        let subject = certificate.subject_der();
        if !names::is_empty(subject) {
            self.check_name(NameForm::Directory, subject, comparisons_max)?;
        }
        for mail in names::values_of(subject, &oid::EMAIL_ADDRESS)? {
            self.check_name(NameForm::Rfc822, mail.content, comparisons_max)?;
        }
        if let Some(list) = certificate.extensions().alternative_names {
            let mut rest = list.value.inside();
            while !rest.is_empty() {
                let name = GeneralName::read_alternative(rest.any("subjectAltName")?)?;
                if is_internationalised_mailbox(&name)? {
                    self.refuse_if_constrained(NameForm::Rfc822)?;
                }
                self.check_name(name.form, name.value, comparisons_max)?;
            }
        }
        Ok(())
    }

    fn is_constrained(&self, form: NameForm) -> bool {
        self.levels
            .iter()
            .any(|level| level.permitted.iter().chain(&level.excluded).any(|subtree| subtree.form == form))
    }

    fn refuse_if_constrained(&self, form: NameForm) -> Result<(), NameConstraintFault> {
        if self.is_constrained(form) { Err(NameConstraintFault::Unsupported { form }) } else { Ok(()) }
    }

    fn check_name(&mut self, form: NameForm, value: &[u8], comparisons_max: usize) -> Result<(), Fault> {
        let subtrees: usize =
            self.levels.iter().map(|level| level.permitted.len() + level.excluded.len()).sum();
        self.comparisons = self.comparisons.saturating_add(subtrees);
        if self.comparisons > comparisons_max {
            return Err(Fault::WorkLimit { work: Work::NameComparisons, limit: comparisons_max });
        }
        if !self.is_constrained(form) {
            return Ok(());
        }
        let subject = Subject::of(form, value)?;
        for level in &self.levels {
            let (permitted, excluded) = (bases(&level.permitted, form), bases(&level.excluded, form));
            if permitted.iter().chain(&excluded).any(|base| matches!(base, Base::Unsupported)) {
                return Err(NameConstraintFault::Unsupported { form }.into());
            }
            if excluded.iter().any(|base| subject.touches(form, base)) {
                return Err(NameConstraintFault::Excluded { form }.into());
            }
            if !permitted.is_empty() && !permitted.iter().any(|base| subject.is_inside(form, base)) {
                return Err(NameConstraintFault::NotPermitted { form }.into());
            }
        }
        Ok(())
    }
}

fn bases(subtrees: &[Subtree], form: NameForm) -> Vec<&Base> {
    subtrees.iter().filter(|subtree| subtree.form == form).map(|subtree| &subtree.base).collect()
}

/// id-on-SmtpUTF8Mailbox: RFC 9598 §6 puts it under rfc822Name constraints, which nothing here compares
/// with it; so it is refused where there are any.
fn is_internationalised_mailbox(name: &GeneralName<'_>) -> Result<bool, Malformed> {
    if name.form != NameForm::Other {
        return Ok(false);
    }
    Ok(name.tlv.inside().object_identifier("otherName")? == oid::SMTP_UTF8_MAILBOX.as_bytes())
}

#[cfg(test)]
#[path = "name_constraints_tests.rs"]
mod tests;
