use super::*;

const NOW: UnixSeconds = UnixSeconds(1_000_000);
const LATER: UnixSeconds = UnixSeconds(2_000_000);

/// The states a certificate can be in, with the word that docs/linkage.md has for each.
fn states() -> [(&'static str, Standing); 8] {
    use RevocationReason as Reason;
    let standing = |reason: Option<RevocationReason>, not_after| Standing {
        revoked: reason.map(|reason| (reason, UnixSeconds(5))),
        not_after: Some(not_after),
        changed: 1,
    };
    [
        ("good", standing(None, LATER)),
        ("on hold", standing(Some(Reason::CertificateHold), LATER)),
        ("renewed", standing(Some(Reason::Superseded), LATER)),
        ("handed back", standing(Some(Reason::CessationOfOperation), LATER)),
        ("person gone or moved", standing(Some(Reason::AffiliationChanged), LATER)),
        ("key compromised", standing(Some(Reason::KeyCompromise), LATER)),
        ("past its date", standing(None, NOW.minus(1))),
        ("renewed and past its date", standing(Some(Reason::Superseded), NOW.minus(1))),
    ]
}

fn said(answer: &LinkageAnswer) -> String {
    match answer {
        LinkageAnswer::Linked { standing, renewals, .. } => {
            let standing = if *standing == LinkedStanding::Good { "good" } else { "on_hold" };
            format!("linked, {standing}, {renewals}")
        }
        LinkageAnswer::Ended { reason } => format!("ended, {reason}"),
        other => other.word().to_owned(),
    }
}

/// Every combination against the table that people read.
#[test]
fn every_answer_is_the_one_in_the_table() {
    let serial = SerialNumber::from_octets(&[7]).unwrap();
    let mut table = String::from("# question group, asked certificate, what it leads to -> answer\n");
    for (group, ask) in
        [("renewed", LinkageQuestion::RenewedAuth), ("same card", LinkageQuestion::AuthOfSign)]
    {
        for (asked_word, asked) in states() {
            let nothing = std::iter::once(("nothing", None));
            let found = states().map(|(word, standing)| (word, Some((serial, standing))));
            for (found_word, found) in nothing.chain(found) {
                let facts =
                    LinkageFacts { asked: Some(asked), found, renewals: u32::from(group == "renewed") };
                let answer = said(&answer(ask, &facts, NOW));
                table.push_str(&format!("{group}, {asked_word}, {found_word} -> {answer}\n"));
            }
        }
    }
    let golden = include_str!("../../tests/vectors/linkage_answers.txt");
    assert_eq!(table, golden, "the table in tests/vectors/linkage_answers.txt says otherwise");
}

#[test]
fn what_was_never_issued_is_unknown_whatever_it_might_lead_to() {
    let serial = SerialNumber::from_octets(&[7]).unwrap();
    for ask in LinkageQuestion::ALL {
        for (_, standing) in states() {
            let facts = LinkageFacts { asked: None, found: Some((serial, standing)), renewals: 3 };
            assert_eq!(answer(ask, &facts, NOW), LinkageAnswer::Unknown);
        }
    }
}

/// What no change of the table may bring: a serial number of a card that nobody may use.
#[test]
fn a_serial_number_leaves_only_for_certificates_that_count_or_may_come_back() {
    let serial = SerialNumber::from_octets(&[7]).unwrap();
    for ask in LinkageQuestion::ALL {
        for (_, asked) in states() {
            for (word, found) in states() {
                let facts = LinkageFacts { asked: Some(asked), found: Some((serial, found)), renewals: 1 };
                if let LinkageAnswer::Linked { .. } = answer(ask, &facts, NOW) {
                    assert!(["good", "on hold"].contains(&word), "{ask:?} {word}");
                }
            }
        }
    }
}

#[test]
fn no_role_alone_leads_from_one_kind_to_the_other() {
    for role in LinkageRole::ALL {
        for ask in LinkageQuestion::ALL {
            let (from, to) = kinds(ask);
            assert!(from == to || !role.may_ask(ask), "{role:?} {ask:?}");
        }
    }
}
