//! Whole touches: what the patient waits for, what the card does, and what happens when something breaks.

use crate::stub::{HANAKO, Reply};
use crate::town::{Estate, NEVER, SLOW, Town, url};
use card::EmulatedCard;
use card::dialogue::Party;
use card::dialogue::institution_auth::{InstitutionAuth, Progress};
use card::secure_element::touch_protocol::TouchTerms;
use chassis::entropy::SystemEntropy;
use protocol::answer::{AllowedProfiles, CardProfile, Validity};
use protocol::eligibility_v1::CheckRequest;
use protocol::entropy::Entropy;
use protocol::problem::ProblemCode;
use std::time::Duration;
use terminal::check_in::{CardPlace, Phase, Refused, WorkStep};
use terminal::config::DeskTimes;
use terminal::report::StepPlace;
use terminal::touch::PURPOSES;

#[tokio::test(flavor = "multi_thread")]
async fn one_touch_is_one_round_trip_and_one_signature() {
    let town = Town::open(SLOW).await;
    let (report, placed) = town.touch().await;
    let answer = report.answer().unwrap_or_else(|| panic!("{:?}", report.problem()));
    assert_eq!(answer.validity, Validity::Valid);
    assert_eq!(answer.person.as_ref().unwrap().name, HANAKO);
    assert_eq!(report.audit_record, Some(7));
    assert_eq!((report.network_round_trips, report.card_signatures), (1, 1));
    assert_eq!(town.estate.card.signatures(), 1);
    assert_eq!(town.stub.with(|seen| (seen.checks.len(), seen.nonces, seen.unlocks)), (1, 0, 1));
    let count = |place| report.steps.iter().filter(|step| step.place == place).count();
    // The Secure Element begins, and has a word after each command of the card but SELECT before OK.
    assert_eq!(count(StepPlace::Network), 1);
    assert_eq!(count(StepPlace::SecureElement), count(StepPlace::Card));
    assert_eq!(report.profile, town.stub.with(|seen| seen.profiles_used.first().copied()));
    assert!(report.steps.iter().filter(|step| step.place == StepPlace::Card).all(|step| step.bytes_in >= 2));
    placed.take();
    town.until("taken", |phase| matches!(phase, Phase::Result { place: CardPlace::Taken, .. }).then_some(()))
        .await;
    // The next touch lives on the nonce that came with this answer.
    let (report, _placed) = town.touch().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    assert_eq!((report.network_round_trips, report.card_signatures), (1, 1));
    assert_eq!(town.stub.with(|seen| (seen.checks.len(), seen.nonces, seen.unlocks)), (2, 0, 1));
    assert_eq!(town.estate.card.signatures(), 2);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_presses_nothing_gives_no_signature() {
    let times = DeskTimes { consent: Duration::from_millis(50), ..SLOW };
    let town = Town::open(times).await;
    let placed = town.hand.place(town.estate.card.clone());
    let code = town
        .until("take card", |phase| match phase {
            Phase::TakeCard { report, .. } => Some(report.as_ref().unwrap().problem().unwrap().code),
            _ => None,
        })
        .await;
    assert_eq!(code, ProblemCode::ConsentTimedOut);
    placed.take();
    town.until_idle().await;
    assert_eq!(town.estate.card.signatures(), 0);
    // Nothing but SELECT was said to the card.
    let commands = town.estate.card.commands();
    assert_eq!(commands.len(), 1);
    assert!(commands.iter().all(|command| command[1] == 0xA4), "{commands:02X?}");
    assert_eq!(town.stub.with(|seen| seen.checks.len()), 0);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_and_taking_the_card_leave_the_key_alone() {
    let town = Town::open(SLOW).await;
    let placed = town.hand.place(town.estate.card.clone());
    let token = town.question().await;
    town.desk.press_stop(token.clone()).unwrap();
    assert_eq!(town.desk.press_ok(token.clone()), Err(Refused::StaleToken), "stop is stop");
    placed.take();
    town.until_idle().await;

    let placed = town.hand.place(town.estate.card.clone());
    let next = town.question().await;
    assert_ne!(next, token);
    assert_eq!(town.desk.press_ok(token), Err(Refused::StaleToken), "an old screen's button");
    placed.take();
    town.until_idle().await;
    assert_eq!(town.desk.press_ok(next), Err(Refused::StaleToken));
    assert_eq!(town.estate.card.signatures(), 0);
    assert!(town.estate.card.commands().iter().all(|command| command[1] == 0xA4));
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_may_be_taken_at_every_step() {
    let times = DeskTimes { result_after_card: Duration::from_millis(1), ..SLOW };
    let town = Town::open(times).await;
    let (whole, placed) = town.touch().await;
    let commands = town.estate.card.commands().len();
    assert!(whole.answer().is_some() && commands > 10);
    placed.take();
    town.until_idle().await;
    // The first command comes before OK, so from the second on there is a touch to break.
    for allowed in 1..commands {
        let signatures = town.estate.card.signatures();
        let placed = town.hand.place_for(town.estate.card.clone(), Some(allowed));
        let token = town.question().await;
        town.desk.press_ok(token).unwrap();
        let mut revision = 0;
        let code = loop {
            let session = town.desk.session_after(revision, NEVER).await;
            revision = session.revision;
            match session.phase {
                Phase::Result { report, .. } => {
                    assert_eq!(report.card_signatures, 0);
                    assert_eq!(report.network_round_trips, 0, "nothing was asked without a signature");
                    break report.problem().unwrap().code;
                }
                Phase::Idle => panic!("the problem was not shown"),
                _ => {}
            }
        };
        assert_eq!(code, ProblemCode::CardRemoved, "after {allowed} commands");
        assert_eq!(town.estate.card.signatures(), signatures);
        assert!(!placed_is_there(&placed));
        town.until_idle().await;
    }
    // Before the first answer there is not even a kind of card.
    town.hand.place_for(town.estate.card.clone(), Some(0));
    town.until("problem", |phase| matches!(phase, Phase::Result { .. }).then_some(())).await;
    town.until_idle().await;
    // And the desk is none the worse for it.
    let (report, _placed) = town.touch().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    town.close().await;
}

fn placed_is_there(placed: &crate::town::Placed) -> bool {
    card_io::CardChannel::is_present(&mut placed.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_response_is_asked_for_once_more_with_the_same_bytes() {
    let town = Town::open(SLOW).await;
    town.stub.with(|seen| seen.replies.extend([Reply::Lost, Reply::Answer]));
    let (report, placed) = town.touch().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    assert_eq!((report.network_round_trips, report.card_signatures), (2, 1), "both are waited for");
    let checks = town.stub.with(|seen| std::mem::take(&mut seen.checks));
    assert_eq!(checks.len(), 2);
    assert_eq!(checks[0], checks[1], "byte for byte");
    placed.take();
    // Lost twice: a problem, and no third attempt.
    town.stub.with(|seen| seen.replies.extend([Reply::Lost, Reply::Lost]));
    let (report, _placed) = town.touch().await;
    assert_eq!(report.problem().unwrap().code, ProblemCode::PlatformUnreachable);
    assert_eq!(report.network_round_trips, 2);
    assert_eq!(town.stub.with(|seen| seen.checks.len()), 2);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_the_screen_and_its_nonce_the_next_touch() {
    let town = Town::open(SLOW).await;
    town.stub.with(|seen| seen.replies.push_back(Reply::Hold));
    let (report, placed) = town.touch().await;
    let problem = report.problem().unwrap();
    assert_eq!(
        (problem.code, problem.reason.as_deref()),
        (ProblemCode::CertificateHold, Some("certificateHold"))
    );
    assert_eq!(report.audit_record, Some(8));
    assert_eq!((report.network_round_trips, report.card_signatures), (1, 1));
    placed.take();
    let (report, _placed) = town.touch().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    assert_eq!(town.stub.with(|seen| seen.nonces), 0);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_none_is_said_to_be_none() {
    let town = Town::open(SLOW).await;
    town.stub.with(|seen| seen.replies.push_back(Reply::Nonsense));
    let (report, _placed) = town.touch().await;
    assert_eq!(report.problem().unwrap().code, ProblemCode::PlatformAnswerUnreadable);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_that_ran_out_is_fetched_while_the_patient_reads() {
    // A nonce that came with an arming or an answer is taken to be old at once.
    let town = Town::open(DeskTimes { nonce_seconds: 0, consent: Duration::from_secs(100), ..SLOW }).await;
    let placed = town.hand.place(town.estate.card.clone());
    let token = town.question().await;
    town.stub.shared.nonce_asked.notified().await;
    assert_eq!(town.stub.with(|seen| seen.nonces), 1, "asked for before OK");
    town.desk.press_ok(token).unwrap();
    let report = town.result().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    assert_eq!(town.stub.with(|seen| seen.nonces), 1, "and not again");
    placed.take();
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ok_faster_than_the_nonce_counts_the_wait_as_a_round_trip() {
    let town = Town::open(DeskTimes { nonce_seconds: 0, consent: Duration::from_secs(100), ..SLOW }).await;
    town.until_idle().await;
    town.stub.shared.nonce_permits.forget_permits(1000);
    let _placed = town.hand.place(town.estate.card.clone());
    let token = town.question().await;
    town.desk.press_ok(token).unwrap();
    town.stub.shared.nonce_asked.notified().await;
    town.until("wait for the nonce", |phase| match phase {
        Phase::Working { progress, .. } => (progress.step == WorkStep::Freshness).then_some(()),
        _ => None,
    })
    .await;
    town.stub.shared.nonce_permits.add_permits(1000);
    let report = town.result().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    assert_eq!((report.network_round_trips, report.card_signatures), (2, 1));
    assert_eq!(town.stub.with(|seen| seen.nonces), 1);
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_goes_away_is_a_problem_and_not_a_hang() {
    let mut town = Town::open(SLOW).await;
    town.until_idle().await;
    town.stub.stop().await;
    let (report, placed) = town.touch().await;
    assert_eq!(report.problem().unwrap().code, ProblemCode::PlatformUnreachable);
    assert_eq!(report.card_signatures, 1);
    placed.take();
    town.until("taken", |phase| matches!(phase, Phase::Result { place: CardPlace::Taken, .. }).then_some(()))
        .await;
    town.desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_prepares_until_the_platform_arms_it_and_says_why() {
    let estate = Estate::new();
    let stub = estate.stub().await;
    stub.with(|seen| seen.unlock_refusals = 2);
    let town = Town::open_with(estate, stub, SLOW);
    // A card that is there too early is not lost, and not touched.
    let _placed = town.hand.place(town.estate.card.clone());
    let code = town
        .until("reason", |phase| match phase {
            Phase::Preparing { problem } => problem.as_ref().map(|problem| problem.code),
            _ => None,
        })
        .await;
    assert_eq!(code, ProblemCode::TerminalSuspended);
    assert!(town.estate.card.commands().is_empty());
    let token = town.question().await;
    assert_eq!(town.stub.with(|seen| seen.unlocks), 3);
    town.desk.press_ok(token).unwrap();
    assert!(town.result().await.answer().is_some());
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_arming_that_is_used_up_is_renewed() {
    let estate = Estate::new();
    let stub = estate.stub().await;
    stub.with(|seen| seen.uses_max = 1);
    let town = Town::open_with(estate, stub, SLOW);
    for touches in 1..=3 {
        let (report, placed) = town.touch().await;
        assert!(report.answer().is_some(), "{:?}", report.problem());
        placed.take();
        // The renewal comes after the touch; the next one must find it done.
        let armed = async {
            while town.stub.with(|seen| seen.unlocks) <= touches {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), armed).await.expect("no renewal");
        town.until("armed", |_| Some(())).await;
    }
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_that_had_its_touches_is_told_so_and_nothing_is_asked() {
    let estate = Estate::new();
    let stub = estate.stub().await;
    stub.with(|seen| seen.touches_per_card_and_day = 2);
    let town = Town::open_with(estate, stub, SLOW);
    for _ in 0..2 {
        let (report, placed) = town.touch().await;
        assert!(report.answer().is_some(), "{:?}", report.problem());
        placed.take();
    }
    let (report, _placed) = town.touch().await;
    assert_eq!(report.problem().unwrap().code, ProblemCode::CardTouchesUsedUp);
    assert_eq!((report.network_round_trips, report.card_signatures), (0, 0));
    assert_eq!(town.estate.card.signatures(), 2);
    assert_eq!(town.stub.with(|seen| (seen.checks.len(), seen.unlocks)), (2, 1), "no new arming for it");
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_takes_only_what_the_card_has_not_is_named() {
    let estate = Estate::new();
    let stub = estate.stub().await;
    stub.with(|seen| seen.profiles = AllowedProfiles::of(&[CardProfile::Eac]).unwrap());
    let town = Town::open_with(estate, stub, SLOW);
    let (report, placed) = town.touch_with(&town.estate.card_without_batch).await;
    assert_eq!(report.problem().unwrap().code, ProblemCode::CardProfileNotAllowed);
    assert_eq!((report.network_round_trips, report.card_signatures), (0, 0));
    placed.take();
    let (report, _placed) = town.touch().await;
    assert!(report.answer().is_some(), "{:?}", report.problem());
    town.close().await;
}

/// The card decides, the platform allows, and under the seal stands what it was.
#[tokio::test(flavor = "multi_thread")]
async fn each_card_is_spoken_to_as_well_as_it_can() {
    let town = Town::open(SLOW).await;
    for (card, profile) in
        [(&town.estate.card, CardProfile::Eac), (&town.estate.card_without_batch, CardProfile::Jicsap)]
    {
        let (report, placed) = town.touch_with(card).await;
        assert!(report.answer().is_some(), "{:?}", report.problem());
        assert_eq!((report.profile, report.card_signatures), (Some(profile), 1));
        assert_eq!(town.stub.with(|seen| seen.profiles_used.pop()), Some(profile));
        placed.take();
    }
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_of_nobody_knows_whom_is_said_to_be_one() {
    let town = Town::open(SLOW).await;
    let elsewhere = Estate::new();
    let (report, _placed) = town.touch_with(&elsewhere.card).await;
    assert_eq!(report.problem().unwrap().code, ProblemCode::CardNotGenuine);
    assert_eq!((report.network_round_trips, report.card_signatures), (0, 0));
    town.close().await;
}

/// Object identifiers of ours begin with 1.3.6.1.4.1.32473: in the card's certificate, and in the batch's,
/// which anybody may read.
const OUR_ARC: [u8; 8] = [0x2B, 0x06, 0x01, 0x04, 0x01, 0x81, 0xFD, 0x59];

/// Everything that a terminal's computer holds in a touch by `eac`: each command and each response between
/// card and Secure Element, both ways, and the request to the platform. None of it is the holder's.
#[tokio::test(flavor = "multi_thread")]
async fn the_terminal_holds_nothing_of_the_card() {
    let estate = Estate::new();
    let stub = estate.stub().await;
    let platform = estate.platform(&url(&stub), &estate.terminal_tls);
    let custody = estate.custody();
    let armed = custody.arm(&platform).await.unwrap();
    let text = protocol::consent::ConsentText::for_institution(crate::town::INSTITUTION_NAME, PURPOSES);
    let terms = TouchTerms {
        purposes: PURPOSES,
        institution: protocol::ids::InstitutionCode::parse(crate::town::INSTITUTION_CODE).unwrap(),
        nonce: armed.next_nonce,
        consent_text_hash: terminal::touch::consent_text_hash(&text),
        time: crate::town::now(),
    };
    let mut held: Vec<Vec<u8>> = Vec::new();
    let mut card = estate.card.clone();
    card.power_on();
    let (mut exchange, mut dialogue) = InstitutionAuth::start(terms).unwrap();
    let touch = loop {
        let response = match exchange.to {
            Party::Card => card.transmit(&exchange.command, &mut SystemEntropy),
            Party::SecureElement => custody.exchange(&exchange.command).unwrap(),
        };
        held.extend([exchange.command, response.clone()]);
        match dialogue.step(&response).unwrap() {
            Progress::Send(next, rest) => (exchange, dialogue) = (next, rest),
            Progress::Done(touch) => break touch,
        }
    };
    let request = CheckRequest {
        statement: touch.statement.to_vec(),
        evidence_key: touch.evidence_key,
        sealed: touch.sealed,
    };
    held.push(serde_json::to_vec(&request).unwrap());
    held.push(request.sealed.as_ref().to_vec());
    // The platform, to whom it is addressed, reads it.
    platform.check(&request, |_| {}).await.unwrap();
    let (profile, signature) = stub.with(|seen| (seen.profiles_used.pop(), seen.signatures.pop().unwrap()));
    assert_eq!(profile, Some(CardProfile::Eac));
    let seen: std::collections::HashSet<&[u8]> = held.iter().flat_map(|bytes| bytes.windows(8)).collect();
    for (what, holder) in [("certificate", &estate.certificate), ("signature", &signature)] {
        assert!(holder.len() >= 256);
        for window in holder.windows(8).filter(|window| *window != OUR_ARC) {
            assert!(!seen.contains(window), "{what}: {window:02X?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_at_fault_on_the_line_is_named() {
    let estate = Estate::new();
    let other = Estate::new();
    let stub = estate.stub().await;
    let good = url(&stub);
    let nonce = async |platform: terminal::platform::Platform| platform.nonce().await.err().map(|p| p.code);
    assert_eq!(nonce(estate.platform(&good, &estate.terminal_tls)).await, None);
    let expired = estate.expired_terminal();
    assert_eq!(nonce(estate.platform(&good, &expired)).await, Some(ProblemCode::TerminalCertificateExpired));
    assert_eq!(
        nonce(estate.platform(&good, &other.terminal_tls)).await,
        Some(ProblemCode::TerminalCertificateForeign)
    );
    assert_eq!(
        nonce(other.platform(&good, &estate.terminal_tls)).await,
        Some(ProblemCode::PlatformNotTrusted)
    );
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let gone = format!("https://localhost:{}", address.port());
    assert_eq!(
        nonce(estate.platform(&gone, &estate.terminal_tls)).await,
        Some(ProblemCode::PlatformUnreachable)
    );
}

/// A card that answers every SELECT with "not found".
struct OtherCard;

impl EmulatedCard for OtherCard {
    fn atr(&self) -> &[u8] {
        &[]
    }
    fn power_on(&mut self) {}
    fn power_off(&mut self) {}
    fn transmit(&mut self, _: &[u8], _: &mut dyn Entropy) -> Vec<u8> {
        vec![0x6A, 0x82]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_card_is_refused_with_its_name() {
    let town = Town::open(SLOW).await;
    let placed = town.hand.place(OtherCard);
    let report = town.result().await;
    assert_eq!(report.problem().unwrap().code, ProblemCode::CardOfOtherKind);
    assert!(report.problem().unwrap().receptionist.ja.contains("別の種類のカード"));
    placed.take();
    // The next patient does not wait for that screen to go away.
    let (report, _placed) = town.touch().await;
    assert!(report.answer().is_some());
    town.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_gone_when_its_time_is_over() {
    let times = DeskTimes { result_with_card: Duration::from_millis(1), ..SLOW };
    let town = Town::open(times).await;
    let placed = town.hand.place(town.estate.card.clone());
    let token = town.question().await;
    town.desk.press_ok(token).unwrap();
    let left = town
        .until("take card", |phase| match phase {
            Phase::TakeCard { report, .. } => Some(report.clone()),
            _ => None,
        })
        .await;
    assert_eq!(left, None, "nothing personal stays");
    placed.take();
    town.until_idle().await;
    town.close().await;
}
