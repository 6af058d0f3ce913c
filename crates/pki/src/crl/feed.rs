//! A list read while it arrives: RFC 5280 §5.1. A list of millions never lies whole in memory; what stays of an
//! entry is its 28 octets in the table, and the signature is checked over a digest that runs along.
//!
//! | part | kept until |
//! |---|---|
//! | up to the entries: algorithm, issuer, dates | the end; at most [`HEAD_OCTETS_MAX`] |
//! | one entry that a push has cut in two | its other half comes; at most [`ENTRY_OCTETS_MAX`] |
//! | behind the entries: extensions, signature | the end; at most [`TAIL_OCTETS_MAX`] |
//!
//! Nothing of a list can be asked before [`ListFeed::finish`] has found its signature good.

use super::CrlProblem;
use super::coverage::Coverage;
use super::index::{RevocationDelta, RevocationIndex, VerifiedList};
use super::list::{ListEntry, ListExtensions, ListHead};
use super::table::{Entry, EntryTable};
use crate::asn1::read::{Header, Malformed, Reader, Tlv, check_nested};
use crate::asn1::tag;
use crate::revocation::RevocationReason;
use crate::signature_scheme::{SignatureDigest, SignatureScheme};
use crate::validate::TrustAnchor;
use aws_lc_rs::digest;
use std::fmt;

/// Octets before the entries at most: names of 60 kB are nobody's.
pub const HEAD_OCTETS_MAX: usize = 65_536;
/// Octets of one entry at most; usual ones have 40.
pub const ENTRY_OCTETS_MAX: usize = 65_536;
/// Octets behind the entries at most.
pub const TAIL_OCTETS_MAX: usize = 262_144;

/// Where the parts of a list lie, in octets from its start.
#[derive(Clone, Copy)]
struct Plan {
    tbs: usize,
    entries: usize,
    entries_end: usize,
    tbs_end: usize,
    end: usize,
}

enum Phase {
    /// `held` is all that came so far.
    Head,
    /// `held` is the beginning of an entry.
    Entries(Plan),
    /// `held` is what came behind the entries.
    Tail(Plan),
    Refused(CrlProblem),
}

/// Reads one list, piece by piece, and believes it at the end if one of the anchors signed it.
pub struct ListFeed<'t> {
    anchors: &'t [TrustAnchor],
    phase: Phase,
    held: Vec<u8>,
    head: Vec<u8>,
    /// Octets taken so far.
    taken: usize,
    digest: Option<(SignatureScheme, digest::Context)>,
    is_v2: bool,
    entries: Vec<Entry>,
    /// Where the first removeFromCRL stands: in deltas only.
    removal: Option<Malformed>,
}

