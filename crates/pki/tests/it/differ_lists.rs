//! The lists of the generated cases: RFC 5280 §5 and §6.3 bent one at a time.

use crate::differ::{Chain, Dice, Manner, Quirk, Rule, STRANGER};
use crate::forge::{Cert, DAY, Entry, List, NOW, Scope, directory, distribution_point, extension, revoked};
use pki::asn1::write;
use pki::oid;

/// Bends a rule about lists.
pub(crate) fn bend(chain: &mut Chain, rule: Rule, dice: &mut Dice) {
    chain.manner = Manner::Lists;
    // Most revocations are of the leaf, some of an authority.
    let level = if dice.once_in(4) { dice.below(chain.lists.len()) } else { chain.lists.len() - 1 };
    let serial = match chain.between.get(level) {
        Some(cert) => cert.serial,
        None => chain.leaf.serial,
    };
    match rule {
        Rule::ListEntries => entries(chain, dice, level, serial),
        Rule::ListDates => dates(chain, dice, level, serial),
        Rule::ListSigners => signers(chain, dice, level, serial),
        Rule::ListScopes => scopes(chain, dice, serial),
        Rule::Deltas => deltas(chain, dice, level, serial),
        Rule::SomeReasons => reasons(chain, dice, level, serial),
        Rule::IndirectLists => indirect(chain, dice),
        _ => extensions(chain, dice, level, serial),
    }
}

fn entry(dice: &mut Dice, serial: u64) -> Entry {
    let reason = dice.one_of(&[None, Some(1), Some(3), Some(4), Some(5), Some(6), Some(9)]);
    Entry { reason, ..revoked(serial, 0) }
}

fn entries(chain: &mut Chain, dice: &mut Dice, level: usize, serial: u64) {
    for other in 0..dice.below(4) as u64 {
        chain.lists[level].entries.push(revoked(serial + 5_000 + other, 1));
    }
    if dice.once_in(2) {
        let listed = entry(dice, serial);
        chain.lists[level].entries.push(listed);
    }
    match dice.below(12) {
        0 => {
            // A word for deltas, about somebody else.
            chain.lists[level].entries.push(revoked(4_000, 8));
            chain.quirks.insert(Quirk::EntryOutOfPlace);
        }
        1 => {
            chain.lists.remove(level);
        }
        _ => {}
    }
}

fn dates(chain: &mut Chain, dice: &mut Dice, level: usize, serial: u64) {
    let back = dice.one_of(&[0, 1, 3_600, 3 * DAY]);
    let list = &mut chain.lists[level];
    list.this_update = if dice.once_in(5) { NOW.plus(dice.one_of(&[1, DAY])) } else { NOW.minus(back) };
    list.next_update = match dice.below(6) {
        0 => None,
        1 => Some(NOW.minus(1)),
        2 => Some(NOW),
        _ => Some(NOW.plus(DAY)),
    };
    if list.next_update == Some(NOW) {
        chain.quirks.insert(Quirk::LastSecond);
    }
    if list.next_update.is_none() && back > DAY {
        chain.quirks.insert(Quirk::NoEnd);
    }
    if dice.once_in(6) {
        chain.lists[level].entries.push(revoked(serial, 1));
    }
    if dice.once_in(4) {
        // An older one beside it, which is still good.
        let mut older = chain.lists[level].clone();
        older.number = Some(4);
        older = older.dated(NOW.minus(4 * DAY), Some(NOW.plus(DAY)));
        chain.lists.insert(dice.below(2), older);
    }
}

fn signers(chain: &mut Chain, dice: &mut Dice, level: usize, serial: u64) {
    let listed = dice.once_in(4);
    if listed {
        chain.lists[level].entries.push(revoked(serial, 1));
    }
    match dice.below(4) {
        0 => chain.lists[level].signed_by = STRANGER,
        1 => {
            let usage = dice.one_of(&[0x0400, 0x0600, 0x8400]);
            let cert = match level {
                0 => &mut chain.root,
                level => &mut chain.between[level - 1],
            };
            cert.usage = Some(usage);
        }
        2 => {
            // A key for lists alone, certified by the same authority under its own name.
            let name = chain.name(level);
            let key = chain.lists[level].signed_by;
            let usage = dice.one_of(&[0x0200, 0x0200, 0x8000]);
            let signer =
                Cert { usage: Some(usage), authority: None, ..Cert::ca(&name, STRANGER, &name, key) };
            chain.more.push(signer.serial(950).der());
            chain.lists[level].signed_by = STRANGER;
        }
        _ => {}
    }
}

fn scopes(chain: &mut Chain, dice: &mut Dice, serial: u64) {
    let last = chain.lists.len() - 1;
    let place = dice.one_of(&[None, None, Some("CN=point one"), Some("CN=point two")]);
    let kind = dice.below(4);
    let scope = Scope { place, only_users: kind == 1, only_authorities: kind == 2, ..Scope::default() };
    if last == 0 && (kind == 1 || place.is_some()) {
        chain.quirks.insert(Quirk::AnchorNotListed);
    }
    let mut list = chain.lists.remove(last).scope(scope);
    if dice.once_in(4) {
        list.entries.push(revoked(serial, 1));
        list.entries.push(revoked(chain.leaf.serial, 1));
    }
    chain.lists.push(list);
    if let Some(point) = dice.one_of(&[None, Some("CN=point one"), Some("CN=point one")]) {
        chain.leaf = chain.leaf.clone().with(distribution_point(Some(point), &[], None));
    }
}

