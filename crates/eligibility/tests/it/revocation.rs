//! The lists that a platform believes: pulled in pieces, followed by newer ones, never by older ones.

use crate::fixture::{Bench, Folder, NOW, authority};
use axum::Router;
use chassis::client::Client;
use chassis::listener::{ListenerLimits, serve_plain};
use chassis::shutdown::{ShutdownSignal, ShutdownTrigger};
use eligibility::revocation::{CurrentRevocation, PullError};
use pki::crl::{Change, CrlContents, CrlProblem, ListPlace, ListShape, RevokedEntry};
use pki::issue::IssuingAuthority;
use pki::revocation::RevocationReason::{self, CertificateHold, RemoveFromCrl, Superseded};
use pki::serial::SerialNumber;
use pki::validate::TrustAnchor;
use protocol::problem::ProblemCode as P;
use std::path::Path;
use std::sync::{Arc, Mutex};

fn serial(number: u64) -> SerialNumber {
    SerialNumber::from_octets(&number.to_be_bytes()).unwrap()
}

fn list(
    authority: &IssuingAuthority,
    number: u64,
    shape: &ListShape<'_>,
    listed: &[(SerialNumber, RevocationReason)],
) -> Vec<u8> {
    let entry = |(serial, reason): &(SerialNumber, RevocationReason)| RevokedEntry {
        serial: *serial,
        revoked_at: NOW,
        reason: *reason,
        invalid_since: None,
    };
    let entries: Vec<_> = listed.iter().map(entry).collect();
    let (this_update, next_update) = (NOW, NOW.plus(86_400));
    authority.issue_list(&CrlContents { number, this_update, next_update, entries: &entries }, shape).unwrap()
}

fn complete(
    authority: &IssuingAuthority,
    number: u64,
    listed: &[(SerialNumber, RevocationReason)],
) -> Vec<u8> {
    list(authority, number, &ListShape::default(), listed)
}

fn delta(
    authority: &IssuingAuthority,
    base: u64,
    number: u64,
    listed: &[(SerialNumber, RevocationReason)],
) -> Vec<u8> {
    list(authority, number, &ListShape { base: Some(base), ..ListShape::default() }, listed)
}

fn opened(authority: &IssuingAuthority, kept: &Path) -> Arc<CurrentRevocation> {
    let anchors = vec![TrustAnchor::from_certificate(authority.certificate_der()).unwrap()];
    Arc::new(CurrentRevocation::open(Arc::new(anchors), kept))
}

/// Number of the one list in force, and what it says of serials 1 to 9.
fn state(revocation: &CurrentRevocation) -> Option<(u64, Vec<(u64, RevocationReason)>)> {
    let held = revocation.load();
    let index = held.lists().next()?;
    let says = |number| index.entry(&serial(number)).map(|(reason, _)| (number, reason));
    Some((index.number().as_u64().unwrap(), (1..10).filter_map(says).collect()))
}

#[tokio::test]
async fn a_delta_holds_and_releases_a_card() {
    let bench = Bench::new();
    let card = bench.card.serial;
    bench.publish(10, &[]);
    assert_eq!(bench.send(&bench.touch(1)).await.status, 200);
    let install = |der: &[u8]| bench.revocation().install(der);
    assert_eq!(install(&delta(&bench.authority, 10, 11, &[(card, CertificateHold)])).unwrap(), Change::New);
    assert_eq!(bench.refused(&bench.touch(2)).await.code, P::CertificateHold);
    let released = delta(&bench.authority, 10, 12, &[(card, RemoveFromCrl)]);
    assert_eq!(install(&released).unwrap(), Change::New);
    assert_eq!(bench.send(&bench.touch(3)).await.status, 200);
    assert_eq!(install(&released).unwrap(), Change::Nothing);
    let older = install(&delta(&bench.authority, 10, 11, &[])).unwrap_err();
    assert!(matches!(older, CrlProblem::OlderThanKnown { .. }), "{older}");
}

#[tokio::test]
async fn a_part_of_a_list_says_nothing_of_a_card_that_names_no_part() {
    let bench = Bench::new();
    let folder = Folder::new();
    let place = ListPlace::new(bench.authority.subject(), "7", "http://crl.example/7.crl").unwrap();
    let shape = ListShape { place: Some(&place), ..ListShape::default() };
    let part = list(&bench.authority, 99, &shape, &[(bench.card.serial, CertificateHold)]);
    // Beside the complete list it changes nothing for this card.
    assert_eq!(bench.revocation().install(&part).unwrap(), Change::New);
    assert_eq!(bench.send(&bench.touch(1)).await.status, 200);
    assert_eq!(bench.revocation().load().lists().count(), 2);
    // And alone it makes no card good.
    let alone = opened(&bench.authority, &folder.0.join("auth.crl"));
    alone.install(&part).unwrap();
    let anchor = [TrustAnchor::from_certificate(bench.authority.certificate_der()).unwrap()];
    let path = pki::validate::path(&bench.card.certificate, &anchor, pki::validate::Profile::JpkiAuth, NOW);
    let status = alone.load().status_of(&path.unwrap(), NOW, 3600);
    assert_eq!(status, pki::revocation::Status::Unknown(pki::revocation::UnknownCause::OtherScope));
}

