//! `kazasu doctor`: looks at a live town from outside and says, one line per finding, what is well and
//! what to do about what is not. It changes nothing; one small file is written to time the disk, and
//! removed. Serials, names and keys are never printed: files, rooms and numbers of days are.

mod office;

use crate::cli::CommonArgs;
use crate::output::Exit;
use crate::touch::{no_town, refuse};
use crate::town::{Room, Town, run::split_url, secure_element};
use anyhow::Context as _;
use card::eac::cvc::CvcDate;
use chassis::client::{Client, ClientLimits};
use chassis::clock::SystemClock;
use chassis::tls;
use pki::certificate::Certificate;
use pki::crl::RevocationIndex;
use pki::pem::{self, PemKind};
use pki::validate::TrustAnchor;
use protocol::answer::Bilingual;
use protocol::time::{Clock as _, UnixSeconds};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const DAY_SECONDS: u64 = 86_400;
/// Below this many days a certificate wants to be renewed.
const CERTIFICATE_DAYS_MIN: u64 = 30;
/// Above this a durable write holds up every patient in the queue.
const SYNC_SLOW: Duration = Duration::from_millis(50);
/// How long a room may take to answer before it counts as not answering.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Where distributions put vpcd's driver for pcscd.
const VPCD_DRIVERS: [&str; 3] = [
    "/usr/lib/pcsc/drivers/serial/libifdvpcd.so",
    "/usr/lib/x86_64-linux-gnu/pcsc/drivers/serial/libifdvpcd.so",
    "/usr/local/lib/pcsc/drivers/serial/libifdvpcd.so",
];

/// How it stands with one thing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// Well.
    Ok,
    /// Works, but somebody should look.
    Warn,
    /// Does not work.
    Fail,
}

impl State {
    const fn mark(self) -> &'static str {
        match self {
            Self::Ok => "✓",
            Self::Warn => "▲",
            Self::Fail => "✕",
        }
    }
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Finding {
    check: String,
    state: State,
    text_ja: String,
    text_en: String,
    fix_ja: String,
    fix_en: String,
}

/// A text in both languages.
fn both(ja: impl Into<String>, en: impl Into<String>) -> Bilingual {
    Bilingual::new(ja, en)
}

impl Finding {
    fn new(state: State, check: impl Into<String>, text: Bilingual, fix: Bilingual) -> Self {
        Self {
            check: check.into(),
            state,
            text_ja: text.ja,
            text_en: text.en,
            fix_ja: fix.ja,
            fix_en: fix.en,
        }
    }

    fn ok(check: impl Into<String>, text: Bilingual) -> Self {
        Self::new(State::Ok, check, text, both("", ""))
    }

    fn warn(check: impl Into<String>, text: Bilingual, fix: Bilingual) -> Self {
        Self::new(State::Warn, check, text, fix)
    }

    fn fail(check: impl Into<String>, text: Bilingual, fix: Bilingual) -> Self {
        Self::new(State::Fail, check, text, fix)
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    findings: Vec<Finding>,
    ok: bool,
}

/// `kazasu doctor`.
pub(crate) async fn doctor(args: CommonArgs) -> anyhow::Result<Exit> {
    let (dir, json) = (&args.common.dir, args.common.json);
    let findings = match Town::find(dir) {
        Ok(Some(town)) => examine(&town).await,
        Ok(None) => return refuse(&no_town(dir), json),
        Err(error) => vec![Finding::fail(
            "town",
            both(
                format!("町の記録が読めません: {error:#}"),
                format!("the town's description cannot be read: {error:#}"),
            ),
            both(
                format!("{} を消して kazasu dev で作り直してください", dir.display()),
                format!("remove {} and set it up again with kazasu dev", dir.display()),
            ),
        )],
    };
    let report = Report { ok: findings.iter().all(|finding| finding.state != State::Fail), findings };
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print(&report);
    }
    Ok(if report.ok { Exit::Done } else { Exit::Refused })
}

fn print(report: &Report) {
    for finding in &report.findings {
        println!("{} {} / {}", finding.state.mark(), finding.text_ja, finding.text_en);
        if !finding.fix_ja.is_empty() {
            println!("    → {} / {}", finding.fix_ja, finding.fix_en);
        }
    }
    let count = |state| report.findings.iter().filter(|finding| finding.state == state).count();
    let (warnings, failures) = (count(State::Warn), count(State::Fail));
    if report.ok {
        println!("\n○ 町は動いています (注意 {warnings} 件) / the town is well (warnings: {warnings})");
    } else {
        println!(
            "\n✕ {failures} 件の不具合、{warnings} 件の注意 / failures: {failures}, warnings: {warnings}"
        );
    }
}

