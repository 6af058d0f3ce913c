//! Ten thousand paths that nobody thought of one by one: a generator of chains and lists, with a rule of RFC
//! 5280 bent, or nearly bent, in each. The seed makes the same cases everywhere; keys are new in every run,
//! and no verdict depends on them.
//!
//! What is known to be judged differently by others is marked where it is made ([`Quirk`]), not where it is
//! found, so that a disagreement is explained by what the case holds.

use crate::asked::Given;
use crate::forge::{
    Cert, DAY, LEAF_USAGE, List, NOW, alternative_names, directory, dns, extension, inhibit_any_policy,
    mappings, name_constraints, policies, policy_constraints, purposes,
};
use pki::asn1::read::Reader;
use pki::asn1::{tag, write};
use pki::oid;
use std::collections::BTreeSet;

/// What a generated case bends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Rule {
    Dates,
    Signatures,
    NameChaining,
    BasicConstraints,
    PathLength,
    KeyUsage,
    CriticalExtensions,
    Policies,
    DnsConstraints,
    MailConstraints,
    UriConstraints,
    AddressConstraints,
    DirectoryConstraints,
    Purposes,
    Building,
    SeveralAtOnce,
    ListEntries,
    ListDates,
    ListSigners,
    ListScopes,
    Deltas,
    SomeReasons,
    IndirectLists,
    ListExtensions,
}

impl Rule {
    pub(crate) const PATHS: [Self; 16] = [
        Self::Dates,
        Self::Signatures,
        Self::NameChaining,
        Self::BasicConstraints,
        Self::PathLength,
        Self::KeyUsage,
        Self::CriticalExtensions,
        Self::Policies,
        Self::DnsConstraints,
        Self::MailConstraints,
        Self::UriConstraints,
        Self::AddressConstraints,
        Self::DirectoryConstraints,
        Self::Purposes,
        Self::Building,
        Self::SeveralAtOnce,
    ];

    pub(crate) const LISTS: [Self; 8] = [
        Self::ListEntries,
        Self::ListDates,
        Self::ListSigners,
        Self::ListScopes,
        Self::Deltas,
        Self::SomeReasons,
        Self::IndirectLists,
        Self::ListExtensions,
    ];
}

/// Something in a case that openssl and this validator are known to judge differently: a heading of
/// docs/validator-differences.md.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Quirk {
    /// notAfter or nextUpdate is the very second asked about.
    LastSecond,
    /// authorityKeyIdentifier names another key than the one that signed.
    LyingKeyIdentifier,
    /// keyCertSign in a certificate of no authority.
    SigningLeaf,
    /// extKeyUsage with anyExtendedKeyUsage in place of the purpose asked for.
    AnyPurpose,
    /// The list of the anchor's name does not speak of authorities, so not of the anchor itself.
    AnchorNotListed,
    /// Several certificates of one authority, of which not the first is good.
    FirstIssuerBad,
    /// A list without nextUpdate, older than a day.
    NoEnd,
    /// A delta that is past its end and revokes.
    StaleDelta,
    /// certificateIssuer or removeFromCRL where a list may not have it.
    EntryOutOfPlace,
    /// A delta that neither the certificate nor the complete list announces (freshestCRL).
    UnannouncedDelta,
    /// The certificate of a list's issuer may not sign lists.
    UnfitListIssuer,
    /// The list at the distribution point revokes, and the issuer's own does not.
    PointRevokes,
    /// A policy is mapped that only anyPolicy stands for, where anyPolicy is inhibited.
    MappedFromInhibitedAny,
}

/// How a question is put. Cases of one manner go to one process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Manner {
    Path,
    Lists,
    ClientAuth,
    /// Explicit policy, no mapping, no anyPolicy; and whether policies 1 and 2 are asked for.
    Policies {
        explicit: bool,
        no_mapping: bool,
        no_any: bool,
        asked: bool,
    },
}

/// A case ready to be judged.
pub(crate) struct Case {
    pub(crate) number: u64,
    pub(crate) rule: Rule,
    pub(crate) manner: Manner,
    pub(crate) quirks: BTreeSet<Quirk>,
    pub(crate) given: Given,
}

