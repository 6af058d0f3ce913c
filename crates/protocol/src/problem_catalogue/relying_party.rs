//! Texts for those who rely on certificates: asking a responder, verifying a document's signature,
//! watching what is kept. See [`super`].

use super::Entry;
use crate::problem::Culprit;

/// Nobody answers at the OCSP responder's address.
pub(super) const RESPONDER_UNREACHABLE: Entry = Entry {
    status: 502,
    culprit: Culprit::Network,
    title: ("失効確認の応答者につながりません。", "The OCSP responder cannot be reached."),
    vendor: (
        "TCP 接続ができないか、途中で切れました。detail に宛先があります。",
        "No TCP connection, or it broke; detail has the address.",
    ),
    action: (
        "回線と宛先を確かめて、もう一度行ってください。続くときは失効リストで確認してください。",
        "Check line and address and ask again; if it persists, use the revocation list.",
    ),
};

/// The OCSP responder did not answer in time.
pub(super) const RESPONDER_TOO_SLOW: Entry = Entry {
    status: 504,
    culprit: Culprit::Authority,
    title: ("失効確認の応答が時間内に来ませんでした。", "The OCSP responder did not answer in time."),
    vendor: (
        "detail に待った時間があります。--timeout-ms で変えられます。",
        "detail has the time waited; --timeout-ms changes it.",
    ),
    action: (
        "少し待ってもう一度行ってください。続くときは失効リストで確認してください。",
        "Wait and ask again; if it persists, use the revocation list.",
    ),
};

/// What came back from the OCSP responder is no OCSP response.
pub(super) const RESPONDER_ANSWER_UNREADABLE: Entry = Entry {
    status: 502,
    culprit: Culprit::Authority,
    title: ("失効確認の応答を読み取れません。", "The OCSP responder's answer cannot be read."),
    vendor: (
        "HTTP の状態、Content-Type、大きさ、DER のどれかが規格に合いません。detail に場所があります。",
        "HTTP status, content type, size or DER is not as RFC 6960 wants it; detail says where.",
    ),
    action: (
        "宛先が応答者のものか確かめ、認証局に知らせてください。",
        "Check that the address is a responder's, and tell the authority.",
    ),
};

/// The OCSP responder says tryLater or internalError.
pub(super) const RESPONDER_BUSY: Entry = Entry {
    status: 503,
    culprit: Culprit::Authority,
    title: ("失効確認の応答者が今は答えられません。", "The OCSP responder cannot answer at present."),
    vendor: (
        "応答の状態は tryLater か internalError です (RFC 6960 §2.3)。",
        "Its status is tryLater or internalError (RFC 6960 section 2.3).",
    ),
    action: ("少し待ってもう一度行ってください。", "Wait and ask again."),
};

/// The OCSP responder does not answer this request.
pub(super) const RESPONDER_REFUSES: Entry = Entry {
    status: 502,
    culprit: Culprit::Request,
    title: (
        "失効確認の応答者がこの問い合わせに答えません。",
        "The OCSP responder does not answer this request.",
    ),
    vendor: (
        "状態が unauthorized なら別の発行者の応答者です。malformedRequest、sigRequired は要求の形の問題です。",
        "unauthorized: it serves other issuers; malformedRequest, sigRequired: it wants another form of request.",
    ),
    action: (
        "発行者の証明書と宛先の組み合わせを確かめてください。",
        "Check that issuer and address belong together.",
    ),
};

/// The OCSP answer is about another certificate.
pub(super) const RESPONDER_ANSWER_FOR_ANOTHER: Entry = Entry {
    status: 502,
    culprit: Culprit::Authority,
    title: (
        "失効確認の応答が別の証明書についてのものです。",
        "The OCSP answer is about another certificate.",
    ),
    vendor: (
        "応答の CertID が要求のものと違います (RFC 6960 §3.2)。",
        "Its CertID is not the one asked for (RFC 6960 section 3.2).",
    ),
    action: (
        "この応答を使わず、もう一度行ってください。続くときは認証局に知らせてください。",
        "Do not use it; ask again, and tell the authority if it persists.",
    ),
};

