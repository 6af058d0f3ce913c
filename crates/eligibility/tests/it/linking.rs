//! Links over a lifetime of cards: followed, corrected, merged, split, undone; and what was known before.

use crate::feed::{Line, Town, file, line, today};
use crate::fixture::NOW;
use eligibility::history::{AsOf, ChangeNumber, Known};
use eligibility::linking::{
    FollowError, Followed, NoAnswer, Renewal, RenewalLinkage, follow_renewals, propose_correction,
    propose_merge, propose_split,
};
use eligibility::store::links::{LinkCause, LinkOutcome, LinkStore as _, Moved};
use protocol::ids::AuthCertSerial;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

fn serial(number: u32) -> AuthCertSerial {
    AuthCertSerial::parse(&(number + 1).to_be_bytes()).unwrap()
}

fn holder(town: &Town, number: u32) -> Option<u64> {
    town.store.holders(&[serial(number)]).unwrap()[0]
}

/// An authority that knows what it is told.
#[derive(Default)]
struct Authority(HashMap<Vec<u8>, Renewal>);

impl RenewalLinkage for Authority {
    fn renewals<'a>(
        &'a self,
        serials: &'a [AuthCertSerial],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Renewal>, NoAnswer>> + Send + 'a>> {
        let answer =
            |serial: &AuthCertSerial| self.0.get(serial.as_bytes()).cloned().unwrap_or(Renewal::Unknown);
        Box::pin(async move { Ok(serials.iter().map(answer).collect()) })
    }
}

/// One that answers nothing, or too little.
struct Silent(Result<Vec<Renewal>, NoAnswer>);

impl RenewalLinkage for Silent {
    fn renewals<'a>(
        &'a self,
        _: &'a [AuthCertSerial],
    ) -> Pin<Box<dyn Future<Output = Result<Vec<Renewal>, NoAnswer>> + Send + 'a>> {
        Box::pin(async move { self.0.clone() })
    }
}

#[tokio::test]
async fn a_renewed_card_leads_to_the_same_person() {
    let town = Town::new();
    town.load(&file(&[line(1), line(2), line(3), line(4), line(5)]));
    let mut authority = Authority::default();
    for (number, answer) in [
        (1, Renewal::Successor(serial(101))),
        (2, Renewal::Current),
        (3, Renewal::Ended),
        (4, Renewal::OnHold),
        (5, Renewal::Successor(serial(2))),
    ] {
        authority.0.insert(serial(number).as_bytes().to_vec(), answer);
    }
    let asked: Vec<_> = [1, 2, 3, 4, 5, 77].map(serial).into();
    let followed = follow_renewals(&town.store, &authority, &asked, NOW).await.unwrap();
    let expected = Followed { linked: 1, already: 0, disputed: 1, current: 2, ended: 1, not_linked: 1 };
    assert_eq!(followed, expected);
    assert_eq!(town.share(101, today()), Some(30));
    // The old link stays for questions about the past; the old certificate is refused by its status.
    assert_eq!(holder(&town, 1), holder(&town, 101));
    // Somebody else's card is not taken from them.
    assert_ne!(holder(&town, 2), holder(&town, 5));
    assert_eq!(town.store.proposals().unwrap().len(), 1);
    let again = follow_renewals(&town.store, &authority, &asked[..4], NOW).await.unwrap();
    assert_eq!((again.linked, again.already), (0, 1));
    // Before the renewal was known, the new serial led nowhere.
    assert!(town.look(101, AsOf { known: Known::Through(1), ..today() }).is_none());
}

#[tokio::test]
async fn an_authority_that_does_not_answer_changes_nothing() {
    let town = Town::new();
    town.load(&file(&[line(1), line(2)]));
    let before = town.dump();
    let asked = [serial(1), serial(2)];
    let silent = Silent(Err(NoAnswer("no route".into())));
    let failed = follow_renewals(&town.store, &silent, &asked, NOW).await;
    assert!(matches!(failed, Err(FollowError::NoAnswer(_))));
    let short = Silent(Ok(vec![Renewal::Current]));
    let failed = follow_renewals(&town.store, &short, &asked, NOW).await;
    assert!(matches!(failed, Err(FollowError::Miscounted { questions: 2, answers: 1 })));
    assert_eq!(town.dump(), before);
}

#[test]
fn a_wrong_link_is_corrected_and_the_correction_undone_and_all_of_it_known() {
    let town = Town::new();
    town.load(&file(&[line(1), Line { share: "010", ..line(2) }]));
    let right = holder(&town, 2);
    let change = propose_correction(&town.store, &serial(1), right, NOW).unwrap();
    assert_eq!(town.share(1, today()), Some(30), "a proposal changes no answer");
    assert_eq!(town.store.confirm(change, NOW).unwrap(), LinkOutcome::Done);
    assert_eq!(town.share(1, today()), Some(10));
    assert_eq!(town.share(1, AsOf { known: Known::Through(1), ..today() }), Some(30));
    assert_eq!(town.store.confirm(change, NOW).unwrap(), LinkOutcome::Unknown);
    assert_eq!(town.store.undo(change, NOW).unwrap(), LinkOutcome::Done);
    assert_eq!(town.share(1, today()), Some(30));
    assert_eq!(town.share(1, AsOf { known: Known::Through(2), ..today() }), Some(10));
    // Undone once; a second time there is something newer in the way.
    assert_eq!(town.store.undo(change, NOW).unwrap(), LinkOutcome::Overtaken);
    // Away from everybody.
    let change = propose_correction(&town.store, &serial(1), None, NOW).unwrap();
    assert_eq!(town.store.confirm(change, NOW).unwrap(), LinkOutcome::Done);
    assert!(town.look(1, today()).is_none());
    assert_eq!(town.store.undo(change, NOW).unwrap(), LinkOutcome::Done);
    assert_eq!(town.share(1, today()), Some(30));
}