/// Dice that fall the same way everywhere: SplitMix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    /// Once in `times`.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// A chain in the making: the root, authorities from it down, the leaf; and a list by each authority.
pub(crate) struct Chain {
    pub(crate) number: u64,
    pub(crate) root: Cert,
    pub(crate) between: Vec<Cert>,
    pub(crate) leaf: Cert,
    /// More certificates, put into the bag before and after the others.
    pub(crate) first: Vec<Vec<u8>>,
    pub(crate) more: Vec<Vec<u8>>,
    pub(crate) lists: Vec<List>,
    pub(crate) quirks: BTreeSet<Quirk>,
    pub(crate) manner: Manner,
    /// A signature that is broken: 0 is the leaf's, 1 that of the one above.
    torn: Option<usize>,
}

/// Keys from here on are nobody's in a chain.
pub(crate) const STRANGER: usize = 110;

impl Chain {
    /// A good one with `depth` authorities between root and leaf.
    pub(crate) fn new(number: u64, depth: usize) -> Self {
        let key = usize::try_from(number % 90).unwrap();
        let name = |level: usize| format!("O=town/CN=level {level} of {number}");
        let root = Cert::root(&name(0), key);
        let between: Vec<_> = (1..=depth)
            .map(|level| Cert::ca(&name(level), key + level, &name(level - 1), key + level - 1))
            .collect();
        let leaf = Cert::leaf(&name(depth + 1), key + depth + 1, &name(depth), key + depth).serial(700);
        let lists = (0..=depth).map(|level| List::new(&name(level), key + level, &[])).collect();
        let (first, more) = (Vec::new(), Vec::new());
        let (quirks, manner, torn) = (BTreeSet::new(), Manner::Path, None);
        Self { number, root, between, leaf, first, more, lists, quirks, manner, torn }
    }

    pub(crate) fn name(&self, level: usize) -> String {
        format!("O=town/CN=level {level} of {}", self.number)
    }

    /// Root, authorities, leaf.
    fn at(&mut self, level: usize) -> &mut Cert {
        match level {
            0 => &mut self.root,
            level if level <= self.between.len() => &mut self.between[level - 1],
            _ => &mut self.leaf,
        }
    }

    fn give(&mut self, level: usize, extension: Vec<u8>) {
        let kind = |extension: &[u8]| {
            let mut fields = Reader::only_sequence(extension, "extension").unwrap();
            fields.object_identifier("extnID").unwrap().to_vec()
        };
        let cert = self.at(level);
        // One of a kind: a second one takes the place of the first.
        cert.more.retain(|known| kind(known) != kind(&extension));
        cert.more.push(extension);
    }

    pub(crate) fn levels(&self) -> usize {
        self.between.len() + 2
    }

    pub(crate) fn finish(self, rule: Rule) -> Case {
        let torn = |place: usize, mut der: Vec<u8>| {
            if self.torn == Some(place) {
                // Still an INTEGER, of other value.
                let last = der.len() - 1;
                der[last] ^= 1;
            }
            der
        };
        let mut bag = self.first.clone();
        bag.extend(self.between.iter().rev().enumerate().map(|(place, cert)| torn(place + 1, cert.der())));
        bag.extend(self.more.iter().cloned());
        let given = Given {
            anchors: vec![self.root.der()],
            leaf: torn(0, self.leaf.der()),
            bag,
            lists: self.lists.iter().map(List::der).collect(),
            ..Given::default()
        };
        Case { number: self.number, rule, manner: self.manner, quirks: self.quirks, given }
    }
}

/// Makes one case that bends `rule`.
pub(crate) fn case(number: u64, rule: Rule, dice: &mut Dice) -> Case {
    let depth = dice.one_of(&[0, 1, 1, 2, 2, 3]);
    let mut chain = Chain::new(number, depth);
    bend(&mut chain, rule, dice);
    chain.finish(rule)
}

fn bend(chain: &mut Chain, rule: Rule, dice: &mut Dice) {
    match rule {
        Rule::Dates => dates(chain, dice),
        Rule::Signatures => signatures(chain, dice),
        Rule::NameChaining => name_chaining(chain, dice),
        Rule::BasicConstraints => basic_constraints(chain, dice),
        Rule::PathLength => path_length(chain, dice),
        Rule::KeyUsage => key_usage(chain, dice),
        Rule::CriticalExtensions => critical_extensions(chain, dice),
        Rule::Policies => policy(chain, dice),
        Rule::DnsConstraints => constraints(chain, dice, &DNS),
        Rule::MailConstraints => constraints(chain, dice, &MAIL),
        Rule::UriConstraints => constraints(chain, dice, &URI),
        Rule::AddressConstraints => addresses(chain, dice),
        Rule::DirectoryConstraints => directories(chain, dice),
        Rule::Purposes => purpose(chain, dice),
        Rule::Building => building(chain, dice),
        Rule::SeveralAtOnce => {
            for _ in 0..2 {
                let rule = dice.one_of(&[
                    Rule::Dates,
                    Rule::BasicConstraints,
                    Rule::PathLength,
                    Rule::KeyUsage,
                    Rule::CriticalExtensions,
                    Rule::DnsConstraints,
                    Rule::DirectoryConstraints,
                ]);
                bend(chain, rule, dice);
            }
        }
        list_rule => crate::differ_lists::bend(chain, list_rule, dice),
    }
}