/// An OCSP answer made for another request, or older than one already seen.
pub(super) const RESPONDER_ANSWER_REPLAYED: Entry = Entry {
    status: 502,
    culprit: Culprit::Network,
    title: ("失効確認の応答が使い回されたものです。", "The OCSP answer is a replay."),
    vendor: (
        "ノンスが違うか、すでに受け取った応答より古いものです。detail に時刻があります。",
        "Its nonce is another one, or it is older than an answer already seen; detail has the times.",
    ),
    action: (
        "この応答を使わないでください。途中の中継かキャッシュを調べてください。",
        "Do not use it; look at proxies and caches on the way.",
    ),
};

/// The OCSP answer does not repeat the nonce, and one was required.
pub(super) const RESPONDER_ANSWER_WITHOUT_NONCE: Entry = Entry {
    status: 502,
    culprit: Culprit::Authority,
    title: ("失効確認の応答にナンスがありません。", "The OCSP answer does not repeat the nonce."),
    vendor: (
        "応答者が前もって署名した応答を返しています (RFC 9654)。",
        "The responder gives answers signed in advance (RFC 9654).",
    ),
    action: (
        "その鮮度でよければ --nonce を外してください。",
        "If that freshness will do, ask without --nonce.",
    ),
};

/// The signer of the OCSP answer may not answer for the issuer.
pub(super) const RESPONDER_NOT_AUTHORIZED: Entry = Entry {
    status: 502,
    culprit: Culprit::Authority,
    title: (
        "失効確認の応答に、答える権限のない者が署名しています。",
        "The OCSP answer is signed by one who may not answer.",
    ),
    vendor: (
        "署名者は発行者自身でも、発行者が OCSPSigning を与えた有効な証明書の持ち主でもありません (RFC 6960 §4.2.2.2)。detail に理由があります。",
        "The signer is neither the issuer nor its valid delegate (RFC 6960 section 4.2.2.2); detail says why.",
    ),
    action: ("この応答を使わず、認証局に知らせてください。", "Do not use it, and tell the authority."),
};

/// The OCSP answer is past its time.
pub(super) const RESPONDER_ANSWER_TOO_OLD: Entry = Entry {
    status: 502,
    culprit: Culprit::Authority,
    title: ("失効確認の応答が古すぎます。", "The OCSP answer is too old."),
    vendor: (
        "detail に thisUpdate、経過、上限、時計の差を示します。",
        "detail shows thisUpdate, age, limit and clock offset.",
    ),
    action: (
        "この端末の時計を確かめ、もう一度行ってください。続くときは認証局に知らせてください。",
        "Check this machine's clock and ask again; tell the authority if it persists.",
    ),
};

/// The OCSP answer is dated ahead of this machine's clock.
pub(super) const RESPONDER_ANSWER_FROM_FUTURE: Entry = Entry {
    status: 502,
    culprit: Culprit::Authority,
    title: ("失効確認の応答が未来の日付です。", "The OCSP answer is dated in the future."),
    vendor: (
        "こちらと応答者の時計が許容より離れています。detail に thisUpdate、差、許容を示します。",
        "The clocks differ by more than is tolerated; detail shows thisUpdate, difference and tolerance.",
    ),
    action: (
        "まずこの端末の時計を合わせてください。正しければ認証局に知らせてください。",
        "Set this machine's clock first; if it was right, tell the authority.",
    ),
};