async fn examine(town: &Town) -> Vec<Finding> {
    let now = SystemClock.now();
    let mut findings = vec![Finding::ok(
        "town",
        both(
            format!("町は {} にあります", town.dir.display()),
            format!("the town is in {}", town.dir.display()),
        ),
    )];
    for (name, room) in rooms(town) {
        findings.extend(readiness(town, name, room).await);
    }
    findings.extend(configs(town));
    findings.extend(certificates(town, now));
    findings.push(institution_certificates(town, now));
    findings.push(key_files(town));
    for (name, url, anchor) in [
        ("crl.auth", &town.rooms.jpki_authority.crl, &town.rooms.jpki_authority.auth_ca),
        ("crl.sign", &town.rooms.jpki_authority.sign_crl, &town.rooms.jpki_authority.sign_ca),
    ] {
        findings.push(revocation_list(town, name, url, anchor, now).await);
    }
    findings.extend(office::examine(town));
    findings.extend(clock(town).await);
    findings.push(disk(town));
    findings.extend(readers(town).await);
    findings.push(daemon().await);
    findings.push(vpcd());
    findings
}

fn rooms(town: &Town) -> [(&'static str, &Room); 3] {
    [
        ("jpki_authority", &town.rooms.jpki_authority.room),
        ("eligibility", &town.rooms.eligibility),
        ("terminal", &town.rooms.terminal.room),
    ]
}

fn start_again(town: &Town) -> Bilingual {
    let dir = town.dir.display();
    both(format!("kazasu dev --dir {dir} を実行してください"), format!("run kazasu dev --dir {dir}"))
}

fn look_at_log(town: &Town, room: &str) -> Bilingual {
    let log = town.dir.join("logs").join(format!("{room}.log"));
    both(format!("{} を見てください", log.display()), format!("look at {}", log.display()))
}

const fn limits() -> ClientLimits {
    ClientLimits { connect_timeout: ANSWER_WITHIN, request_timeout: ANSWER_WITHIN, reply_bytes_max: 64 << 20 }
}

async fn get_plain(url: &str) -> anyhow::Result<chassis::client::Reply> {
    let (base, path) = split_url(url).with_context(|| format!("{url} is not a URL"))?;
    Ok(Client::plain(base)?.with_limits(limits()).get(path).await?)
}

/// `readyz?verbose`.
#[derive(Deserialize)]
struct Readiness {
    checks: Vec<ReadyCheck>,
}

#[derive(Deserialize)]
struct ReadyCheck {
    name: String,
    ready: bool,
    #[serde(default)]
    reason: String,
}

/// Whether the room answers, and each thing it waits for.
async fn readiness(town: &Town, name: &str, room: &Room) -> Vec<Finding> {
    let asked = match get_plain(&format!("{}?verbose", room.ready)).await {
        Ok(reply) => reply.json::<Readiness>().map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    let checks = match asked {
        Ok(readiness) => readiness.checks,
        Err(error) => {
            return vec![Finding::fail(
                format!("room.{name}"),
                both(
                    format!("{name}: 応答がありません ({error})"),
                    format!("{name} does not answer ({error})"),
                ),
                start_again(town),
            )];
        }
    };
    let is_ready = checks.iter().all(|check| check.ready);
    let mut findings = Vec::new();
    if is_ready {
        let text = both(format!("{name}: 稼働中"), format!("{name} is live and ready"));
        findings.push(Finding::ok(format!("room.{name}"), text));
    }
    for check in &checks {
        let named =
            if name == "terminal" { check.name.clone() } else { format!("room.{name}.{}", check.name) };
        if !check.ready {
            findings.push(Finding::fail(
                named,
                both(
                    format!("{name}: {} が未準備です ({})", check.name, check.reason),
                    format!("{name} is not ready: {} ({})", check.name, check.reason),
                ),
                look_at_log(town, name),
            ));
        } else if check.name == terminal::desk::READINESS {
            findings
                .push(Finding::ok(named, both("安全チップは使える状態です", "the Secure Element is armed")));
        }
    }
    findings
}

/// Every config parses, and names a store of its own.
fn configs(town: &Town) -> Vec<Finding> {
    let of = |room: &Room| room.config.clone();
    let text = |error: chassis::config::ConfigError| error.to_string();
    let eligibility =
        eligibility::serve::load_config(&of(&town.rooms.eligibility)).map(|c| c.store).map_err(text);
    let authority = jpki_authority::serve::load_config(&of(&town.rooms.jpki_authority.room))
        .map(|c| c.store)
        .map_err(text);
    let desk = terminal::serve::load_config(&of(&town.rooms.terminal.room))
        .map(|c| c.secure_element.state)
        .map_err(text);
    let mut findings: Vec<Finding> = [
        ("eligibility", &town.rooms.eligibility, eligibility),
        ("jpki_authority", &town.rooms.jpki_authority.room, authority),
        ("terminal", &town.rooms.terminal.room, desk),
    ]
    .into_iter()
    .map(|(name, room, store)| config(town, name, room, store))
    .collect();
    findings.push(match town.ensure_separate_stores() {
        Ok(()) => {
            Finding::ok("stores", both("部屋ごとに別の保存先です", "every room has a store of its own"))
        }
        Err(error) => Finding::fail(
            "stores",
            both(format!("保存先が重なっています: {error}"), format!("stores overlap: {error}")),
            both("設定で保存先を分けてください", "give each room its own store in its config"),
        ),
    });
    findings
}

fn config(town: &Town, name: &str, room: &Room, store: Result<PathBuf, String>) -> Finding {
    let check = format!("config.{name}");
    match store {
        Ok(store) if same_file(&store, &room.store) => Finding::ok(
            check,
            both(format!("{name}: 設定は正しい形です"), format!("{name}: the config is good")),
        ),
        Ok(store) => Finding::fail(
            check,
            both(
                format!("{name}: 設定の保存先が town.json と違います ({})", store.display()),
                format!("{name}: the config's store is not the one in town.json ({})", store.display()),
            ),
            start_again(town),
        ),
        Err(error) => Finding::fail(
            check,
            both(
                format!("{name}: 設定が読めません: {error}"),
                format!("{name}: the config cannot be used: {error}"),
            ),
            start_again(town),
        ),
    }
}

/// One file by two names; a file that is not there is compared by its name.
fn same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// When the certificate in a PEM file ends.
fn not_after(file: &Path) -> anyhow::Result<UnixSeconds> {
    let text = fs::read_to_string(file)?;
    let der = pem::decode(PemKind::Certificate, &text)?;
    Ok(Certificate::parse(&der)?.not_after().saturating_unix())
}

fn certificates(town: &Town, now: UnixSeconds) -> Vec<Finding> {
    let authority = &town.rooms.jpki_authority;
    let mut files = vec![
        ("town_ca".to_owned(), town.rooms.eligibility.ca.clone()),
        ("auth_ca".to_owned(), authority.auth_ca.clone()),
        ("sign_ca".to_owned(), authority.sign_ca.clone()),
    ];
    if let Ok(config) = eligibility::serve::load_config(&town.rooms.eligibility.config) {
        files.push(("eligibility".to_owned(), config.tls.cert));
        files.push(("terminal_ca".to_owned(), config.terminal_ca));
    }
    if let Ok(config) = jpki_authority::serve::load_config(&authority.room.config) {
        files.push(("jpki_authority".to_owned(), config.tls.cert));
    }
    files.extend(town.terminals.iter().map(|terminal| (terminal.name.clone(), terminal.cert.clone())));
    files.extend(
        town.partners.iter().map(|partner| (format!("partner.{}", partner.name), partner.cert.clone())),
    );
    files.iter().map(|(name, file)| certificate(name, file, now)).collect()
}

fn certificate(name: &str, file: &Path, now: UnixSeconds) -> Finding {
    let check = format!("certificate.{name}");
    let renew = || {
        both(
            format!("{} の証明書を更新してください", file.display()),
            format!("renew the certificate in {}", file.display()),
        )
    };
    let end = match not_after(file) {
        Ok(end) => end,
        Err(error) => {
            let text = both(
                format!("{name}: 証明書が読めません ({error})"),
                format!("{name}: unreadable certificate ({error})"),
            );
            return Finding::fail(check, text, renew());
        }
    };
    let days = end.since(now) / DAY_SECONDS;
    if end <= now {
        let text = both(
            format!("{name}: 証明書の期限が切れています"),
            format!("{name}: the certificate has expired"),
        );
        return Finding::fail(check, text, renew());
    }
    let text = both(
        format!("{name}: 証明書はあと {days} 日有効"),
        format!("{name}: certificate good for {days} days"),
    );
    if days < CERTIFICATE_DAYS_MIN { Finding::warn(check, text, renew()) } else { Finding::ok(check, text) }
}

/// What the desk's Secure Element shows to cards, as far as the file beside it says.
fn institution_certificates(town: &Town, now: UnixSeconds) -> Finding {
    let check = "institution_certificates";
    let ended = |why: String| {
        let text = both(
            format!("端末がカードに示す証明書が使えません ({why})"),
            format!("the desk's certificates for cards cannot be used ({why})"),
        );
        Finding::fail(check, text, start_again(town))
    };
    let chain = match terminal::custody::read_chain(&town.dir.join(secure_element::CHAIN_FILE)) {
        Ok(Some(chain)) => chain,
        Ok(None) => return ended("no file".to_owned()),
        Err(error) => return ended(error.to_string()),
    };
    let until = chain.terminal().body().expiration;
    let (left, life) = CvcDate::at(now).map_or((0, 1), |today| secure_element::days_left(&chain, today));
    if left == 0 {
        return ended(format!("{until}"));
    }
    let text = both(
        format!("端末がカードに示す証明書はあと {left} 日有効 ({until} まで)"),
        format!("the desk's certificates for cards are good for {left} days (until {until})"),
    );
    if left * 2 < life { Finding::warn(check, text, start_again(town)) } else { Finding::ok(check, text) }
}

/// Everything below the town's folder that holds a private key.
fn private_files(town: &Town) -> std::io::Result<Vec<PathBuf>> {
    let mut private: Vec<PathBuf> = town.terminals.iter().map(|terminal| terminal.key.clone()).collect();
    private.extend(town.people.iter().map(|person| person.card.clone()));
    let mut folders = vec![town.dir.clone()];
    while let Some(folder) = folders.pop() {
        let is_key_folder = folder.file_name().is_some_and(|name| name == "keys");
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            // The state holds the secret behind the day's card counts.
            let is_image = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                ["secure-element.json", "secure-element.state", "secure-element.chain"].contains(&name)
            });
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if is_key_folder || is_image || path.extension().is_some_and(|end| end == "key") {
                private.push(path);
            }
        }
    }
    private.sort();
    private.dedup();
    Ok(private)
}