impl fmt::Debug for ListFeed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListFeed")
            .field("octets", &self.taken)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl<'t> ListFeed<'t> {
    /// A feed for one list of one of `anchors`.
    pub const fn new(anchors: &'t [TrustAnchor]) -> Self {
        Self {
            anchors,
            phase: Phase::Head,
            held: Vec::new(),
            head: Vec::new(),
            taken: 0,
            digest: None,
            is_v2: false,
            entries: Vec::new(),
            removal: None,
        }
    }

    /// Takes the next octets of the list, as many as there are.
    ///
    /// # Errors
    /// The list is refused, the sooner the better: a foreign one before its first entry. Everything that
    /// was read of it is dropped then, and every later call says the same.
    pub fn push(&mut self, octets: &[u8]) -> Result<(), CrlProblem> {
        let mut rest = octets;
        while !rest.is_empty() {
            let (phase, entries_left) = match &self.phase {
                Phase::Refused(problem) => return Err(*problem),
                Phase::Head => (0, 0),
                Phase::Entries(plan) => (1, plan.entries_end - self.taken),
                Phase::Tail(_) => (2, 0),
            };
            let taken = match phase {
                0 => self.take_head(rest),
                1 => self.take_entries(rest.get(..entries_left).unwrap_or(rest)),
                _ => self.take_tail(rest),
            };
            match taken {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(problem) => return Err(self.refuse(problem)),
            }
        }
        Ok(())
    }

    fn refuse(&mut self, problem: CrlProblem) -> CrlProblem {
        let refused = Self { phase: Phase::Refused(problem), ..Self::new(self.anchors) };
        *self = refused;
        problem
    }

    /// Collects the head; gives how much of `octets` belonged to it.
    fn take_head(&mut self, octets: &[u8]) -> Result<usize, CrlProblem> {
        let before = self.held.len();
        let room = HEAD_OCTETS_MAX.saturating_sub(before);
        self.held.extend_from_slice(octets.get(..room).unwrap_or(octets));
        let Some(plan) = find_parts(&self.held)? else {
            if self.held.len() >= HEAD_OCTETS_MAX {
                return Err(Malformed { what: "tbsCertList", offset: 0 }.into());
            }
            self.taken = self.held.len();
            return Ok(self.held.len() - before);
        };
        self.held.truncate(plan.entries);
        let head = read_head(&self.held, &plan)?;
        let named = |anchor: &&TrustAnchor| anchor.may_have_issued(head.issuer, None);
        if !self.anchors.iter().any(|anchor| named(&anchor)) {
            return Err(CrlProblem::ForeignIssuer);
        }
        let scheme = SignatureScheme::read(&head.algorithm).map_err(|_| CrlProblem::BadSignature)?;
        let mut context = digest::Context::new(match scheme.digest() {
            Some(SignatureDigest::Sha256) => &digest::SHA256,
            Some(SignatureDigest::Sha384) => &digest::SHA384,
            Some(SignatureDigest::Sha512) => &digest::SHA512,
            Some(SignatureDigest::Sha1) => return Err(CrlProblem::BadSignature),
            None => return Err(CrlProblem::NotInOnePass),
        });
        context.update(self.held.get(plan.tbs..).unwrap_or_default());
        self.is_v2 = head.is_v2;
        self.digest = Some((scheme, context));
        self.taken = plan.entries;
        self.head = std::mem::take(&mut self.held);
        self.phase = if plan.entries < plan.entries_end { Phase::Entries(plan) } else { Phase::Tail(plan) };
        Ok(plan.entries.saturating_sub(before))
    }

    fn run_along(&mut self, signed: &[u8]) {
        if let Some((_, context)) = &mut self.digest {
            context.update(signed);
        }
    }

    /// Takes entries; `octets` ends where they end, or before. Gives its length.
    fn take_entries(&mut self, octets: &[u8]) -> Result<usize, CrlProblem> {
        self.run_along(octets);
        let mut rest = octets;
        // The one that the push before cut in two.
        while !self.held.is_empty() && !rest.is_empty() {
            let offset = self.taken - self.held.len();
            let wanted = match self.entry_header(&self.held, offset)? {
                Some(header) => header.whole() - self.held.len(),
                None => 1,
            };
            let (piece, after) = rest.split_at_checked(wanted).unwrap_or((rest, &[]));
            self.held.extend_from_slice(piece);
            self.taken += piece.len();
            rest = after;
            if self.entry_header(&self.held, offset)?.is_some_and(|header| header.whole() == self.held.len())
            {
                let held = std::mem::take(&mut self.held);
                let entry = Reader::at(&held, offset).expect(tag::SEQUENCE, ENTRY)?;
                self.take_entry(&entry)?;
                self.held = held;
                self.held.clear();
            }
        }
        let mut reader = Reader::at(rest, self.taken);
        while !rest.is_empty() {
            let Some(header) = self.entry_header(rest, self.taken)? else { break };
            let Some(after) = rest.get(header.whole()..) else { break };
            let entry = reader.expect(tag::SEQUENCE, ENTRY)?;
            self.taken += header.whole();
            self.take_entry(&entry)?;
            rest = after;
        }
        self.held.extend_from_slice(rest);
        self.taken += rest.len();
        if let Phase::Entries(plan) = self.phase
            && self.taken == plan.entries_end
        {
            self.held = Vec::new();
            self.phase = Phase::Tail(plan);
        }
        Ok(octets.len())
    }

    /// The header of the entry that `octets` begins with at `offset`, checked to end where entries may.
    fn entry_header(&self, octets: &[u8], offset: usize) -> Result<Option<Header>, Malformed> {
        let fault = Malformed { what: ENTRY, offset };
        let Phase::Entries(plan) = &self.phase else { return Err(fault) };
        let room = plan.entries_end - offset;
        match Header::read(octets) {
            Ok(Some(header))
                if header.tag == tag::SEQUENCE
                    && header.whole() <= room
                    && header.whole() <= ENTRY_OCTETS_MAX =>
            {
                Ok(Some(header))
            }
            // A header that ends after the entries do is cut short there.
            Ok(None) if octets.len() < room => Ok(None),
            _ => Err(fault),
        }
    }

    fn take_entry(&mut self, entry: &Tlv<'_>) -> Result<(), CrlProblem> {
        let entry = ListEntry::read(entry, self.is_v2)?;
        let packed = pack(&entry)?;
        if entry.reason == RevocationReason::RemoveFromCrl && self.removal.is_none() {
            self.removal = Some(entry.place.malformed("reasonCode"));
        }
        if self.entries.len() == self.entries.capacity() {
            self.make_room();
        }
        self.entries.push(packed);
        Ok(())
    }

    /// Room for as many as the list promises, but never for more than four times what has really come.
    fn make_room(&mut self) {
        let Phase::Entries(plan) = &self.phase else { return };
        let count = self.entries.len();
        let (read, all) = (self.taken.saturating_sub(plan.entries), plan.entries_end - plan.entries);
        let promised = count.saturating_mul(all) / read.max(1);
        let wanted = (promised + promised / 64 + 1).min(count * 4);
        self.entries.reserve_exact(wanted.max(count + count / 4 + 16) - count);
    }

    fn take_tail(&mut self, octets: &[u8]) -> Result<usize, CrlProblem> {
        let Phase::Tail(plan) = self.phase else { return Ok(octets.len()) };
        if self.taken >= plan.end {
            return Err(Malformed { what: LIST, offset: plan.end }.into());
        }
        let piece = octets.get(..plan.end - self.taken).unwrap_or(octets);
        let signed = piece.get(..plan.tbs_end.saturating_sub(self.taken)).unwrap_or(piece);
        self.run_along(signed);
        self.held.extend_from_slice(piece);
        self.taken += piece.len();
        Ok(piece.len())
    }

    /// Ends the list, checks its signature, and lays its entries out.
    ///
    /// # Errors
    /// See [`CrlProblem`]; nothing of a refused list is used.
    pub fn finish(mut self) -> Result<VerifiedList, CrlProblem> {
        let plan = match self.phase {
            Phase::Refused(problem) => return Err(problem),
            Phase::Tail(plan) if self.taken == plan.end => plan,
            _ => return Err(Malformed { what: LIST, offset: self.taken }.into()),
        };
        let head = read_head(&self.head, &plan)?;
        let (extensions, outer) =
            self.held.split_at_checked(plan.tbs_end - plan.entries_end).unwrap_or_default();
        let extensions = ListExtensions::read(&mut Reader::at(extensions, plan.entries_end), &head)?;
        let signature = read_signature(Reader::at(outer, plan.tbs_end), &head)?;
        let digest = self.digest.take();
        let (scheme, context) = digest.ok_or(CrlProblem::BadSignature)?;
        let list = Finished { head, extensions, scheme, digest: context.finish(), signature };
        list.believe(self.anchors, &plan, self.removal, std::mem::take(&mut self.entries))
    }
}