/// The OCSP responder does not know the certificate.
pub(super) const RESPONDER_DOES_NOT_KNOW: Entry = Entry {
    status: 404,
    culprit: Culprit::Authority,
    title: (
        "失効確認の応答者がこの証明書を知りません。",
        "The OCSP responder does not know this certificate.",
    ),
    vendor: (
        "certStatus は unknown です。発行の記録がないか、別の応答者のものです (RFC 6960 §2.2)。",
        "certStatus is unknown: never issued there, or another responder's (RFC 6960 section 2.2).",
    ),
    action: (
        "この証明書を受け入れず、認証局に問い合わせてください。",
        "Do not accept the certificate; ask the authority.",
    ),
};

/// The OCSP responder says revoked or on hold.
pub(super) const CERTIFICATE_STATUS_REFUSED: Entry = Entry {
    status: 403,
    culprit: Culprit::Document,
    title: ("この証明書は失効しているか、一時停止中です。", "The certificate is revoked or on hold."),
    vendor: ("reason に失効理由、detail に時刻があります。", "reason names why; detail has the times."),
    action: (
        "この証明書を受け入れないでください。一時停止なら解除後にもう一度確認してください。",
        "Do not accept it; after a hold is lifted, ask again.",
    ),
};

/// A file is no signature of a form that is read here.
pub(super) const DOCUMENT_SIGNATURE_UNREADABLE: Entry = Entry {
    status: 422,
    culprit: Culprit::Document,
    title: ("署名として読み取れません。", "This cannot be read as a signature."),
    vendor: (
        "CMS SignedData (RFC 5652) か PKCS#1 の署名だけを読みます。detail に場所があります。",
        "CMS SignedData (RFC 5652) and PKCS#1 signatures are read; detail says where it fails.",
    ),
    action: ("署名のファイルを送り手に求め直してください。", "Ask the sender for the signature file again."),
};

/// The document is not the one that was signed.
pub(super) const DOCUMENT_CHANGED: Entry = Entry {
    status: 422,
    culprit: Culprit::Document,
    title: ("文書が署名されたものと違います。", "The document is not the one that was signed."),
    vendor: (
        "署名属性の messageDigest が文書のダイジェストと一致しません。",
        "messageDigest among the signed attributes is not the document's digest.",
    ),
    action: (
        "この文書を受け入れず、送り手に原本を求めてください。",
        "Do not accept it; ask the sender for the original.",
    ),
};

/// The signature is not by the certificate's key, or its attributes do not hold.
pub(super) const DOCUMENT_SIGNATURE_INVALID: Entry = Entry {
    status: 422,
    culprit: Culprit::Document,
    title: ("署名が正しくありません。", "The signature is not valid."),
    vendor: (
        "署名値が署名者の鍵で検証できないか、署名属性が足りないか矛盾しています。detail を見てください。",
        "It does not verify with the signer's key, or signed attributes are missing or contradict; see detail.",
    ),
    action: ("この文書を受け入れないでください。", "Do not accept the document."),
};

/// A digest or algorithm that is not accepted.
pub(super) const DOCUMENT_SIGNATURE_WEAK: Entry = Entry {
    status: 422,
    culprit: Culprit::Document,
    title: ("署名の方式が弱いか、対応していません。", "The signature's algorithm is weak or not supported."),
    vendor: (
        "SHA-256、SHA-384、SHA-512 と RSA、ECDSA だけを受け入れます。SHA-1 は受け入れません。",
        "Only SHA-256, SHA-384 and SHA-512 with RSA or ECDSA count; SHA-1 does not.",
    ),
    action: ("新しい方式で署名し直してもらってください。", "Have it signed again with a current algorithm."),
};

/// The signer's certificate is not there.
pub(super) const DOCUMENT_SIGNER_MISSING: Entry = Entry {
    status: 422,
    culprit: Culprit::Document,
    title: ("署名者の証明書がありません。", "The signer's certificate is missing."),
    vendor: (
        "署名にも --untrusted にも、署名者の識別子に合う証明書がありません。",
        "Neither the signature nor --untrusted holds a certificate that fits the signer's identifier.",
    ),
    action: (
        "署名者の証明書を --untrusted で渡してください。",
        "Give the signer's certificate with --untrusted.",
    ),
};