fn dates(chain: &mut Chain, dice: &mut Dice) {
    let level = dice.below(chain.levels());
    let seconds = dice.one_of(&[0, 1, 60, DAY]);
    let (is_start, is_past) = (dice.once_in(2), dice.once_in(2));
    let instant = if is_past { NOW.minus(seconds) } else { NOW.plus(seconds) };
    if is_start {
        chain.at(level).not_before = instant;
    } else {
        chain.at(level).not_after = instant;
        if instant == NOW {
            chain.quirks.insert(Quirk::LastSecond);
        }
    }
}

fn signatures(chain: &mut Chain, dice: &mut Dice) {
    let place = dice.below(chain.levels() - 1);
    match dice.below(4) {
        0 => chain.torn = Some(place),
        1 => {
            let level = chain.levels() - 1 - place;
            chain.at(level).signed_by = STRANGER;
        }
        2 => {
            // Signed as it should be, with an identifier of somebody else's key.
            let level = chain.levels() - 1 - place;
            chain.at(level).identifiers = false;
            chain.give(level, crate::forge::authority_key_identifier(STRANGER));
            chain.quirks.insert(Quirk::LyingKeyIdentifier);
        }
        _ => chain.at(place).identifiers = false,
    }
}

fn name_chaining(chain: &mut Chain, dice: &mut Dice) {
    let level = 1 + dice.below(chain.levels() - 1);
    let number = chain.number;
    let above = level - 1;
    let issuer = match dice.below(6) {
        0 => format!("O=town/CN=level {above} of {number}0"),
        1 => format!("CN=level {above} of {number}"),
        2 => format!("CN=level {above} of {number}/O=town"),
        // The same name to RFC 5280 §7.1.
        3 => format!("O=TOWN/CN=Level {above} OF {number}"),
        4 => format!("O= town /CN=level  {above}   of {number}"),
        _ => chain.name(above),
    };
    chain.at(level).issuer = issuer;
}

fn basic_constraints(chain: &mut Chain, dice: &mut Dice) {
    let level = dice.below(chain.levels());
    match dice.below(4) {
        0 => {
            let cert = chain.at(level);
            (cert.authority, cert.usage) = (Some((false, None)), Some(LEAF_USAGE));
        }
        1 => {
            let cert = chain.at(level);
            (cert.authority, cert.usage) = (None, None);
        }
        2 => {
            // Version 1; the root may be, because trust in it does not rest on what it says.
            let cert = chain.at(level);
            (cert.authority, cert.usage, cert.identifiers) = (None, None, false);
        }
        _ => {
            let level = chain.levels() - 1;
            chain.at(level).authority = Some((dice.once_in(2), None));
        }
    }
}

fn path_length(chain: &mut Chain, dice: &mut Dice) {
    for level in 0..chain.between.len() + 1 {
        if dice.once_in(2) {
            let limit = u8::try_from(dice.below(4)).unwrap();
            chain.at(level).authority = Some((true, Some(limit)));
        }
    }
    if !chain.between.is_empty() && dice.once_in(3) {
        // A change of keys: the same name, certified by itself, which does not count.
        let level = 1 + dice.below(chain.between.len());
        let above = chain.at(level).issuer.clone();
        let old = chain.at(level).subject.clone();
        chain.at(level).subject = above.clone();
        for below in level + 1..chain.levels() {
            let cert = chain.at(below);
            if cert.issuer == old {
                cert.issuer.clone_from(&above);
            }
        }
    }
}