#[test]
fn merge_and_undo_is_nothing() {
    let town = Town::new();
    let other = Line { insurer: "990010", from: "20250401", share: "020", ..line(2) };
    town.load(&file(&[line(1)]));
    town.load(&file(&[other]));
    let (one, two) = (holder(&town, 1).unwrap(), holder(&town, 2).unwrap());
    let answers = |known| {
        let as_of = AsOf { known, ..today() };
        [1, 2].map(|number| town.look(number, as_of).map(|holdings| (holdings.in_force, holdings.rows.len())))
    };
    let before = answers(Known::Now);
    let change = propose_merge(&town.store, one, two, NOW).unwrap();
    let proposal = &town.store.proposals().unwrap()[0];
    assert_eq!((proposal.cause, proposal.cards, proposal.members), (LinkCause::Merge, 1, 1));
    assert_eq!(answers(Known::Now), before);
    assert_eq!(town.store.confirm(change, NOW).unwrap(), LinkOutcome::Done);
    assert_eq!((holder(&town, 2), town.store.belongings(two).unwrap().len()), (Some(one), 0));
    assert_eq!(town.look(1, today()).unwrap().rows.len(), 2);
    assert_eq!(town.look(1, today()), town.look(2, today()));
    assert_eq!(answers(Known::Through(2)), before, "as we knew it then");
    // The insurer's next file finds its member where it is now.
    assert_eq!(
        town.load(&file(&[Line { share: "030", insurer: "990010", from: "20250401", ..line(2) }]))
            .counts
            .changed,
        1
    );
    assert_eq!(town.store.undo(change, NOW).unwrap(), LinkOutcome::Done);
    assert_eq!((holder(&town, 1), holder(&town, 2)), (Some(one), Some(two)));
    assert_eq!((town.share(1, today()), town.share(2, today())), (Some(30), Some(30)));
    assert_eq!(town.look(2, today()).unwrap().rows.len(), 1);
}

#[test]
fn split_and_undo_is_nothing_and_a_dropped_proposal_never_was() {
    let town = Town::new();
    town.load(&file(&[line(1)]));
    // The same card under another insurer: one record that is two humans.
    town.load(&file(&[Line { insurer: "990010", from: "20250401", share: "020", ..line(1) }]));
    let person = holder(&town, 1).unwrap();
    let before = town.look(1, today());
    let belongings = town.store.belongings(person).unwrap();
    let second = belongings.iter().filter(|moved| matches!(moved, Moved::Member(_))).nth(1).unwrap().clone();
    let (change, fresh) = propose_split(&town.store, person, |moved| *moved == second, NOW).unwrap();
    assert_eq!(town.look(1, today()), before);
    assert_eq!(town.store.drop_proposal(change).unwrap(), LinkOutcome::Done);
    assert_eq!(town.store.confirm(change, NOW).unwrap(), LinkOutcome::Unknown);
    assert_eq!(town.look(1, today()), before);
    let (change, another) = propose_split(&town.store, person, |moved| *moved == second, NOW).unwrap();
    assert_ne!(fresh, another);
    assert_eq!(town.store.confirm(change, NOW).unwrap(), LinkOutcome::Done);
    assert_eq!(town.store.belongings(another).unwrap(), [second]);
    assert_eq!(town.share(1, today()), Some(30));
    assert_eq!(town.store.undo(change, NOW).unwrap(), LinkOutcome::Done);
    assert_eq!(town.look(1, today()), before);
}

#[test]
fn a_proposal_that_was_overtaken_does_nothing() {
    let town = Town::new();
    town.load(&file(&[line(1), line(2), line(3)]));
    let [two, three] = [2, 3].map(|number| holder(&town, number));
    let first = propose_correction(&town.store, &serial(1), two, NOW).unwrap();
    let second = propose_correction(&town.store, &serial(1), three, NOW).unwrap();
    assert_eq!(town.store.confirm(second, NOW).unwrap(), LinkOutcome::Done);
    let before = town.dump();
    assert_eq!(town.store.confirm(first, NOW).unwrap(), LinkOutcome::Overtaken);
    assert_eq!(town.dump(), before);
    // A feed's load is no change of links.
    assert_eq!(town.store.undo(ChangeNumber(1), NOW).unwrap(), LinkOutcome::Unknown);
    assert_eq!(town.store.undo(ChangeNumber(999), NOW).unwrap(), LinkOutcome::Unknown);
}

#[test]
fn no_serial_stands_in_a_change() {
    let town = Town::new();
    town.load(&file(&[line(0x41_42_42)]));
    let number = 0x41_42_42;
    let change = propose_correction(&town.store, &serial(number), None, NOW).unwrap();
    town.store.confirm(change, NOW).unwrap();
    let connection = rusqlite::Connection::open(town.folder.0.join("store.sqlite")).unwrap();
    let details: Vec<String> = connection
        .prepare("SELECT what || detail FROM change")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(details.last().unwrap(), "correction1 cards, 0 members");
    let step = format!("{:?} {:?}", Moved::Card(serial(number)), town.store.proposals().unwrap());
    for text in details.iter().chain([&step]) {
        assert!(!text.contains("414243") && !text.contains("ABC"), "{text}");
    }
}