const LIST: &str = "certificateList";
const ENTRY: &str = "revoked certificate";

/// All of a list but its entries.
struct Finished<'l> {
    head: ListHead<'l>,
    extensions: ListExtensions<'l>,
    scheme: SignatureScheme,
    digest: digest::Digest,
    signature: &'l [u8],
}

impl Finished<'_> {
    fn believe(
        &self,
        anchors: &[TrustAnchor],
        plan: &Plan,
        removal: Option<Malformed>,
        entries: Vec<Entry>,
    ) -> Result<VerifiedList, CrlProblem> {
        let fault = |what| CrlProblem::from(Malformed { what, offset: plan.tbs });
        let (head, extensions) = (&self.head, &self.extensions);
        if !head.is_v2 {
            return Err(fault("version"));
        }
        let unsupported = |offset| CrlProblem::UnsupportedCriticalExtension { offset };
        if let Some(unknown) = extensions.unknown_critical {
            return Err(unsupported(unknown.offset));
        }
        let scope = extensions.scope.as_ref();
        let coverage = Coverage::of(scope)
            .ok_or_else(|| unsupported(extensions.narrowed_at.unwrap_or(plan.entries_end)))?;
        let number = extensions.number.ok_or_else(|| fault("cRLNumber"))?;
        // nextUpdate is OPTIONAL in the syntax; RFC 5280 §5.1.2.5 demands it, and without it no age has a limit.
        let next_update = head.next_update.ok_or_else(|| fault("nextUpdate"))?.saturating_unix();
        let this_update = head.this_update.saturating_unix();
        if let Some(removal) = removal.filter(|_| extensions.base_number.is_none()) {
            // RFC 5280 §5.3.1: in delta lists only. Read as an entry it would undo nothing here.
            return Err(removal.into());
        }
        let issuer = self.choose_issuer(anchors)?.key_id();
        let delta = RevocationDelta {
            issuer,
            number,
            base: extensions.base_number.unwrap_or(number),
            this_update,
            next_update,
            coverage,
            offset: extensions.narrowed_at.unwrap_or(plan.entries_end),
            entries: EntryTable::new(entries).into(),
        };
        Ok(match extensions.base_number {
            Some(_) => VerifiedList::Delta(delta),
            None => VerifiedList::Complete(RevocationIndex::of_complete(delta)),
        })
    }

    /// By name and key identifier first, then by whose key verifies: two authorities may share a name.
    fn choose_issuer<'t>(&self, anchors: &'t [TrustAnchor]) -> Result<&'t TrustAnchor, CrlProblem> {
        let named = self.extensions.authority_key_identifier;
        let mut outcome = CrlProblem::ForeignIssuer;
        for anchor in anchors.iter().filter(|anchor| anchor.may_have_issued(self.head.issuer, named)) {
            if !anchor.may_sign_lists() {
                outcome = CrlProblem::NotAListSigner;
            } else if anchor.key().verifies_digest(self.scheme, &self.digest, self.signature) {
                return Ok(anchor);
            } else {
                outcome = CrlProblem::BadSignature;
            }
        }
        Err(outcome)
    }
}

