//! A town of its own for a test: free ports, a temporary folder, every process ended by its pid.

use crate::pcscd::{Folder, eventually};
use serde_json::Value;
use std::fs::{self, File};
use std::future::Future;
use std::io::BufReader;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

pub(crate) const KAZASU: &str = env!("CARGO_BIN_EXE_kazasu");
/// The rooms of a town take this many ports in a row.
const PORTS: u16 = 9;
/// A set-up makes some twenty RSA keys, on a machine that may be busy.
const START_WAIT: Duration = Duration::from_secs(120);
const STOP_WAIT: Duration = Duration::from_secs(30);
const COMMAND_SECONDS: &str = "120";

/// Nine free ports in a row below the range that the system hands out by itself. Where the search
/// starts depends on the process, so that tests that run at the same time do not meet.
pub(crate) fn free_ports() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    const SLOTS: u32 = 1_100;
    eventually("free ports", Duration::from_secs(30), || {
        let turn = COUNT.fetch_add(1, Ordering::SeqCst);
        let slot = (std::process::id() * 4 + turn) % SLOTS;
        let first = 20_000 + u16::try_from(slot).unwrap() * 10;
        let held: Vec<_> = (0..PORTS)
            .map_while(|offset| TcpListener::bind((Ipv4Addr::LOCALHOST, first + offset)).ok())
            .collect();
        (held.len() == usize::from(PORTS)).then_some(first)
    })
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The one JSON value on standard output.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in the output of {self:#?}"))
    }
}

/// Runs `kazasu` to its end, at most two minutes.
pub(crate) fn kazasu(arguments: &[&str]) -> Ran {
    let output = Command::new("timeout")
        .args(["-k", "5", COMMAND_SECONDS, KAZASU])
        .args(arguments)
        .env_remove("KAZASU_DIR")
        .stdin(Stdio::null())
        .output()
        .expect("timeout starts (coreutils)");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("kazasu writes UTF-8");
    let ran = Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) };
    assert_ne!(ran.code, Some(124), "{arguments:?} hung: {ran:#?}");
    ran
}

/// `kazasu` running in the background and printing JSON values.
pub(crate) struct Running {
    child: Child,
    values: Receiver<Value>,
    errors: PathBuf,
}

impl Running {
    /// Starts it; what it says on standard error goes into `folder`.
    pub(crate) fn start(folder: &Folder, arguments: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let errors = folder.path(&format!("stderr-{}", COUNT.fetch_add(1, Ordering::SeqCst)));
        let mut child = Command::new(KAZASU)
            .args(arguments)
            .env_remove("KAZASU_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("a temporary file"))
            .spawn()
            .expect("kazasu starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, values) = mpsc::channel();
        std::thread::spawn(move || {
            for value in serde_json::Deserializer::from_reader(output).into_iter::<Value>() {
                let Ok(value) = value else { return };
                // Read on although nobody listens: a full pipe would stop the process.
                let _listened = sender.send(value);
            }
        });
        Self { child, values, errors }
    }

    /// The next value it prints.
    pub(crate) fn next(&self, what: &str) -> Value {
        let printed = self.values.recv_timeout(START_WAIT);
        printed.unwrap_or_else(|_| panic!("{what} was not printed; standard error:\n{}", self.said()))
    }

    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + STOP_WAIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < until, "it does not end; standard error:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ctrl-C.
    pub(crate) fn interrupt(mut self) -> ExitStatus {
        self.signal("INT");
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if std::thread::panicking() {
            eprintln!("--- standard error of kazasu ---\n{}", self.said());
        }
        self.signal("INT");
        let until = Instant::now() + STOP_WAIT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let sent =
        Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().expect("kill starts");
    assert!(sent.success(), "process {pid} takes no signal {name}");
}

/// State letter and parent of a process; `None` if there is none of this pid.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Whether a process is at work: one that only waits to be collected is not.
pub(crate) fn is_running(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X'))
}

pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, owner)| owner == parent)).collect()
}

/// A running town in a folder of its own.
pub(crate) struct Town {
    // First, so that the processes end before their folder goes.
    pub(crate) dev: Running,
    logs: Logs,
    pub(crate) json: Value,
    pub(crate) dir: String,
    pub(crate) folder: Folder,
}

/// The rooms' logs; shown when a test fails.
struct Logs(PathBuf);

impl Logs {
    fn text(&self) -> String {
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        entries.map(|entry| fs::read_to_string(entry.path()).unwrap_or_default()).collect()
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- logs of the rooms ---\n{}", self.text());
        }
    }
}

impl Town {
    pub(crate) fn start() -> Self {
        Self::start_in(Folder::new())
    }

    /// Starts the town that is in the folder `town` of `folder`, or makes one.
    pub(crate) fn start_in(folder: Folder) -> Self {
        let dir = folder.text("town");
        let ports = free_ports().to_string();
        let dev = Running::start(&folder, &["dev", "--dir", &dir, "--ports-from", &ports, "--json"]);
        let logs = Logs(Path::new(&dir).join("logs"));
        let json = dev.next("town.json");
        Self { dev, logs, json, dir, folder }
    }

    /// Stops it as Ctrl-C does; the folder stays.
    pub(crate) fn stop(self) -> Folder {
        let ended = self.dev.interrupt();
        assert_eq!(ended.code(), Some(0), "Ctrl-C is an orderly end");
        self.folder
    }

    /// A text of `town.json`.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        let found = self.json.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("town.json has no text at {pointer}"))
    }

    pub(crate) fn people(&self) -> &[Value] {
        self.json["people"].as_array().expect("town.json has people")
    }

    /// Everybody with a My Number Card.
    pub(crate) fn patients(&self) -> impl Iterator<Item = &Value> {
        self.people().iter().filter(|person| person["auth_cert"].is_string())
    }

    pub(crate) fn person(&self, name: &str) -> &Value {
        self.people()
            .iter()
            .find(|person| person["name"] == name)
            .unwrap_or_else(|| panic!("nobody called {name}"))
    }

    /// Runs a command against this town, with `--json`.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        kazasu(&[arguments, &["--json", "--dir", &self.dir]].concat())
    }

    pub(crate) fn touch(&self, name: &str) -> (Option<i32>, Value) {
        let ran = self.run(&["card", "touch", name]);
        (ran.code, ran.json())
    }

    /// Everything that the rooms have logged so far.
    pub(crate) fn logs(&self) -> String {
        self.logs.text()
    }
}

/// Runs a future to its end on a runtime that all of this process shares.
pub(crate) fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().expect("a runtime")).block_on(future)
}

/// Gets a page over plain HTTP: status, content type, text.
pub(crate) fn get(url: &str) -> (u16, String, String) {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let client = chassis::client::Client::plain(&format!("{scheme}://{host}")).expect("a base URL");
    let reply = on_runtime(client.get(&format!("/{path}"))).unwrap_or_else(|error| panic!("{url}: {error}"));
    (reply.status, reply.content_type, String::from_utf8(reply.body.to_vec()).expect("text"))
}