#[test]
fn whoever_reads_keeps_what_he_began_with_and_waits_for_nobody() {
    let (authority, folder) = (authority(), Folder::new());
    let revocation = opened(&authority, &folder.0.join("auth.crl"));
    revocation.install(&complete(&authority, 1, &[])).unwrap();
    let begun = revocation.load();
    for number in 2..40 {
        // While a reader is in the middle of it.
        revocation.install(&complete(&authority, number, &[(serial(number), Superseded)])).unwrap();
    }
    assert_eq!(begun.lists().map(|list| list.number().as_u64()).collect::<Vec<_>>(), [Some(1)]);
    assert_eq!(state(&revocation).unwrap().0, 39);
    // Of many who offer at the same time, in any order, the newest wins.
    let lists: Vec<_> = (40..72).map(|number| complete(&authority, number, &[])).collect();
    std::thread::scope(|scope| {
        for list in lists.iter().rev() {
            scope.spawn(|| revocation.install(list).is_ok());
        }
    });
    assert_eq!(state(&revocation).unwrap().0, 71);
}

/// A server of one list, which the test changes.
struct Server {
    body: Arc<Mutex<Vec<u8>>>,
    client: Client,
    trigger: ShutdownTrigger,
}

impl Server {
    async fn start() -> Self {
        let body = Arc::new(Mutex::new(Vec::new()));
        let served = Arc::clone(&body);
        let route = axum::routing::get(async move || served.lock().unwrap().clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (trigger, signal) = ShutdownSignal::new();
        let router = Router::new().route("/list", route);
        tokio::spawn(serve_plain(listener, router, signal, ListenerLimits::default()));
        Self { body, client: Client::plain(&url).unwrap(), trigger }
    }

    async fn pull(&self, revocation: &Arc<CurrentRevocation>, list: Vec<u8>) -> Result<Change, PullError> {
        *self.body.lock().unwrap() = list;
        revocation.pull(&self.client, "/list").await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.trigger.pull();
    }
}

fn files(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(&folder.0).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn what_was_pulled_is_there_after_a_restart_and_so_is_how_new_it_was() {
    let (authority, folder, server) = (authority(), Folder::new(), Server::start().await);
    let kept = folder.0.join("auth.crl");
    let revocation = opened(&authority, &kept);
    assert_eq!((state(&revocation), revocation.oldest_this_update()), (None, None));
    // Long enough to come in several pieces.
    let mut many: Vec<_> = (100..6_000).map(|number| (serial(number), Superseded)).collect();
    many.push((serial(1), CertificateHold));
    let whole = complete(&authority, 10, &many);
    assert!(whole.len() > 200_000);
    assert_eq!(server.pull(&revocation, whole.clone()).await.unwrap(), Change::New);
    assert_eq!(server.pull(&revocation, whole.clone()).await.unwrap(), Change::Nothing);
    let changes = delta(&authority, 10, 12, &[(serial(1), RemoveFromCrl), (serial(2), CertificateHold)]);
    assert_eq!(server.pull(&revocation, changes).await.unwrap(), Change::New);
    let expected = Some((12, vec![(2, CertificateHold)]));
    assert_eq!(state(&revocation), expected);
    assert_eq!(revocation.oldest_this_update(), Some(NOW));
    assert_eq!(files(&folder), ["auth.crl", "auth.crl.delta"]);
    assert_eq!(std::fs::read(&kept).unwrap(), whole);

    drop(revocation);
    let again = opened(&authority, &kept);
    assert_eq!(state(&again), expected);
    let older = server.pull(&again, delta(&authority, 10, 11, &[])).await.unwrap_err();
    assert!(matches!(older, PullError::Refused(CrlProblem::OlderThanKnown { .. })), "{older}");
    let older = server.pull(&again, complete(&authority, 9, &[])).await.unwrap_err();
    assert!(matches!(older, PullError::Refused(CrlProblem::OlderThanKnown { .. })), "{older}");
    assert_eq!(state(&again), expected);
    // A kept file that was damaged is as good as none.
    std::fs::write(&kept, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(state(&opened(&authority, &kept)), None);
}

#[tokio::test]
async fn a_list_that_turns_out_bad_leaves_no_trace() {
    let (authority, folder, server) = (authority(), Folder::new(), Server::start().await);
    let kept = folder.0.join("auth.crl");
    let revocation = opened(&authority, &kept);
    let first = complete(&authority, 3, &[(serial(1), Superseded)]);
    server.pull(&revocation, first.clone()).await.unwrap();
    let next = complete(&authority, 4, &[]);
    let mut forged = next.clone();
    *forged.last_mut().unwrap() ^= 1;
    let refused = |outcome: Result<Change, PullError>| match outcome {
        Err(PullError::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(server.pull(&revocation, forged).await), CrlProblem::BadSignature);
    let cut = refused(server.pull(&revocation, next[..next.len() - 1].to_vec()).await);
    assert!(matches!(cut, CrlProblem::Malformed(fault) if fault.offset == next.len() - 1), "{cut}");
    let foreign = complete(&crate::fixture::authority(), 9, &[]);
    assert_eq!(refused(server.pull(&revocation, foreign).await), CrlProblem::ForeignIssuer);
    let none = refused(server.pull(&revocation, b"<html>come back later</html>".to_vec()).await);
    assert!(matches!(none, CrlProblem::Malformed(fault) if fault.offset == 0), "{none}");
    let missing = refused(server.pull(&revocation, delta(&authority, 7, 8, &[])).await);
    assert!(matches!(missing, CrlProblem::DeltaWithoutBase { .. }), "{missing}");
    let status = revocation.pull(&server.client, "/elsewhere").await.unwrap_err();
    assert!(matches!(status, PullError::Status(404)), "{status}");

    assert_eq!(state(&revocation), Some((3, vec![(1, Superseded)])));
    assert_eq!(files(&folder), ["auth.crl"]);
    assert_eq!(std::fs::read(&kept).unwrap(), first);
}