fn key_usage(chain: &mut Chain, dice: &mut Dice) {
    let level = dice.below(chain.levels());
    let usage = dice.one_of(&[None, Some(0x0600), Some(0x0400), Some(0x0200), Some(0x8000), Some(0x8600)]);
    chain.at(level).usage = usage;
    if level == chain.levels() - 1 && usage.is_some_and(|bits| bits & 0x0400 != 0) {
        chain.quirks.insert(Quirk::SigningLeaf);
    }
}

fn critical_extensions(chain: &mut Chain, dice: &mut Dice) {
    let level = dice.below(chain.levels());
    let is_critical = dice.once_in(2);
    chain.give(level, extension(&oid::HOLDER_NAME, is_critical, &[5, 0]));
}

fn policy(chain: &mut Chain, dice: &mut Dice) {
    let no_any = dice.once_in(4);
    chain.manner = Manner::Policies {
        explicit: dice.once_in(2),
        no_mapping: dice.once_in(4),
        no_any,
        asked: dice.once_in(2),
    };
    let (mut inhibits_any, mut maps_any) = (no_any, false);
    let last = chain.levels() - 1;
    for level in 1..chain.levels() {
        let mut said: Vec<u32> = (0..4).filter(|_| dice.once_in(2)).collect();
        if said.is_empty() && !dice.once_in(6) {
            said.push(1);
        }
        if !said.is_empty() {
            chain.give(level, policies(&said));
        }
        if level == last {
            continue;
        }
        let pairs: Vec<(u32, u32)> =
            (0..dice.below(3)).map(|_| (1 + dice.below(3) as u32, 1 + dice.below(3) as u32)).collect();
        maps_any |= said.contains(&0) && pairs.iter().any(|(issuer, _)| !said.contains(issuer));
        if !pairs.is_empty() {
            chain.give(level, mappings(&pairs));
        }
        let mut skip = || dice.once_in(6).then(|| u8::try_from(dice.below(3)).unwrap());
        let (explicit, mapping, any) = (skip(), skip(), skip());
        if explicit.is_some() || mapping.is_some() {
            chain.give(level, policy_constraints(explicit, mapping));
        }
        if let Some(any) = any {
            inhibits_any = true;
            chain.give(level, inhibit_any_policy(any));
        }
    }
    if inhibits_any && maps_any {
        chain.quirks.insert(Quirk::MappedFromInhibitedAny);
    }
}

/// A form of name with some bases for constraints and some names to try them on.
struct Form {
    tag: u8,
    bases: &'static [&'static str],
    names: &'static [&'static str],
}

const DNS: Form = Form {
    tag: tag::context(2),
    bases: &["example", "a.example", "b.a.example", ".a.example", "test", "xample", ""],
    names: &["a.example", "example", "b.a.example", "c.b.a.example", "A.EXAMPLE", "x.test", "another"],
};
const MAIL: Form = Form {
    tag: tag::context(1),
    bases: &["a.example", ".example", "x@a.example", "example", "y@example"],
    names: &["x@a.example", "X@a.example", "x@A.example", "y@example", "z@b.a.example", "w@test"],
};
const URI: Form = Form {
    tag: tag::context(6),
    bases: &["a.example", ".example", "example", ".a.example"],
    names: &[
        "https://a.example/p",
        "http://b.a.example:8080/",
        "ldap://example/o=x",
        "https://A.EXAMPLE",
        "https://x.test/a.example",
    ],
};

fn constraints(chain: &mut Chain, dice: &mut Dice, form: &Form) {
    let mut bases = |most: usize| -> Vec<Vec<u8>> {
        (0..dice.below(most + 1)).map(|_| write::tlv(form.tag, dice.one_of(form.bases).as_bytes())).collect()
    };
    let (mut permitted, excluded) = (bases(2), bases(1));
    if permitted.is_empty() && excluded.is_empty() {
        permitted = vec![write::tlv(form.tag, form.bases[0].as_bytes())];
    }
    let level = dice.below(chain.between.len() + 1);
    chain.give(level, name_constraints(&permitted, &excluded));
    let names: Vec<_> =
        (0..=dice.below(2)).map(|_| write::tlv(form.tag, dice.one_of(form.names).as_bytes())).collect();
    let last = chain.levels() - 1;
    chain.give(last, alternative_names(&names));
}