fn deltas(chain: &mut Chain, dice: &mut Dice, level: usize, serial: u64) {
    if dice.once_in(2) {
        chain.lists[level].entries.push(revoked(serial, 6));
    }
    let complete = chain.lists[level].clone();
    if dice.once_in(6) {
        chain.quirks.insert(Quirk::UnannouncedDelta);
    } else {
        let point = write::explicit(0, &write::explicit(0, &directory("CN=deltas")));
        let points = write::sequence(&[&write::sequence(&[&point])]);
        chain.lists[level].more.push(extension(&oid::FRESHEST_CRL, false, &points));
    }
    let mut delta = List { entries: Vec::new(), ..complete };
    let (base, number) = dice.one_of(&[(5, 7), (4, 6), (5, 6), (6, 7), (3, 5), (2, 4)]);
    delta = delta.delta(base, number).dated(NOW.minus(60), Some(NOW.plus(3_600)));
    let listed = match dice.below(3) {
        0 => Vec::new(),
        1 => vec![revoked(serial, 8)],
        _ => vec![revoked(serial, dice.one_of(&[1, 4, 6]))],
    };
    if dice.once_in(5) {
        delta = delta.dated(NOW.minus(600), Some(NOW.minus(60)));
        chain.quirks.insert(Quirk::StaleDelta);
    }
    if dice.once_in(6) {
        chain.lists[level] = chain.lists[level].clone().dated(NOW.minus(3 * DAY), Some(NOW.minus(DAY)));
    }
    if dice.once_in(8) {
        delta.signed_by = STRANGER;
    }
    delta.entries = listed;
    chain.lists.push(delta);
}

fn reasons(chain: &mut Chain, dice: &mut Dice, level: usize, serial: u64) {
    const KEYS: &[u8] = &[1, 2];
    const REST: &[u8] = &[3, 4, 5, 6, 7, 8];
    let whole = chain.lists.remove(level);
    let some = |reasons: &'static [u8]| whole.clone().scope(Scope { reasons, ..Scope::default() });
    let (mut keys, mut rest) = (some(KEYS), some(REST));
    match dice.below(6) {
        0 => keys.entries.push(revoked(serial, 1)),
        1 => rest.entries.push(revoked(serial, 3)),
        _ => {}
    }
    match dice.below(4) {
        0 => chain.lists.push(keys),
        1 => chain.lists.push(rest),
        _ => chain.lists.extend([keys, rest]),
    }
}

/// The leaf's status is in the list of another issuer, whose certificate is the root's, and is itself listed.
fn indirect(chain: &mut Chain, dice: &mut Dice) {
    let issuer = chain.name(8);
    let root = chain.root.clone();
    let usage = dice.one_of(&[0x0200, 0x0200, 0x0200, 0x8000]);
    if usage == 0x8000 {
        chain.quirks.insert(Quirk::UnfitListIssuer);
    }
    let signer =
        Cert { usage: Some(usage), authority: None, ..Cert::ca(&issuer, STRANGER, &root.subject, root.key) };
    chain.more.push(signer.serial(960).der());
    chain.leaf = chain.leaf.clone().with(distribution_point(None, &[], Some(&issuer)));
    // Entries keep the name of a certificate's issuer for as long as the test runs.
    let own: &'static str = Box::leak(chain.leaf.issuer.clone().into_boxed_str());
    let serial = chain.leaf.serial;
    let of_own = |serial| Entry { issuer: Some(own), ..revoked(serial, 1) };
    let of_another = |serial| Entry { issuer: Some("CN=another"), ..revoked(serial, 1) };
    let listed = match dice.below(6) {
        0 => vec![of_own(serial)],
        1 => vec![of_own(1), revoked(serial, 4)],
        2 => vec![of_own(1), of_another(2), revoked(serial, 4)],
        3 => vec![revoked(serial, 4)],
        _ => Vec::new(),
    };
    let is_indirect = !dice.once_in(5);
    if !is_indirect && listed.iter().any(|entry| entry.issuer.is_some()) {
        chain.quirks.insert(Quirk::EntryOutOfPlace);
    }
    let scope = Scope { indirect: is_indirect, ..Scope::default() };
    let list = List::new(&issuer, STRANGER, &listed).scope(scope);
    let last = chain.lists.len() - 1;
    if last > 0 && !dice.once_in(5) {
        // Only the other issuer's list speaks of the leaf.
        chain.lists.remove(last);
    } else {
        chain.quirks.insert(Quirk::PointRevokes);
    }
    chain.lists.push(list);
}

fn extensions(chain: &mut Chain, dice: &mut Dice, level: usize, serial: u64) {
    let is_critical = dice.once_in(2);
    match dice.below(3) {
        0 => chain.lists[level].more.push(extension(&oid::HOLDER_NAME, is_critical, &[5, 0])),
        1 => {
            chain.lists[level].number = None;
            let number = extension(&oid::CRL_NUMBER, is_critical, &[2, 1, 5]);
            chain.lists[level].more.push(number);
        }
        _ => chain.lists[level].number = None,
    }
    if dice.once_in(4) {
        chain.lists[level].entries.push(revoked(serial, 5));
    }
}
