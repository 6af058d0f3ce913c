//! Starts the rooms as processes of their own, waits until they are ready, plays one check, stays up.

use crate::cli::DevArgs;
use crate::output::Printer;
use crate::town::{Town, build};
use crate::{output, touch};
use anyhow::{Context as _, bail};
use chassis::client::Client;
use chassis::shutdown::{ParentWatch, ShutdownSignal};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How long a room may take to become ready before `dev` gives up.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a room gets to stop by itself.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// One room's process. Its standard input is held open: when this process ends, however it ends, the
/// room sees the end of its input and stops.
struct RoomProcess {
    name: &'static str,
    child: Child,
}

/// `kazasu dev`.
pub(crate) async fn dev(args: DevArgs) -> anyhow::Result<output::Exit> {
    let started = Instant::now();
    let printer = Printer::new(args.common.json);
    let dir = absolute(&args.common.dir)?;
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let _one_at_a_time = lock(&dir)?;
    let first = Town::find(&dir)?.is_none();
    if first {
        printer.say(&format!("町をつくります / setting up the town in {}", dir.display()));
    }
    let town = build::prepare(&dir, args.ports_from, args.seed, &printer)?;
    town.ensure_separate_stores()?;
    let shutdown = ShutdownSignal::of_process(ParentWatch::Off)?;
    let mut rooms = start_rooms(&town)?;
    let outcome = tokio::select! {
        outcome = open_town(&town, &mut rooms, &args, &printer, started) => outcome,
        () = shutdown.wait() => Ok(output::Exit::Done),
    };
    match outcome {
        Ok(exit) if args.once => {
            stop_rooms(rooms).await;
            Ok(exit)
        }
        Ok(output::Exit::Refused) => {
            stop_rooms(rooms).await;
            Ok(output::Exit::Refused)
        }
        Ok(_) => {
            let stopped = stay_up(&mut rooms, &town, &shutdown).await;
            printer.say("止めています / stopping");
            stop_rooms(rooms).await;
            stopped.map(|()| output::Exit::Done)
        }
        Err(error) => {
            stop_rooms(rooms).await;
            Err(error)
        }
    }
}

fn absolute(dir: &Path) -> anyhow::Result<std::path::PathBuf> {
    std::path::absolute(dir).with_context(|| format!("{} is not a usable folder", dir.display()))
}

/// Two towns in one folder would fight over its stores.
fn lock(dir: &Path) -> anyhow::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).open(dir.join("dev.lock"))?;
    if file.try_lock().is_err() {
        bail!("a town is already running in {}: stop it, or use another --dir", dir.display());
    }
    Ok(file)
}

fn start_rooms(town: &Town) -> anyhow::Result<Vec<RoomProcess>> {
    let rooms = &town.rooms;
    [
        ("jpki_authority", &rooms.jpki_authority.room),
        ("eligibility", &rooms.eligibility),
        ("terminal", &rooms.terminal.room),
    ]
    .into_iter()
    .map(|(name, room)| {
        let log = File::create(log_path(town, name))?;
        let child = Command::new(std::env::current_exe()?)
            .args(["serve", name, "--exit-with-parent", "--config"])
            .arg(&room.config)
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C reaches this process alone; it stops the rooms in order.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting room {name}"))?;
        Ok(RoomProcess { name, child })
    })
    .collect()
}

fn log_path(town: &Town, room: &str) -> std::path::PathBuf {
    town.dir.join("logs").join(format!("{room}.log"))
}

async fn open_town(
    town: &Town,
    rooms: &mut [RoomProcess],
    args: &DevArgs,
    printer: &Printer,
    started: Instant,
) -> anyhow::Result<output::Exit> {
    wait_ready(town, rooms, printer).await?;
    let ready_after = started.elapsed();
    printer.say(&format!("町の準備ができました / ready after {:.1} s\n", ready_after.as_secs_f64()));
    let touched = touch::touch_in_process(town, "hanako").await?;
    if !printer.json {
        touch::print_ladder(&touched);
    }
    if printer.json {
        println!("{}", serde_json::to_string_pretty(town)?);
    } else {
        print_welcome(town, args);
    }
    Ok(touch::exit_of(&touched))
}