fn addresses(chain: &mut Chain, dice: &mut Dice) {
    let network = |octets: &[u8]| write::tlv(tag::context(7), octets);
    let mut six = [0u8; 32];
    (six[0], six[1], six[16], six[17]) = (0x20, 1, 0xFF, 0xFF);
    let networks = [
        network(&[10, 0, 0, 0, 255, 255, 255, 0]),
        network(&[10, 0, 0, 0, 255, 255, 0, 0]),
        network(&[192, 0, 2, 128, 255, 255, 255, 128]),
        network(&[0; 8]),
        network(&six),
    ];
    let mut host_six = [0u8; 16];
    (host_six[0], host_six[1]) = (0x20, 1);
    let hosts =
        [&[10, 0, 0, 7][..], &[10, 0, 9, 7], &[192, 0, 2, 127], &[192, 0, 2, 128], &host_six, &[9; 16]];
    let is_permitted = dice.once_in(2);
    let one = [dice.one_of(&networks)];
    let (permitted, excluded) = if is_permitted { (&one[..], &[][..]) } else { (&[][..], &one[..]) };
    let level = dice.below(chain.between.len() + 1);
    chain.give(level, name_constraints(permitted, excluded));
    let last = chain.levels() - 1;
    chain.give(last, alternative_names(&[network(dice.one_of(&hosts))]));
}

fn directories(chain: &mut Chain, dice: &mut Dice) {
    let bases = ["O=town", "O=TOWN ", "O=elsewhere", "O=town/OU=x", "C=JP"];
    let mut list = |most: usize| -> Vec<Vec<u8>> {
        (0..dice.below(most + 1)).map(|_| directory(dice.one_of(&bases))).collect()
    };
    let (mut permitted, excluded) = (list(2), list(1));
    if permitted.is_empty() && excluded.is_empty() {
        permitted = vec![directory("O=town")];
    }
    let level = dice.below(chain.between.len() + 1);
    chain.give(level, name_constraints(&permitted, &excluded));
    let last = chain.levels() - 1;
    let number = chain.number;
    if dice.once_in(2) {
        let subject = dice.one_of(&["O=elsewhere", "O=town/OU=x", "O=town", "C=JP/O=town"]);
        chain.at(last).subject = format!("{subject}/CN=leaf of {number}");
    }
    if dice.once_in(2) {
        let other = dice.one_of(&["O=town/CN=other", "O=elsewhere/CN=other"]);
        chain.give(last, alternative_names(&[directory(other), dns("a.example")]));
    }
}

fn purpose(chain: &mut Chain, dice: &mut Dice) {
    chain.manner = Manner::ClientAuth;
    let sets = [
        vec![oid::CLIENT_AUTH],
        vec![oid::SERVER_AUTH],
        vec![oid::SERVER_AUTH, oid::CLIENT_AUTH],
        vec![oid::ANY_PURPOSE],
    ];
    for level in 1..chain.levels() {
        if dice.once_in(2) {
            let set = dice.one_of(&sets);
            if set == [oid::ANY_PURPOSE] {
                chain.quirks.insert(Quirk::AnyPurpose);
            }
            chain.give(level, purposes(&set));
        }
    }
}

/// Other certificates of the same authorities in the bag: expired, of no authority, by strangers, looping.
fn building(chain: &mut Chain, dice: &mut Dice) {
    if chain.between.is_empty() {
        *chain = Chain::new(chain.number, 2);
    }
    for _ in 0..=dice.below(3) {
        let level = 1 + dice.below(chain.between.len());
        let good = chain.between[level - 1].clone();
        let stranger = chain.name(9);
        let other = match dice.below(6) {
            0 => Cert { not_after: NOW.minus(DAY), ..good.clone().serial(901) },
            1 => Cert { authority: None, usage: Some(LEAF_USAGE), ..good.clone().serial(902) },
            2 => Cert { key: STRANGER, ..good.clone().serial(903) },
            3 => Cert { issuer: stranger, signed_by: STRANGER + 1, ..good.clone().serial(904) },
            4 => good.clone().serial(905),
            // Certified from below: a loop.
            _ => {
                let (issuer, signed_by) = (chain.leaf.issuer.clone(), chain.leaf.signed_by);
                Cert { issuer, signed_by, ..good.clone().serial(906) }
            }
        };
        if dice.once_in(2) {
            chain.first.push(other.der());
            chain.quirks.insert(Quirk::FirstIssuerBad);
        } else {
            chain.more.push(other.der());
            chain.quirks.insert(Quirk::FirstIssuerBad);
        }
    }
    if dice.once_in(2) {
        // And the good one itself is gone.
        let level = 1 + dice.below(chain.between.len());
        chain.at(level).not_after = NOW.minus(1);
    }
}