fn key_files(town: &Town) -> Finding {
    let check = "key_files";
    let unreadable = |error: std::io::Error| {
        let text = both(
            format!("鍵のファイルを調べられません: {error}"),
            format!("key files cannot be looked at: {error}"),
        );
        Finding::fail(check, text, start_again(town))
    };
    let files = match private_files(town) {
        Ok(files) => files,
        Err(error) => return unreadable(error),
    };
    let mut open = Vec::new();
    for file in &files {
        match fs::metadata(file) {
            Ok(data) if data.permissions().mode() & 0o077 != 0 => open.push(file.display().to_string()),
            Ok(_) => {}
            Err(error) => return unreadable(error),
        }
    }
    if open.is_empty() {
        let count = files.len();
        let text = both(
            format!("秘密鍵のファイル {count} 個は持ち主だけが読めます"),
            format!("{count} files with private keys are readable by their owner only"),
        );
        return Finding::ok(check, text);
    }
    let open = open.join(" ");
    Finding::fail(
        check,
        both(
            format!("秘密鍵をほかの利用者が読めます: {open}"),
            format!("others can read private keys: {open}"),
        ),
        both(
            format!("chmod 600 {open} を実行し、鍵を作り直してください"),
            format!("run chmod 600 {open}, and renew those keys"),
        ),
    )
}