/// The signer's certificate is not valid for this at the time asked about.
pub(super) const DOCUMENT_SIGNER_NOT_VALID: Entry = Entry {
    status: 422,
    culprit: Culprit::Document,
    title: ("署名者の証明書が有効ではありません。", "The signer's certificate is not valid."),
    vendor: (
        "detail に、どの証明書のどの規則かがあります (RFC 5280 §6)。",
        "detail names the certificate and the rule (RFC 5280 section 6).",
    ),
    action: (
        "この文書を受け入れないでください。時点が違うときは --at を確かめてください。",
        "Do not accept the document; check --at if another time was meant.",
    ),
};

/// The signer's certificate is revoked.
pub(super) const DOCUMENT_SIGNER_REVOKED: Entry = Entry {
    status: 422,
    culprit: Culprit::Document,
    title: ("署名者の証明書は失効しています。", "The signer's certificate is revoked."),
    vendor: (
        "reason に失効理由があります。affiliationChanged なら氏名・住所などが変わっています。",
        "reason names why; affiliationChanged: name or address have changed.",
    ),
    action: (
        "この文書を受け入れず、新しい証明書での署名を求めてください。",
        "Do not accept it; ask for a signature with a new certificate.",
    ),
};

/// The signer's certificate is on hold.
pub(super) const DOCUMENT_SIGNER_ON_HOLD: Entry = Entry {
    status: 422,
    culprit: Culprit::Document,
    title: ("署名者の証明書は一時停止中です。", "The signer's certificate is on hold."),
    vendor: (
        "certificateHold: カードの紛失の届けが出ています。解除されれば再び有効です。",
        "certificateHold: the card is reported lost; it may come back.",
    ),
    action: ("解除を待って、もう一度確認してください。", "Wait until the hold is lifted, and verify again."),
};

/// Nothing usable is known about the revocation of the signer's certificate.
pub(super) const DOCUMENT_SIGNER_STATUS_UNKNOWN: Entry = Entry {
    status: 422,
    culprit: Culprit::Authority,
    title: (
        "署名者の証明書が失効していないか分かりません。",
        "It is not known whether the signer's certificate is revoked.",
    ),
    vendor: (
        "失効リストか応答がないか、古いか、使えません。detail に thisUpdate、経過、上限を示します。",
        "No list or response, or one that is too old or cannot be used; detail shows thisUpdate, age and limit.",
    ),
    action: ("新しい失効リストを --crl で渡してください。", "Give a newer revocation list with --crl."),
};

/// A revocation list older than the one that what is kept rests on.
pub(super) const REVOCATION_LIST_OLDER_THAN_KEPT: Entry = Entry {
    status: 422,
    culprit: Culprit::Network,
    title: ("すでに見たものより古い失効リストです。", "This revocation list is older than one already seen."),
    vendor: (
        "番号か thisUpdate が前回のものより小さく、失効を隠すおそれがあります。",
        "Its number or thisUpdate is below that of the last one: somebody may be hiding a revocation.",
    ),
    action: (
        "使わずに、認証局から新しいリストを取り直してください。",
        "Do not use it; fetch the newest list from the authority.",
    ),
};

/// A receipt, or the log behind it, does not hold.
pub(super) const RECEIPT_INVALID: Entry = Entry {
    status: 422,
    culprit: Culprit::Request,
    title: ("この受領証または記録は正しくありません。", "This receipt or log does not hold."),
    vendor: (
        "detail に理由があります。鍵と記録の名前が合っているかも見てください。",
        "See detail for the reason; check that key and log belong together.",
    ),
    action: (
        "発行元から受領証をもう一度もらい、それでも合わなければ改ざんとして扱ってください。",
        "Get the receipt from its source again; if it still fails, treat it as tampered with.",
    ),
};