/// Fields before the entries. Whether they are the right ones is for [`ListHead::read`] to say.
const FIELDS_MAX: usize = 5;

/// Where the parts lie, once enough has come to say so.
fn find_parts(held: &[u8]) -> Result<Option<Plan>, Malformed> {
    let header = |offset: usize, what| {
        let octets = held.get(offset..).unwrap_or_default();
        Header::read(octets).map_err(|_| Malformed { what, offset })
    };
    let Some(outer) = header(0, LIST)? else { return Ok(None) };
    if outer.tag != tag::SEQUENCE {
        return Err(Malformed { what: LIST, offset: 0 });
    }
    let (tbs, end) = (outer.octets, outer.whole());
    let Some(signed) = header(tbs, "tbsCertList")? else { return Ok(None) };
    let tbs_end = tbs + signed.whole();
    if signed.tag != tag::SEQUENCE || tbs_end > end {
        return Err(Malformed { what: "tbsCertList", offset: tbs });
    }
    // version OPTIONAL, signature, issuer, thisUpdate, nextUpdate OPTIONAL
    let (mut at, mut sequences, mut times) = (tbs + signed.octets, 0, 0);
    for _ in 0..FIELDS_MAX {
        if at >= tbs_end {
            break;
        }
        let Some(tag) = held.get(at).copied() else { return Ok(None) };
        let is_time = matches!(tag, tag::UTC_TIME | tag::GENERALIZED_TIME);
        if sequences == 2 && times > 0 && !(is_time && times < 2) {
            break;
        }
        let Some(field) = header(at, "tbsCertList")? else { return Ok(None) };
        if at + field.whole() > tbs_end {
            return Err(Malformed { what: "tbsCertList", offset: at });
        }
        if held.len() < at + field.whole() {
            return Ok(None);
        }
        sequences += usize::from(tag == tag::SEQUENCE);
        times += usize::from(is_time);
        at += field.whole();
    }
    if at < tbs_end && held.len() == at {
        return Ok(None);
    }
    let (mut entries, mut entries_end) = (at, at);
    if at < tbs_end && held.get(at) == Some(&tag::SEQUENCE) {
        let what = "revokedCertificates";
        let Some(list) = header(at, what)? else { return Ok(None) };
        // RFC 5280 §5.1.2.6: the list must be absent when there is nothing revoked.
        if at + list.whole() > tbs_end || list.content == 0 {
            return Err(Malformed { what, offset: at });
        }
        (entries, entries_end) = (at + list.octets, at + list.whole());
    }
    if end - tbs_end > TAIL_OCTETS_MAX {
        return Err(Malformed { what: LIST, offset: 0 });
    }
    if tbs_end - entries_end > TAIL_OCTETS_MAX {
        return Err(Malformed { what: "crlExtensions", offset: entries_end });
    }
    Ok(Some(Plan { tbs, entries, entries_end, tbs_end, end }))
}