async fn fetch_list(town: &Town, url: &str, anchor: &Path) -> anyhow::Result<RevocationIndex> {
    let (base, path) = split_url(url).with_context(|| format!("{url} is not a URL"))?;
    let tls = tls::client_config(&town.rooms.jpki_authority.room.ca, None)?;
    let reply = Client::new(base, tls)?.with_limits(limits()).get(path).await?;
    anyhow::ensure!(reply.is_success(), "status {}", reply.status);
    let text = fs::read_to_string(anchor).with_context(|| format!("{} cannot be read", anchor.display()))?;
    let anchor = TrustAnchor::from_certificate(&pem::decode(PemKind::Certificate, &text)?)?;
    Ok(RevocationIndex::from_crl(&reply.body, &[anchor], None)?)
}

async fn revocation_list(town: &Town, check: &str, url: &str, anchor: &Path, now: UnixSeconds) -> Finding {
    let list = match fetch_list(town, url, anchor).await {
        Ok(list) => list,
        Err(error) => {
            return Finding::fail(
                check,
                both(
                    format!("{check}: 失効リストが使えません: {error}"),
                    format!("{check}: no usable revocation list: {error}"),
                ),
                look_at_log(town, "jpki_authority"),
            );
        }
    };
    let age = now.since(list.this_update());
    if now > list.next_update() {
        let late = now.since(list.next_update());
        return Finding::fail(
            check,
            both(
                format!("{check}: 失効リストの期限が {late} 秒前に切れました"),
                format!("{check}: the list ran out {late} s ago"),
            ),
            look_at_log(town, "jpki_authority"),
        );
    }
    let left = list.next_update().since(now) / 3600;
    Finding::ok(
        check,
        both(
            format!("{check}: {age} 秒前に発行、あと {left} 時間有効、{} 件", list.len()),
            format!("{check}: {age} s old, good for {left} h, {} entries", list.len()),
        ),
    )
}

