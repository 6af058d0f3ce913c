//! What is wrong with a certificate, in words. The English ones are the library's own; the Japanese ones
//! stand here, because libraries speak one language.

use pki::revocation::UnknownCause;
use pki::validate::Place;
use pki::validate::error::{Fault, PathError, Work};
use pki::validate::name_constraints::NameConstraintFault;
use pki::validate::policy::PolicyFault;

/// The chain's files hold no certificate.
pub(super) const EMPTY_CHAIN: (&str, &str) =
    ("--chain に証明書がありません", "there is no certificate in --chain");

/// Both languages.
pub(in crate::pki_commands) fn explain(error: &PathError, no_anchor_at_all: bool) -> (String, String) {
    if no_anchor_at_all && matches!(error.fault, Fault::NoIssuer | Fault::NoAnchor) {
        let ja = "信頼する証明書として使えるものが --trust にありません";
        return (ja.to_owned(), "no certificate in --trust can be used as a trusted one".to_owned());
    }
    let place = match error.place {
        Place::Leaf => "対象の証明書".to_owned(),
        Place::Issuer(distance) => format!("{distance} 段上の発行者の証明書"),
        Place::Anchor => "信頼する証明書".to_owned(),
    };
    (format!("{place}: {}", fault(&error.fault)), error.to_string())
}

/// A status word of the answer.
pub(super) fn status(word: &str) -> &'static str {
    match word {
        "good" => "失効していません",
        "revoked" => "失効しています",
        "hold" => "一時停止中です",
        "unknown" => "分かりません",
        "stale" => "古すぎます",
        _ => "調べていません",
    }
}

fn fault(fault: &Fault) -> String {
    match fault {
        Fault::Malformed(fault) => format!("{} 番目のオクテットの {} を読めません", fault.offset, fault.what),
        Fault::NoIssuer => "発行者の証明書がありません".to_owned(),
        Fault::NoAnchor => "信頼する証明書に至る経路がありません".to_owned(),
        Fault::WorkLimit { work, limit } => format!("{}が上限の {limit} を超えました", self::work(*work)),
        Fault::BadSignature => "署名が発行者の鍵で検証できません".to_owned(),
        Fault::Scheme(error) => format!("署名方式が使えません ({error})"),
        Fault::WeakDigest => "SHA-1 による署名は、この時点では認められません".to_owned(),
        Fault::Key(error) => format!("公開鍵が使えません ({error})"),
        Fault::NotYetValid { not_before, .. } => {
            format!("{} まで有効期間が始まりません", not_before.to_rfc3339())
        }
        Fault::Expired { not_after, .. } => format!("{} で有効期間が終わっています", not_after.to_rfc3339()),
        Fault::UnknownCriticalExtension { identifier, offset } => {
            format!("{offset} 番目のオクテットのクリティカル拡張 {identifier} を解釈できません")
        }
        Fault::NotAnAuthority => "認証局の証明書ではないのに発行しています (basicConstraints)".to_owned(),
        Fault::PathLength => "上位の証明書の pathLenConstraint を超えています".to_owned(),
        Fault::KeyUsage { wanted } => format!("keyUsage に {wanted} がありません"),
        Fault::Purpose { wanted } => format!("extKeyUsage に {wanted} がありません"),
        Fault::Names(fault) => names(fault),
        Fault::Policy(fault) => policy(fault),
        Fault::Conformance { what, clause } => format!("規則に反しています: {what} ({clause})"),
        Fault::Profile { what } => format!("この用途の証明書ではありません: {what}"),
        Fault::Revoked { reason, .. } => format!("失効しています (理由: {reason})"),
        Fault::OnHold { .. } => "一時停止中です (certificateHold)".to_owned(),
        Fault::StatusUnknown { cause } => format!("失効情報が分かりません: {}", self::cause(*cause)),
        Fault::StatusTooOld { age_seconds, limit_seconds, .. } => {
            format!("失効情報が古すぎます ({age_seconds} 秒前のもの、上限 {limit_seconds} 秒)")
        }
    }
}

