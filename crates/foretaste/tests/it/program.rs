//! The program under test in a folder of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A data folder with a configuration, and the URL of the database in it.
pub(crate) struct Program {
    pub(crate) dir: tempfile::TempDir,
    url: String,
}

impl Program {
    pub(crate) fn new(url: &str, configuration: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let program = Self { dir, url: url.to_owned() };
        program.configure(configuration);
        program
    }

    pub(crate) fn configure(&self, configuration: &str) {
        fs_err::write(self.dir.path().join("foretaste.toml"), configuration).unwrap();
    }

    pub(crate) fn data(&self) -> &Path {
        self.dir.path()
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foretaste"));
        command.arg("--data").arg(self.dir.path()).arg("-q").args(line.split(' '));
        command.env("FORETASTE_TEST_SHOP", &self.url);
        command
    }

    /// Runs to the end; returns what it printed.
    pub(crate) fn run(&self, line: &str) -> String {
        String::from_utf8(self.done(line).stdout).unwrap()
    }

    /// Runs to the end; returns what it printed besides its result.
    pub(crate) fn errors(&self, line: &str) -> String {
        String::from_utf8(self.done(line).stderr).unwrap()
    }

    fn done(&self, line: &str) -> Output {
        let done = self.command(line).output().unwrap();
        assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
        done
    }

    /// Runs to the end, which must not be a good one; returns what it said.
    pub(crate) fn fail(&self, line: &str) -> String {
        let done = self.command(line).output().unwrap();
        assert!(!done.status.success(), "{line}");
        String::from_utf8(done.stderr).unwrap()
    }

    /// Starts what goes on until it is stopped.
    pub(crate) fn start(&self, line: &str) -> Running {
        let mut command = self.command(line);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }

    /// Starts a server on a free port; returns it with its address.
    pub(crate) fn serve(&self, flags: &str) -> (Running, String) {
        let mut running = self.start(&format!("serve --listen 127.0.0.1:0{flags}"));
        let line = running.line();
        let address = line.strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        (running, address)
    }
}

/// A running process, killed on drop.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        if self.lines.read_line(&mut line).unwrap() == 0 {
            let mut errors = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("it ended: {errors}");
        }
        line.trim_end().to_owned()
    }

    /// SIGKILL; whether that came before its end.
    pub(crate) fn kill(mut self) -> bool {
        let _ = self.child.kill();
        !self.child.wait().unwrap().success()
    }

    /// SIGTERM; returns the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of an answer with status 200.
pub(crate) fn get(address: &str, path: &str) -> String {
    request(address, "GET", path, "")
}

/// As [`get`], for a request that brings JSON.
pub(crate) fn post(address: &str, path: &str, body: &str) -> String {
    request(address, "POST", path, body)
}

fn request(address: &str, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let what = format!("content-type: application/json\r\ncontent-length: {}", body.len());
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{what}");
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {text}");
    body.to_owned()
}

/// The items that are recommended to a user, best first.
pub(crate) fn recommended(address: &str, user: &str) -> Vec<String> {
    items_of(&get(address, &format!("/v1/recommend/{user}?k=5")))
}

/// The items of an answer, best first.
pub(crate) fn items_of(slate: &str) -> Vec<String> {
    let slate: Value = serde_json::from_str(slate).unwrap();
    let items = slate["items"].as_array().unwrap().iter();
    items.map(|item| item["item_id"].as_str().unwrap().to_owned()).collect()
}

/// Waits for something that happens by itself.
#[track_caller]
pub(crate) fn until<T: std::fmt::Debug>(
    what: &str,
    mut look: impl FnMut() -> T,
    good: impl Fn(&T) -> bool,
) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if good(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: {seen:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