fn read_head<'l>(octets: &'l [u8], plan: &Plan) -> Result<ListHead<'l>, Malformed> {
    let mut reader = Reader::at(octets.get(plan.tbs..).unwrap_or_default(), plan.tbs);
    reader.enter("tbsCertList")?;
    ListHead::read(&mut reader)
}

/// signatureAlgorithm and signatureValue, behind the signed part.
fn read_signature<'l>(mut outer: Reader<'l>, head: &ListHead<'_>) -> Result<&'l [u8], Malformed> {
    let algorithm = outer.expect(tag::SEQUENCE, "signatureAlgorithm")?;
    check_nested(&algorithm, "signatureAlgorithm")?;
    if algorithm.raw != head.algorithm.raw {
        return Err(algorithm.malformed("signatureAlgorithm"));
    }
    let signature = outer.expect(tag::BIT_STRING, "signatureValue")?.whole_octets("signatureValue")?;
    outer.finish(LIST)?;
    Ok(signature)
}

fn pack(entry: &ListEntry<'_>) -> Result<Entry, CrlProblem> {
    if let Some(unknown) = entry.unknown_critical {
        return Err(CrlProblem::UnsupportedCriticalExtension { offset: unknown.offset });
    }
    if let Some(issuer) = entry.issuer {
        // The list would speak for other issuers too.
        return Err(CrlProblem::UnsupportedCriticalExtension { offset: issuer.offset });
    }
    let at = u32::try_from(entry.revoked_at.0).map_err(|_| entry.place.malformed("revocationDate"))?;
    Ok(Entry { serial: *entry.serial.sort_key(), reason: entry.reason.code(), at })
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