const fn work(work: Work) -> &'static str {
    match work {
        Work::Signatures => "検証した署名の数",
        Work::Candidates => "試した発行者の数",
        Work::Paths => "調べた経路の数",
        Work::PathLength => "経路の長さ",
        Work::NameComparisons => "名前制約との比較の数",
        Work::IssuerDepth => "失効リストの発行者をたどった深さ",
    }
}

fn names(fault: &NameConstraintFault) -> String {
    match fault {
        NameConstraintFault::Malformed(fault) => {
            format!("nameConstraints の {} を読めません ({} 番目のオクテット)", fault.what, fault.offset)
        }
        NameConstraintFault::NotPermitted { form } => {
            format!("{form} が上位の証明書の許す範囲の外にあります (nameConstraints)")
        }
        NameConstraintFault::Excluded { form } => {
            format!("{form} が上位の証明書の除く範囲にあります (nameConstraints)")
        }
        NameConstraintFault::Unsupported { form } => {
            format!("{form} への制約を判定できません (nameConstraints)")
        }
        NameConstraintFault::Unreadable { form } => {
            format!("{form} の形が正しくないため制約を判定できません (nameConstraints)")
        }
    }
}

fn policy(fault: &PolicyFault) -> String {
    match fault {
        PolicyFault::Malformed(fault) => {
            format!("証明書ポリシーの {} を読めません ({} 番目のオクテット)", fault.what, fault.offset)
        }
        PolicyFault::Repeated { policy } => format!("証明書ポリシー {policy} が二度あります"),
        PolicyFault::UnknownQualifier { qualifier } => {
            format!("クリティカルな証明書ポリシーの修飾子 {qualifier} を解釈できません")
        }
        PolicyFault::AnyPolicyMapped => "anyPolicy が対応付けられています".to_owned(),
        PolicyFault::NoneLeft => "明示のポリシーが要りますが、成り立つものがありません".to_owned(),
        PolicyFault::NoneAskedFor => "求めたポリシーのどれでも成り立ちません".to_owned(),
    }
}

fn cause(cause: UnknownCause) -> String {
    match cause {
        UnknownCause::NoList => "失効リストも応答もありません".to_owned(),
        UnknownCause::OtherIssuer => "失効リストが別の発行者のものです".to_owned(),
        UnknownCause::FromTheFuture { ahead_seconds } => format!("{ahead_seconds} 秒先の日付です"),
        UnknownCause::Malformed { what, offset } => {
            format!("失効リストか応答の {what} を読めません ({offset} 番目のオクテット)")
        }
        UnknownCause::UnknownCriticalExtension { offset } => {
            format!("失効リストか応答の {offset} 番目のオクテットのクリティカル拡張を解釈できません")
        }
        UnknownCause::OtherScope => "発行者の失効リストの対象範囲が違います".to_owned(),
        UnknownCause::ReasonsNotCovered => "失効リストがすべての失効理由を扱っていません".to_owned(),
        UnknownCause::DeltaWithoutBase => "差分リストの元になる完全なリストがありません".to_owned(),
        UnknownCause::BadSignature => {
            "失効リストか応答の署名が、署名してよい者のものではありません".to_owned()
        }
        UnknownCause::SignerNotValid => "失効リストの発行者か応答者の証明書が有効ではありません".to_owned(),
        UnknownCause::Circular => "失効リストか応答の署名者が、自分自身を保証することになります".to_owned(),
        UnknownCause::OtherCertificate => "応答が別の発行者の証明書についてのものです".to_owned(),
        UnknownCause::ResponderDoesNotKnow => "応答者がこの証明書を知りません".to_owned(),
        UnknownCause::ResponderNotAuthorized => {
            "応答者がこの発行者の代わりに答えることを許されていません".to_owned()
        }
        UnknownCause::NonceMismatch => "応答に、送ったナンスがありません".to_owned(),
        UnknownCause::WorkLimit => "失効情報を調べる手間が上限を超えました".to_owned(),
    }
}
