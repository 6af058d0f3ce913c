//! A browser through its driver: W3C WebDriver is JSON over HTTP, one request per connection.

use crate::fixture::is_running;
use crate::pcscd::{Folder, eventually, tool};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WITHIN: Duration = Duration::from_secs(60);
/// The key of an element's reference: WebDriver §11.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Chromium without a screen, and the driver that speaks for it.
pub(crate) struct Browser {
    driver: Child,
    port: u16,
    session: String,
    folder: Folder,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let (chromium, driver) = (tool("chromium", "chromium"), tool("chromedriver", "chromium-driver"));
        let folder = Folder::new();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let log = File::create(folder.path("driver.log")).unwrap();
        let driver = Command::new(driver)
            .args([format!("--port={port}"), "--allowed-origins=*".to_owned()])
            .env("HOME", folder.text(""))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("chromedriver starts");
        let mut browser = Self { driver, port, session: String::new(), folder };
        eventually("chromedriver listens", WITHIN, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok());
        let profile = format!("--user-data-dir={}", browser.folder.text("profile"));
        let options = json!({ "binary": chromium, "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-extensions", "--disable-background-networking", "--lang=ja", profile,
        ] });
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "timeouts": { "pageLoad": 30_000, "script": 20_000 },
        } } });
        let made = browser.ask("POST", "", &wanted);
        made["sessionId"].as_str().expect("a session").clone_into(&mut browser.session);
        browser
    }

    /// One command; its value, or a panic with what the driver said.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_ask(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let slash = if self.session.is_empty() { "" } else { "/" };
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let request = format!(
            "{method} /session{slash}{}{path} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.session,
            self.port,
            body.len()
        );
        let (is_good, answer) = exchange(self.port, request.as_bytes()).map_err(|error| error.to_string())?;
        let mut value: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
        let value = value["value"].take();
        if is_good { Ok(value) } else { Err(value.to_string()) }
    }

    pub(crate) fn open(&self, url: &str) {
        self.ask("POST", "/url", &json!({ "url": url }));
    }

    /// Runs a function body in the page; the value it returns.
    pub(crate) fn script(&self, body: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// Clicks what a user would click: the driver refuses what is hidden or covered.
    pub(crate) fn click(&self, selector: &str) {
        let found = self.ask("POST", "/element", &json!({ "using": "css selector", "value": selector }));
        let element = found[ELEMENT].as_str().expect("an element").to_owned();
        self.ask("POST", &format!("/element/{element}/click"), &json!({}));
    }

    /// Visible text of the first element of `selector`; `None` if there is none now.
    pub(crate) fn text(&self, selector: &str) -> Option<String> {
        let body = format!("return document.querySelector({})?.innerText ?? null", json!(selector));
        self.script(&body).as_str().map(str::to_owned)
    }

    /// The page as the browser holds it now.
    pub(crate) fn source(&self) -> String {
        self.ask("GET", "/source", &json!({})).as_str().expect("a text").to_owned()
    }

    /// Waits until `condition`, a JavaScript expression, is true.
    pub(crate) fn await_true(&self, condition: &str) {
        eventually(condition, WITHIN, || {
            (self.script(&format!("return !!({condition})")) == true).then_some(())
        });
    }

    /// Waits until the kiosk shows this phase.
    pub(crate) fn await_phase(&self, phase: &str) {
        self.await_true(&format!("document.getElementById('main')?.dataset.phase === {}", json!(phase)));
    }

    /// Lays the page out as on a screen of this width in CSS pixels; windows cannot be this narrow.
    pub(crate) fn width(&self, pixels: u32) {
        let metrics = json!({ "width": pixels, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        let command = json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics });
        self.ask("POST", "/goog/cdp/execute", &command);
        self.await_true(&format!("window.innerWidth === {pixels}"));
    }

    /// PNG of what is on the screen.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        STANDARD.decode(self.ask("GET", "/screenshot", &json!({})).as_str().expect("base64")).expect("base64")
    }
}

/// Whether the status is 200, and the body. The driver keeps the connection open, so the length counts.
fn exchange(port: u16, request: &[u8]) -> std::io::Result<(bool, Vec<u8>)> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(WITHIN))?;
    stream.write_all(request)?;
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (String::new(), 0);
    reader.read_line(&mut status)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(std::io::Error::other)?;
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((status.starts_with("HTTP/1.1 200"), body))
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _closed = self.try_ask("DELETE", "", &Value::Null);
        }
        let _ended = (self.driver.kill(), self.driver.wait());
        // The driver closes its browser; what did not listen is ended here, before its folder goes.
        let until = Instant::now() + Duration::from_secs(5);
        while let Some(pid) = process_with(&self.folder.text("profile"))
            && Instant::now() < until
        {
            let _ended = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
    }
}

/// A process whose command line names this folder, which nobody but one browser does.
fn process_with(folder: &str) -> Option<u32> {
    let pids =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let names_it = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(folder)
    };
    pids.filter(|pid| is_running(*pid)).find(names_it)
}