/// The room's own clock, from the `Date` of any answer (RFC 9110 §6.6.1).
async fn date_of(url: &str) -> anyhow::Result<UnixSeconds> {
    let (base, path) = split_url(url).context("not a URL")?;
    let host = base.split_once("://").context("not a URL")?.1;
    let ask = async {
        let mut stream = tokio::net::TcpStream::connect(host).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(64 << 10).read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, ask).await??;
    let date = answer
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("date"))
        .context("no Date")?
        .1;
    let date = jiff::fmt::rfc2822::parse(date.trim())?;
    Ok(UnixSeconds(u64::try_from(date.timestamp().as_second())?))
}

/// Nothing if the platform does not say what time it is: then it is down, and that is said elsewhere.
async fn clock(town: &Town) -> Option<Finding> {
    let theirs = date_of(&town.rooms.eligibility.ready).await.ok()?;
    let tolerance = eligibility::serve::load_config(&town.rooms.eligibility.config)
        .ok()?
        .freshness
        .clock_tolerance_seconds;
    let ours = SystemClock.now();
    let offset = ours.since(theirs).max(theirs.since(ours));
    let text = both(
        format!("時計のずれは {offset} 秒 (許容 {tolerance} 秒)"),
        format!("clocks are {offset} s apart ({tolerance} s allowed)"),
    );
    let fix = || both("NTP で時刻を合わせてください", "set the clock by NTP (systemd-timesyncd or chrony)");
    Some(if offset > tolerance {
        Finding::fail("clock", text, fix())
    } else if offset > tolerance / 10 {
        Finding::warn("clock", text, fix())
    } else {
        Finding::ok("clock", text)
    })
}

/// One record's way to the disk, timed once beside the platform's store.
fn time_a_sync(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let timed = (|| {
        let mut file = File::options().create_new(true).write(true).open(&path)?;
        file.write_all(&[0; 512])?;
        let begun = Instant::now();
        file.sync_data()?;
        Ok(begun.elapsed())
    })();
    drop(fs::remove_file(&path));
    timed
}

fn disk(town: &Town) -> Finding {
    let store = &town.rooms.eligibility.store;
    let folder = store.parent().unwrap_or(&town.dir);
    let check = "disk_sync";
    match time_a_sync(folder) {
        Ok(took) => {
            let ms = took.as_secs_f64() * 1000.0;
            let text = both(
                format!("確実な書き込みに {ms:.1} ms (一度だけの計測)"),
                format!("a durable write takes {ms:.1} ms (measured once)"),
            );
            let fix = both("保存先を速いディスクに移してください", "move the store to a faster disk");
            if took > SYNC_SLOW { Finding::warn(check, text, fix) } else { Finding::ok(check, text) }
        }
        Err(error) => Finding::fail(
            check,
            both(
                format!("{} に書き込めません: {error}", folder.display()),
                format!("cannot write to {}: {error}", folder.display()),
            ),
            both("空き容量と書き込み権限を確かめてください", "check free space and write permission"),
        ),
    }
}

#[derive(Deserialize)]
struct Readers {
    readers: Vec<DeskReader>,
}

#[derive(Deserialize)]
struct DeskReader {
    name: String,
    state: String,
    #[serde(default)]
    detail: String,
}