/// Waits until every room says it is ready; a room that ends before is shown with its last lines.
async fn wait_ready(town: &Town, rooms: &mut [RoomProcess], printer: &Printer) -> anyhow::Result<()> {
    let pages = [
        ("jpki_authority", &town.rooms.jpki_authority.room.ready),
        ("eligibility", &town.rooms.eligibility.ready),
        ("terminal", &town.rooms.terminal.room.ready),
    ];
    let begun = Instant::now();
    let bar = printer.spinner("部屋を開けています / opening the rooms");
    for (name, page) in pages {
        loop {
            if is_ready(page).await {
                bar.set_message(format!("{name} ✓"));
                break;
            }
            for room in rooms.iter_mut() {
                if let Some(status) = room.child.try_wait()? {
                    bail!("room {} ended ({status}):\n{}", room.name, tail(town, room.name));
                }
            }
            if begun.elapsed() > READY_WITHIN {
                bail!("room {name} is not ready after {} s:\n{}", READY_WITHIN.as_secs(), tail(town, name));
            }
            bar.tick();
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Whether a readiness page answers 200.
pub(crate) async fn is_ready(page: &str) -> bool {
    let Some((base, path)) = split_url(page) else { return false };
    let Ok(client) = Client::plain(base) else { return false };
    client.get(path).await.is_ok_and(|reply| reply.status == 200)
}

/// Splits `scheme://host:port/path` into base and path.
pub(crate) fn split_url(url: &str) -> Option<(&str, &str)> {
    let after_scheme = url.find("://")? + 3;
    let slash = url.get(after_scheme..)?.find('/')? + after_scheme;
    Some((url.get(..slash)?, url.get(slash..)?))
}

fn tail(town: &Town, room: &str) -> String {
    let text = std::fs::read_to_string(log_path(town, room)).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(12)..).unwrap_or_default().join("\n")
}

fn print_welcome(town: &Town, args: &DevArgs) {
    let dir = if args.common.dir == Path::new("./.kazasu") {
        String::new()
    } else {
        format!(" --dir {}", args.common.dir.display())
    };
    println!(
        "
  受付端末 / reception desk    {kiosk}   (open it in a browser)
  資格確認PF / platform        {platform}   (mutual TLS)
  認証局 / authority           {authority}
  すべてのアドレス / everything {file}

次にどうぞ / try next, in another terminal:
  kazasu card touch hanako{dir}     a touch, step by step
  kazasu card touch lost{dir}       a card reported lost
  kazasu doctor{dir}                is everything well?

Ctrl-C で止まります / Ctrl-C stops the town.",
        kiosk = town.rooms.terminal.kiosk,
        platform = town.rooms.eligibility.url,
        authority = town.rooms.jpki_authority.room.url,
        file = town.dir.join(super::TOWN_FILE).display(),
    );
}

/// Until Ctrl-C; a room that ends by itself ends the town, with its last lines.
async fn stay_up(rooms: &mut [RoomProcess], town: &Town, shutdown: &ShutdownSignal) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        for room in rooms.iter_mut() {
            if let Some(status) = room.child.try_wait()? {
                bail!("room {} ended ({status}):\n{}", room.name, tail(town, room.name));
            }
        }
    }
}

async fn stop_rooms(rooms: Vec<RoomProcess>) {
    // The desk first, so that it does not see its platform go.
    for mut room in rooms.into_iter().rev() {
        drop(room.child.stdin.take());
        if tokio::time::timeout(STOP_WITHIN, room.child.wait()).await.is_err() {
            eprintln!("room {} did not stop by itself and is ended", room.name);
            drop(room.child.kill().await);
        }
    }
}
