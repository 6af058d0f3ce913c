//! The texts of every problem, in one place so that a translator can read them in one go.
//!
//! `title` is what the receptionist reads first; `vendor` is for whoever maintains the clinic's
//! system; `action` says what to do now.

mod authority;
mod insurer;
mod keys;
mod operator;
mod relying_party;

use crate::problem::{Culprit, ProblemCode};

/// One problem's fixed part: HTTP status, culprit and texts as (Japanese, English).
pub(crate) struct Entry {
    pub(crate) status: u16,
    pub(crate) culprit: Culprit,
    pub(crate) title: (&'static str, &'static str),
    pub(crate) vendor: (&'static str, &'static str),
    pub(crate) action: (&'static str, &'static str),
}

/// The entry of `code`. A match, so that a code without texts does not compile.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(crate) const fn entry(code: ProblemCode) -> Entry {
    match code {
        ProblemCode::MalformedRequest => Entry {
            status: 400,
            culprit: Culprit::Request,
            title: (
                "端末から送られた内容を読み取れませんでした。",
                "The terminal sent something that cannot be read.",
            ),
            vendor: (
                "要求本文が OpenAPI の定義に合いません。detail を確認してください。",
                "The body does not match the interface description; see detail.",
            ),
            action: ("端末の担当業者に連絡してください。", "Call the vendor of the terminal."),
        },
        ProblemCode::BodyTooLarge => Entry {
            status: 413,
            culprit: Culprit::Request,
            title: ("端末から送られた内容が大きすぎます。", "The terminal sent too much."),
            vendor: ("要求本文は 16 KiB までです。", "A request body may have at most 16 KiB."),
            action: ("端末の担当業者に連絡してください。", "Call the vendor of the terminal."),
        },
        ProblemCode::UnsupportedMediaType => Entry {
            status: 415,
            culprit: Culprit::Request,
            title: ("端末の送り方が正しくありません。", "The terminal sends in a form that is not accepted."),
            vendor: (
                "Content-Type は application/json にしてください。",
                "Send Content-Type: application/json.",
            ),
            action: ("端末の担当業者に連絡してください。", "Call the vendor of the terminal."),
        },
        ProblemCode::NotFound => Entry {
            status: 404,
            culprit: Culprit::Request,
            title: ("求められた機能は見つかりません。", "There is nothing at this address."),
            vendor: ("パスを確認してください。", "Check the path."),
            action: ("端末の担当業者に連絡してください。", "Call the vendor of the terminal."),
        },
        ProblemCode::MethodNotAllowed => Entry {
            status: 405,
            culprit: Culprit::Request,
            title: ("この操作は受け付けられません。", "This operation is not accepted here."),
            vendor: ("HTTP メソッドを確認してください。", "Check the HTTP method."),
            action: ("端末の担当業者に連絡してください。", "Call the vendor of the terminal."),
        },
        ProblemCode::TerminalCertificateExpired => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: ("この端末の証明書の期限が切れています。", "This terminal's certificate has expired."),
            vendor: (
                "クライアント証明書の notAfter が過ぎています (TLS alert certificate_expired)。",
                "The client certificate is past notAfter (TLS alert certificate_expired).",
            ),
            action: (
                "端末証明書を更新してください。それまでは別の端末を使ってください。",
                "Renew the terminal certificate; use another terminal until then.",
            ),
        },
        ProblemCode::TerminalCertificateForeign => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: (
                "この端末の証明書は認められていません。",
                "This terminal's certificate is not from the accepted authority.",
            ),
            vendor: (
                "クライアント証明書の発行者が信頼されていません (TLS alert unknown_ca など)。",
                "The issuer of the client certificate is not trusted (TLS alert such as unknown_ca).",
            ),
            action: ("正しい端末証明書を入れてください。", "Install the right terminal certificate."),
        },
        ProblemCode::TerminalCertificateMissing => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: ("端末が証明書を示しませんでした。", "The terminal showed no certificate."),
            vendor: (
                "mTLS のクライアント証明書が必須です (TLS alert certificate_required)。",
                "A client certificate is mandatory (TLS alert certificate_required).",
            ),
            action: ("端末の設定を確認してください。", "Check the terminal's configuration."),
        },
        ProblemCode::TerminalUnknown => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: ("この端末は登録されていません。", "This terminal is not registered."),
            vendor: (
                "証明書は有効ですが、公開鍵が登録簿にありません。",
                "The certificate is valid, but its key is not in the register.",
            ),
            action: ("端末の登録を申し込んでください。", "Ask for the terminal to be registered."),
        },
        ProblemCode::TerminalSuspended => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: ("この端末は停止されています。", "This terminal is suspended."),
            vendor: ("端末または機関の状態が停止中です。", "The terminal or its institution is suspended."),
            action: ("登録機関に問い合わせてください。", "Ask the body that registered it."),
        },
        ProblemCode::SecureElementUnknown => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: (
                "端末の安全チップが登録と違います。",
                "The terminal's Secure Element is not the registered one.",
            ),
            vendor: ("SE-ID が登録簿と一致しません。", "The SE id does not match the register."),
            action: ("端末の担当業者に連絡してください。", "Call the vendor of the terminal."),
        },
        ProblemCode::StatementMalformed => Entry {
            status: 400,
            culprit: Culprit::Request,
            title: ("かざした記録を読み取れませんでした。", "The touch statement cannot be read."),
            vendor: (
                "statement が 139 オクテットの定義に合いません。",
                "The statement does not match its 139-octet layout.",
            ),
            action: (
                "もう一度かざしてください。続くときは業者に連絡してください。",
                "Touch again; if it persists call the vendor.",
            ),
        },
        ProblemCode::StatementOtherTerminal => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: ("別の端末での記録が送られました。", "The touch was made at another terminal."),
            vendor: (
                "statement の端末鍵ハッシュが TLS の鍵と違います。",
                "The terminal key hash in the statement is not that of the TLS key.",
            ),
            action: ("この端末でもう一度かざしてください。", "Touch again at this terminal."),
        },
        ProblemCode::StatementOtherInstitution => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: ("別の医療機関あての記録が送られました。", "The touch was made for another institution."),
            vendor: (
                "statement の機関コードが端末の登録と違います。",
                "The institution code in the statement is not the registered one.",
            ),
            action: ("端末の設定を確認してください。", "Check the terminal's configuration."),
        },
        ProblemCode::StatementTimeOff => Entry {
            status: 409,
            culprit: Culprit::Terminal,
            title: ("端末の時計がずれています。", "The terminal's clock is wrong."),
            vendor: (
                "statement の時刻が許容差を超えています。detail に差を示します。",
                "The statement's time is beyond the tolerance; detail shows the offset.",
            ),
            action: (
                "端末の時刻を合わせて、もう一度かざしてください。",
                "Set the terminal's clock and touch again.",
            ),
        },
        ProblemCode::ConsentTextUnknown => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: ("同意の文面が認められたものではありません。", "The consent text is not an accepted one."),
            vendor: (
                "consent_text_hash が登録された文面と一致しません。",
                "consent_text_hash matches no registered text.",
            ),
            action: ("端末のソフトウェアを更新してください。", "Update the terminal's software."),
        },
        ProblemCode::NonceExpired => Entry {
            status: 409,
            culprit: Culprit::Request,
            title: ("時間が経ちすぎました。", "Too much time has passed."),
            vendor: (
                "ノンスの有効期限が過ぎています。next_nonce を使ってください。",
                "The nonce has expired; use next_nonce.",
            ),
            action: ("もう一度かざしてください。", "Touch again."),
        },
        ProblemCode::NonceForeign => Entry {
            status: 403,
            culprit: Culprit::Request,
            title: (
                "この端末のものではない番号が使われました。",
                "The freshness value was not made for this terminal.",
            ),
            vendor: (
                "ノンスの MAC が合いません (別の端末、別のプラットフォーム、または改変)。",
                "The nonce's tag does not hold (another terminal, another platform, or altered).",
            ),
            action: (
                "もう一度かざしてください。続くときは業者に連絡してください。",
                "Touch again; if it persists call the vendor.",
            ),
        },
        ProblemCode::StatementReplayed => Entry {
            status: 409,
            culprit: Culprit::Request,
            title: ("すでに使われた記録です。", "This touch was used before."),
            vendor: (
                "カウンタが最後に受け付けた値以下です。",
                "The counter is not above the last accepted one.",
            ),
            action: ("もう一度かざしてください。", "Touch again."),
        },
        ProblemCode::StatementOffline => Entry {
            status: 403,
            culprit: Culprit::Terminal,
            title: (
                "通信が切れている間の受付は、まだ確認できません。",
                "A visit recorded without the network cannot be checked yet.",
            ),
            vendor: (
                "かざし文の mode が offline です。来院台帳ができるまで受け付けません。",
                "The statement's mode is offline; it is not accepted before the visit ledger exists.",
            ),
            action: (
                "通信がつながってから、もう一度カードを置いてもらってください。",
                "Place the card again when the network is back.",
            ),
        },
        ProblemCode::EvidenceNotOpened => Entry {
            status: 400,
            culprit: Culprit::Terminal,
            title: (
                "端末の安全チップからの内容を開けませんでした。",
                "What the terminal's Secure Element sealed cannot be opened.",
            ),
            vendor: (
                "封緘が、この evidence_key とかざし文のものではありません。SE は再活性化のたびに鍵を替えます。",
                "The seal does not fit this evidence_key and statement; the SE changes its key at every arming.",
            ),
            action: (
                "もう一度置いてください。続くときは端末の電源を入れ直してください。",
                "Try again; if it persists switch the terminal off and on.",
            ),
        },
        ProblemCode::CardProfileNotAllowed => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: (
                "このカードとの通信方式は認められていません。",
                "This card cannot be spoken to in an accepted way.",
            ),
            vendor: (
                "カードに eac がなく、プラットフォームは jicsap を認めていません (card_profiles)。",
                "The platform's card_profiles leave out the only profile that this card has.",
            ),
            action: ("ほかの方法で資格を確認してください。", "Check the insurance in another way."),
        },
        ProblemCode::CardSignatureInvalid => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: ("カードの署名を確認できませんでした。", "The card's signature does not hold."),
            vendor: (
                "statement に対する RSA 署名が証明書の鍵で検証できません。",
                "The RSA signature over the statement does not verify with the certificate's key.",
            ),
            action: (
                "もう一度かざしてください。続くときは別の方法で本人確認をしてください。",
                "Touch again; if it persists verify the person another way.",
            ),
        },
        ProblemCode::CertificateMalformed => Entry {
            status: 400,
            culprit: Culprit::Card,
            title: ("カードの証明書を読み取れませんでした。", "The card's certificate cannot be read."),
            vendor: ("証明書の DER が正しくありません。", "The certificate is not valid DER."),
            action: (
                "もう一度かざしてください。続くときは市区町村の窓口を案内してください。",
                "Touch again; if it persists refer the person to the municipality.",
            ),
        },
        ProblemCode::CertificateForeign => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: (
                "このカードの証明書は認められた認証局のものではありません。",
                "The card's certificate is not from the accepted authority.",
            ),
            vendor: ("発行者の鍵が信頼点と一致しません。", "The issuer's key is not a trust anchor."),
            action: ("マイナンバーカードかどうか確かめてください。", "Check that this is a My Number Card."),
        },
        ProblemCode::CertificateWrongProfile => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: (
                "利用者証明用ではない証明書です。",
                "This is not a card-holder authentication certificate.",
            ),
            vendor: (
                "keyUsage、EKU、ポリシーのいずれかが利用者証明用と違います。",
                "Key usage, EKU or policy is not that of card-holder authentication.",
            ),
            action: ("端末の担当業者に連絡してください。", "Call the vendor of the terminal."),
        },
        ProblemCode::CertificateNotYetValid => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: ("証明書の有効期間がまだ始まっていません。", "The certificate is not valid yet."),
            vendor: (
                "notBefore が未来です。時計を確認してください。",
                "notBefore is in the future; check the clocks.",
            ),
            action: ("端末の時刻を確かめてください。", "Check the terminal's clock."),
        },
        ProblemCode::CertificateExpired => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: ("カードの電子証明書の期限が切れています。", "The card's certificate has expired."),
            vendor: ("notAfter が過ぎています。", "notAfter has passed."),
            action: (
                "市区町村の窓口での更新を案内し、今日は別の方法で資格を確認してください。",
                "Refer the person to the municipality for renewal; verify coverage another way today.",
            ),
        },
        ProblemCode::CertificateHold => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: ("紛失の届けが出ているカードです。", "This card is reported lost."),
            vendor: (
                "失効理由 certificateHold。一時停止で、解除されれば再び使えます。紐づけは保持しています。",
                "Revocation reason certificateHold: temporary; the link is kept and works again after release.",
            ),
            action: (
                "ご本人が見つけたカードなら、市区町村での一時停止解除を案内してください。",
                "If the holder has found the card, refer them to the municipality to lift the hold.",
            ),
        },
        ProblemCode::AffiliationChanged => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: ("住民登録から外れた方のカードです。", "The holder has left the resident register."),
            vendor: (
                "利用者証明の失効理由 affiliationChanged (死亡・国外転出)。保険者への通知を記録しました。",
                "Revocation reason affiliationChanged on the authentication certificate (death, moved abroad); a notice to the insurer is recorded.",
            ),
            action: ("資格の確認を止め、保険者に問い合わせてください。", "Stop here and ask the insurer."),
        },
        ProblemCode::Superseded => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: ("更新前の古い証明書です。", "This certificate was replaced by a newer one."),
            vendor: (
                "失効理由 superseded。新しい証明書を使ってください。",
                "Revocation reason superseded; use the newer certificate.",
            ),
            action: ("新しいカードをかざしてもらってください。", "Ask for the newer card."),
        },
        ProblemCode::CessationOfOperation => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: ("返納されたカードです。", "This card was handed back."),
            vendor: ("失効理由 cessationOfOperation。", "Revocation reason cessationOfOperation."),
            action: ("別の方法で資格を確認してください。", "Verify coverage another way."),
        },
        ProblemCode::CertificateRevoked => Entry {
            status: 403,
            culprit: Culprit::Card,
            title: ("失効した証明書です。", "The certificate is revoked."),
            vendor: (
                "reason を確認してください。理由がないこともあります。",
                "See reason; there may be none.",
            ),
            action: (
                "市区町村の窓口を案内し、今日は別の方法で資格を確認してください。",
                "Refer the person to the municipality; verify coverage another way today.",
            ),
        },
        ProblemCode::RevocationStatusUnknown => Entry {
            status: 503,
            culprit: Culprit::Platform,
            title: (
                "カードの失効情報を確認できません。",
                "The card's revocation status cannot be determined.",
            ),
            vendor: (
                "CRL がないか古すぎます。detail に thisUpdate と年齢と上限を示します。",
                "There is no CRL, or it is too old; detail shows thisUpdate, age and limit.",
            ),
            action: (
                "少し待ってもう一度かざしてください。続くときは目視で確認してください。",
                "Wait a little and touch again; if it persists verify by sight.",
            ),
        },
        ProblemCode::PlatformOverloaded => Entry {
            status: 503,
            culprit: Culprit::Platform,
            title: ("ただいま混み合っています。", "The platform is busy."),
            vendor: (
                "処理待ちが上限に達しました。Retry-After を守ってください。",
                "The queue is full; honour Retry-After.",
            ),
            action: ("少し待ってもう一度かざしてください。", "Wait a little and touch again."),
        },
        ProblemCode::PlatformStoreFailed => Entry {
            status: 503,
            culprit: Culprit::Platform,
            title: ("資格確認の記録ができません。", "The platform cannot record checks."),
            vendor: (
                "監査ログまたはストアへの書き込みに失敗しました。記録できない回答は返しません。",
                "Writing to the audit log or the store failed; no answer leaves without a record.",
            ),
            action: ("しばらくしてからもう一度かざしてください。", "Touch again later."),
        },
        ProblemCode::PlatformUnreachable => Entry {
            status: 503,
            culprit: Culprit::Network,
            title: ("資格確認のサーバーにつながりません。", "The platform cannot be reached."),
            vendor: (
                "接続できないか、時間切れです。detail を確認してください。",
                "No connection, or a time-out; see detail.",
            ),
            action: ("回線を確かめて、もう一度かざしてください。", "Check the line and touch again."),
        },
        ProblemCode::PlatformNotTrusted => Entry {
            status: 502,
            culprit: Culprit::Platform,
            title: (
                "つながった先が正しいサーバーか確認できません。",
                "The platform's certificate is not trusted.",
            ),
            vendor: (
                "サーバー証明書が設定の CA で検証できません。",
                "The server certificate does not verify with the configured CA.",
            ),
            action: (
                "業者に連絡してください。カードはかざさないでください。",
                "Call the vendor; do not touch cards meanwhile.",
            ),
        },
        ProblemCode::PlatformAnswerUnreadable => Entry {
            status: 502,
            culprit: Culprit::Platform,
            title: ("サーバーの返事を読み取れませんでした。", "The platform's answer cannot be read."),
            vendor: (
                "応答が定義に合いません。版の違いを確認してください。",
                "The answer does not match the interface; check the versions.",
            ),
            action: ("業者に連絡してください。", "Call the vendor."),
        },
        ProblemCode::ReaderMissing => Entry {
            status: 503,
            culprit: Culprit::Terminal,
            title: ("カードリーダーが見つかりません。", "There is no card reader."),
            vendor: (
                "リーダーが外れたか、pcscd が動いていません。detail を確認してください。",
                "The reader is unplugged or pcscd is not running; see detail.",
            ),
            action: ("リーダーの線を差し直してください。", "Plug the reader in again."),
        },
        ProblemCode::NoCardPresented => Entry {
            status: 408,
            culprit: Culprit::Patient,
            title: ("カードが置かれませんでした。", "No card was presented."),
            vendor: ("待ち時間の間にカードが検出されませんでした。", "No card was detected in time."),
            action: ("カードを置いてください。", "Place the card."),
        },
        ProblemCode::CardRemoved => Entry {
            status: 409,
            culprit: Culprit::Patient,
            title: ("カードが早く離れました。", "The card was taken away too early."),
            vendor: ("対話の途中でカードが外れました。", "The card left in the middle of the dialogue."),
            action: (
                "もう一度置いて、終わるまで動かさないでください。",
                "Place it again and leave it until the end.",
            ),
        },
        ProblemCode::CardOfOtherKind => Entry {
            status: 422,
            culprit: Culprit::Patient,
            title: ("マイナンバーカードではありません。", "This is not a My Number Card."),
            vendor: (
                "JPKI-AP を選択できませんでした。detail に判別したカードを示します。",
                "JPKI-AP cannot be selected; detail names the card where it is known.",
            ),
            action: ("マイナンバーカードを置いてください。", "Place a My Number Card."),
        },
        ProblemCode::CardRefused => Entry {
            status: 422,
            culprit: Culprit::Card,
            title: ("カードが手順を受け付けませんでした。", "The card refused a step."),
            vendor: (
                "detail にステップ名とステータスワードを示します。",
                "detail names the step and the status word.",
            ),
            action: (
                "もう一度置いてください。続くときは業者に連絡してください。",
                "Place it again; if it persists call the vendor.",
            ),
        },
        ProblemCode::CardMisbehaved => Entry {
            status: 422,
            culprit: Culprit::Card,
            title: ("カードの返事が正しくありません。", "The card answered against its specification."),
            vendor: ("detail にステップ名を示します。", "detail names the step."),
            action: (
                "もう一度置いてください。続くときは市区町村の窓口を案内してください。",
                "Place it again; if it persists refer the person to the municipality.",
            ),
        },
        ProblemCode::CardTouchesUsedUp => Entry {
            status: 429,
            culprit: Culprit::Card,
            title: (
                "このカードは、この端末での今日の回数の上限に達しました。",
                "This card has reached today's limit at this terminal.",
            ),
            vendor: (
                "SE が同じカードの回数を日ごとに数えています (touches_per_card_and_day)。",
                "The Secure Element counts each card's touches per day (touches_per_card_and_day).",
            ),
            action: (
                "前の結果を使うか、別の端末を使ってください。",
                "Use the earlier answer, or another terminal.",
            ),
        },
        ProblemCode::CardNotGenuine => Entry {
            status: 422,
            culprit: Culprit::Card,
            title: (
                "このカードは正規のカードと確認できません。",
                "This card cannot be recognised as a genuine one.",
            ),
            vendor: (
                "ロット証明書がカード発行者のものでないか、カードがその鍵を持っていません (eac のチップ認証)。",
                "The batch certificate is not the card issuer's, or the card lacks its key (chip authentication of eac).",
            ),
            action: (
                "ほかの方法で資格を確認し、市区町村の窓口を案内してください。",
                "Check the insurance in another way, and point to the municipal office.",
            ),
        },
        ProblemCode::CardTrafficBroken => Entry {
            status: 503,
            culprit: Culprit::Card,
            title: ("カードとの暗号通信が途切れました。", "The protected traffic with the card broke."),
            vendor: (
                "セキュアメッセージングのコマンドか応答が失われたか、変わっています。カードの鍵は消えました。",
                "A protected command or response was lost or changed; the card has dropped its keys.",
            ),
            action: (
                "もう一度置いてください。続くときは読み取り機を替えてください。",
                "Try again; if it persists use another reader.",
            ),
        },
        ProblemCode::ConsentDeclined => Entry {
            status: 409,
            culprit: Culprit::Patient,
            title: ("「やめる」が押されました。", "Stop was pressed."),
            vendor: (
                "同意がないため、カードの鍵は使っていません。",
                "Without consent the card's key was not used.",
            ),
            action: ("必要なら、もう一度置いてもらってください。", "Place the card again if wanted."),
        },
        ProblemCode::ConsentTimedOut => Entry {
            status: 408,
            culprit: Culprit::Patient,
            title: ("「OK」が押されないまま時間が過ぎました。", "Nobody pressed OK in time."),
            vendor: (
                "同意がないため、カードの鍵は使っていません。",
                "Without consent the card's key was not used.",
            ),
            action: ("もう一度置いて「OK」を押してもらってください。", "Place the card again and press OK."),
        },
        ProblemCode::SecureElementLocked => Entry {
            status: 503,
            culprit: Culprit::Terminal,
            title: ("端末の準備ができていません。", "The terminal is not ready."),
            vendor: (
                "SE が解錠されていません。プラットフォームに接続できているか確認してください。",
                "The Secure Element is not armed; check the connection to the platform.",
            ),
            action: (
                "少し待ってください。続くときは端末の電源を入れ直してください。",
                "Wait a little; if it persists switch the terminal off and on.",
            ),
        },
        ProblemCode::InstitutionCertificateUnusable => Entry {
            status: 503,
            culprit: Culprit::Terminal,
            title: (
                "この端末の、カードに示す証明書が使えません。",
                "The certificates that this terminal shows to cards cannot be used.",
            ),
            vendor: (
                "SE の eac 証明書の期限が切れたか、権限がありません。新しい証明書を secure_element.chain に置いてください。",
                "The SE's eac certificates have expired or lack a right; put newer ones where secure_element.chain says.",
            ),
            action: (
                "別の端末を使い、担当業者に連絡してください。",
                "Use another terminal, and call the vendor.",
            ),
        },
        ProblemCode::SecureElementRefused => Entry {
            status: 503,
            culprit: Culprit::Terminal,
            title: (
                "端末の安全チップが手順を受け付けませんでした。",
                "The terminal's Secure Element refused a step.",
            ),
            vendor: (
                "detail にステップ名とステータスワードを示します。",
                "detail names the step and the status word.",
            ),
            action: ("端末の電源を入れ直してください。", "Switch the terminal off and on."),
        },
        ProblemCode::DeskBusy => Entry {
            status: 409,
            culprit: Culprit::Terminal,
            title: ("ほかの方の確認をしています。", "Another check is going on at this desk."),
            vendor: ("セッションは一度に一つだけです。", "There is one session at a time."),
            action: ("終わるまで待ってください。", "Wait until it is finished."),
        },
        ProblemCode::FormNotAccepted => Entry {
            status: 403,
            culprit: Culprit::Request,
            title: ("画面が古くなっています。", "The page is out of date."),
            vendor: (
                "フォームのトークンが違うか、別のサイトからの送信です。",
                "The form token is wrong, or it comes from another site.",
            ),
            action: ("画面を読み込み直してください。", "Reload the page."),
        },
        ProblemCode::TownNotRunning => Entry {
            status: 503,
            culprit: Culprit::Operator,
            title: ("町が動いていません。", "The town is not running."),
            vendor: (
                "指定したフォルダに town.json がないか、部屋が応答しません。",
                "There is no town.json in this folder, or a room does not answer.",
            ),
            action: ("先に kazasu dev を動かしてください。", "Start `kazasu dev` first."),
        },
        ProblemCode::PersonUnknown => Entry {
            status: 404,
            culprit: Culprit::Operator,
            title: ("その名前の見本はありません。", "There is no specimen person of this name."),
            vendor: ("kazasu card list で名前を確認できます。", "`kazasu card list` shows the names."),
            action: ("名前を確かめてください。", "Check the name."),
        },
        ProblemCode::ReaderBusy => Entry {
            status: 409,
            culprit: Culprit::Terminal,
            title: ("別のプログラムがカードを使っています。", "Another program is using the card."),
            vendor: (
                "カードは排他で開きます。detail のリーダーを使っているプログラムを終えてください。",
                "Cards are opened exclusively; end the program that uses the reader in detail.",
            ),
            action: ("ほかのプログラムを閉じてください。", "Close the other program."),
        },
        ProblemCode::ReaderDriverMissing => Entry {
            status: 503,
            culprit: Culprit::Operator,
            title: (
                "仮想リーダーのドライバーがありません。",
                "The driver of virtual readers is not installed.",
            ),
            vendor: (
                "vsmartcard の libifdvpcd.so が見つかりません。",
                "libifdvpcd.so of vsmartcard was not found.",
            ),
            action: (
                "apt-get install pcscd vsmartcard-vpcd を実行してください。",
                "Run `apt-get install pcscd vsmartcard-vpcd`.",
            ),
        },
        ProblemCode::SecretWrong => Entry {
            status: 422,
            culprit: Culprit::Operator,
            title: ("暗証番号が違います。", "The PIN or password is wrong."),
            vendor: ("detail に残り回数を示します。", "detail says how many tries are left."),
            action: (
                "暗証番号を確かめてください。続けて間違えるとロックされます。",
                "Check it: too many mistakes in a row block it.",
            ),
        },
        ProblemCode::SecretBlocked => Entry {
            status: 422,
            culprit: Culprit::Card,
            title: ("暗証番号がロックされています。", "The PIN or password is blocked."),
            vendor: (
                "カードの試行回数が残っていません。端末では解除できません。",
                "The card has no tries left; no terminal can unblock it.",
            ),
            action: ("市区町村の窓口で再設定してください。", "Have it set again at the municipality."),
        },
        ProblemCode::SecretTriesTooFew => Entry {
            status: 422,
            culprit: Culprit::Operator,
            title: (
                "暗証番号の残り回数が少ないので、送りませんでした。",
                "Too few tries are left, so the PIN or password was not presented.",
            ),
            vendor: (
                "一度の間違いでロックされます。detail に残り回数を示します。",
                "One mistake would block it; detail says how many tries are left.",
            ),
            action: (
                "確かなときだけ --allow-last-try を付けてください。",
                "Only if you are sure, add --allow-last-try.",
            ),
        },
        ProblemCode::TraceUnreadable => Entry {
            status: 422,
            culprit: Culprit::Operator,
            title: ("カードとの通信記録として読めません。", "This is no recorded card dialogue."),
            vendor: (
                "detail に行と桁を示します。形式は docs/card-trace.md にあります。",
                "detail names line and column; the format is in docs/card-trace.md.",
            ),
            action: ("ファイルを確かめてください。", "Check the file."),
        },
        ProblemCode::TraceDiffers => Entry {
            status: 409,
            culprit: Culprit::Card,
            title: ("カードの返事が記録と違います。", "The card answers otherwise than the recorded one."),
            vendor: (
                "detail に最初の違いの行を示します。判定の意味は docs/card-trace.md にあります。",
                "detail names the line of the first difference; docs/card-trace.md says what verdicts mean.",
            ),
            action: ("その行の前後を見てください。", "Look at that line and those before it."),
        },
        ProblemCode::CeremonyNotApproved => keys::CEREMONY_NOT_APPROVED,
        ProblemCode::CeremonyRefused => keys::CEREMONY_REFUSED,
        ProblemCode::KeyPlaceRefused => keys::KEY_PLACE_REFUSED,
        ProblemCode::TranscriptDiffers => keys::TRANSCRIPT_DIFFERS,
        ProblemCode::InputUnusable => operator::INPUT_UNUSABLE,
        ProblemCode::LinkageClientUnknown => authority::LINKAGE_CLIENT_UNKNOWN,
        ProblemCode::LinkageClientExpired => authority::LINKAGE_CLIENT_EXPIRED,
        ProblemCode::LinkageNotAllowed => authority::LINKAGE_NOT_ALLOWED,
        ProblemCode::LinkageTooMany => authority::LINKAGE_TOO_MANY,
        ProblemCode::AuthorityStoreFailed => authority::AUTHORITY_STORE_FAILED,
        ProblemCode::CertificateNotIssuedHere => authority::CERTIFICATE_NOT_ISSUED_HERE,
        ProblemCode::StatusChangeRefused => authority::STATUS_CHANGE_REFUSED,
        ProblemCode::ApprovalRefused => authority::APPROVAL_REFUSED,
        ProblemCode::InstitutionNotAccredited => authority::INSTITUTION_NOT_ACCREDITED,
        ProblemCode::AuditBroken => authority::AUDIT_BROKEN,
        ProblemCode::ResponderUnreachable => relying_party::RESPONDER_UNREACHABLE,
        ProblemCode::ResponderTooSlow => relying_party::RESPONDER_TOO_SLOW,
        ProblemCode::ResponderAnswerUnreadable => relying_party::RESPONDER_ANSWER_UNREADABLE,
        ProblemCode::ResponderBusy => relying_party::RESPONDER_BUSY,
        ProblemCode::ResponderRefuses => relying_party::RESPONDER_REFUSES,
        ProblemCode::ResponderAnswerForAnother => relying_party::RESPONDER_ANSWER_FOR_ANOTHER,
        ProblemCode::ResponderAnswerReplayed => relying_party::RESPONDER_ANSWER_REPLAYED,
        ProblemCode::ResponderAnswerWithoutNonce => relying_party::RESPONDER_ANSWER_WITHOUT_NONCE,
        ProblemCode::ResponderNotAuthorized => relying_party::RESPONDER_NOT_AUTHORIZED,
        ProblemCode::ResponderAnswerTooOld => relying_party::RESPONDER_ANSWER_TOO_OLD,
        ProblemCode::ResponderAnswerFromFuture => relying_party::RESPONDER_ANSWER_FROM_FUTURE,
        ProblemCode::ResponderDoesNotKnow => relying_party::RESPONDER_DOES_NOT_KNOW,
        ProblemCode::CertificateStatusRefused => relying_party::CERTIFICATE_STATUS_REFUSED,
        ProblemCode::DocumentSignatureUnreadable => relying_party::DOCUMENT_SIGNATURE_UNREADABLE,
        ProblemCode::DocumentChanged => relying_party::DOCUMENT_CHANGED,
        ProblemCode::DocumentSignatureInvalid => relying_party::DOCUMENT_SIGNATURE_INVALID,
        ProblemCode::DocumentSignatureWeak => relying_party::DOCUMENT_SIGNATURE_WEAK,
        ProblemCode::DocumentSignerMissing => relying_party::DOCUMENT_SIGNER_MISSING,
        ProblemCode::DocumentSignerNotValid => relying_party::DOCUMENT_SIGNER_NOT_VALID,
        ProblemCode::DocumentSignerRevoked => relying_party::DOCUMENT_SIGNER_REVOKED,
        ProblemCode::DocumentSignerOnHold => relying_party::DOCUMENT_SIGNER_ON_HOLD,
        ProblemCode::DocumentSignerStatusUnknown => relying_party::DOCUMENT_SIGNER_STATUS_UNKNOWN,
        ProblemCode::RevocationListOlderThanKept => relying_party::REVOCATION_LIST_OLDER_THAN_KEPT,
        ProblemCode::ReceiptInvalid => relying_party::RECEIPT_INVALID,
        ProblemCode::FeedRefused => insurer::FEED_REFUSED,
        ProblemCode::FeedUnfinished => insurer::FEED_UNFINISHED,
        ProblemCode::NotBuiltYet => Entry {
            status: 501,
            culprit: Culprit::Platform,
            title: ("この機能はまだありません。", "This is not built yet."),
            vendor: ("ARCHITECTURE.md の地図を見てください。", "See the map in ARCHITECTURE.md."),
            action: ("ほかの方法を使ってください。", "Use another way."),
        },
    }
}