/// The desk's readers that are missing. Nothing if the desk does not answer: that is said elsewhere.
async fn readers(town: &Town) -> Vec<Finding> {
    let url = format!("{}/api/readers", town.rooms.terminal.room.url);
    let Ok(reply) = get_plain(&url).await else { return Vec::new() };
    let Ok(Readers { readers }) = reply.json::<Readers>() else { return Vec::new() };
    let mut findings: Vec<Finding> = readers
        .iter()
        .filter(|reader| reader.state != "ready")
        .map(|reader| {
            Finding::warn(
                "readers",
                both(
                    format!("読み取り機がありません: {} ({})", reader.name, reader.detail),
                    format!("reader missing: {} ({})", reader.name, reader.detail),
                ),
                both("つなぎ直すか、pcscd を確かめてください", "plug it in again, or check pcscd"),
            )
        })
        .collect();
    if findings.is_empty() {
        let count = readers.len();
        let text = both(format!("窓口の読み取り機 {count} 台"), format!("readers at the desk: {count}"));
        findings.push(Finding::ok("readers", text));
    }
    findings
}

/// Only real readers, and other programs, need pcscd.
async fn daemon() -> Finding {
    let check = "pcscd";
    let fix = both(
        "実物の読み取り機を使うときだけ必要です: apt-get install pcscd",
        "only needed for real readers: apt-get install pcscd",
    );
    match tokio::task::spawn_blocking(card_io::list_readers).await {
        Ok(Ok(readers)) => Finding::ok(
            check,
            both(
                format!("pcscd: 読み取り機 {} 台", readers.len()),
                format!("pcscd: readers: {}", readers.len()),
            ),
        ),
        Ok(Err(error)) => {
            Finding::warn(check, both("pcscd が応答しません", format!("pcscd does not answer: {error}")), fix)
        }
        Err(error) => Finding::warn(check, both("pcscd を調べられません", error.to_string()), fix),
    }
}

fn vpcd() -> Finding {
    let check = "vpcd";
    if VPCD_DRIVERS.iter().any(|driver| Path::new(driver).exists()) {
        let text = both("pcscd 用の仮想読み取り機があります", "the virtual reader for pcscd is installed");
        return Finding::ok(check, text);
    }
    Finding::warn(
        check,
        both(
            "pcscd 用の仮想読み取り機 (vpcd) がありません",
            "the virtual reader for pcscd (vpcd) is not installed",
        ),
        both(
            "kazasu card serve を使うときだけ必要です: apt-get install vsmartcard-vpcd",
            "only needed for kazasu card serve: apt-get install vsmartcard-vpcd",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_says_when_it_ends_and_whether_that_is_soon() {
        let folder = std::env::temp_dir().join(format!("kazasu-doctor-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let key = pki::signer::generate_p256_pkcs8().unwrap();
        let signer = pki::signer::SoftwareP256Signer::from_pkcs8(&key).unwrap();
        let made = UnixSeconds(1_800_000_000);
        let authority = pki::issue::IssuingAuthority::self_signed(
            &pki::profile::AuthorityProfile::Town { common_name: "doctor test" },
            pki::serial::SerialNumber::random(16, &mut protocol::entropy::Seeded::new(1)),
            pki::profile::Validity { not_before: made, not_after: made.plus(40 * DAY_SECONDS) },
            Box::new(signer),
        )
        .unwrap();
        let file = folder.join("ca.pem");
        fs::write(&file, pem::encode(PemKind::Certificate, authority.certificate_der()).as_bytes()).unwrap();
        let state = |days: u64| certificate("x", &file, made.plus(days * DAY_SECONDS)).state;
        assert_eq!(
            [state(1), state(15), state(39), state(41)],
            [State::Ok, State::Warn, State::Warn, State::Fail]
        );
        fs::write(&file, "not a certificate").unwrap();
        assert_eq!(certificate("x", &file, made).state, State::Fail);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_disk_that_cannot_be_written_is_named() {
        assert!(time_a_sync(Path::new("/nonexistent/folder")).is_err());
        let folder = std::env::temp_dir();
        time_a_sync(&folder).unwrap();
        assert!(!folder.join(format!(".doctor-{}", std::process::id())).exists(), "nothing stays behind");
    }

    #[tokio::test]
    async fn a_date_header_is_read_as_an_instant() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/readyz", listener.local_addr().unwrap());
        let answering = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut scratch = [0; 1024];
            let _request = stream.read(&mut scratch).await.unwrap();
            let answer =
                b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
        });
        assert_eq!(date_of(&url).await.unwrap(), UnixSeconds(784_111_777));
        answering.await.unwrap();
    }
}
